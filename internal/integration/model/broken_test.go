package model

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"pgregory.net/rapid"
)

func TestMachineNoticesEveryBrokenStore(t *testing.T) {
	set(t, "rapid.nofailfile", "true")
	set(t, "rapid.shrinktime", "0s")
	set(t, "rapid.checks", "30000") // the rarest fault shows within some thousands
	for name, broken := range map[string]subject{
		"users are compared without regard to case":         inMemory().over(func(s keeper) keeper { return caseless{s} }),
		"the events of some batches are lost":               inMemory().over(func(s keeper) keeper { return forgetful{s} }),
		"a refused event is dropped":                        inMemory().over(func(s keeper) keeper { return dropping{s} }),
		"a page that is cut does not say so":                inMemory().over(func(s keeper) keeper { return cutting{s} }),
		"what is pending begins after the last one read":    inMemory().over(func(s keeper) keeper { return skipping{s} }),
		"an up-to mark stops before the message":            inMemory().over(func(s keeper) keeper { return stopping{s} }),
		"an up-to mark does not ask for admission":          inMemory().over(func(s keeper) keeper { return admitting{s} }),
		"what is dead comes back as it was":                 inMemory().over(func(s keeper) keeper { return &embalming{keeper: s} }),
		"a repeated mark takes a new time":                  inMemory().over(func(s keeper) keeper { return stamping{s} }),
		"a repeated send takes the new body":                inMemory().over(func(s keeper) keeper { return rewriting{s} }),
		"one excluded socket goes for all events":           inMemory().over(func(s keeper) keeper { return excluding{s} }),
		"who hides reads is seen to read":                   inMemory().over(func(s keeper) keeper { return frank{s} }),
		"a count of failures never falls":                   inMemory().over(func(s keeper) keeper { return &lingering{keeper: s} }),
		"the first failure stays":                           inMemory().over(func(s keeper) keeper { return &stubborn{keeper: s} }),
		"what is not shown is not kept":                     inMemory().over(func(s keeper) keeper { return careless{s} }),
		"a transaction that is rolled back is kept":         {stores: inMemory().stores, commit: true},
		"a transaction that is rolled back is kept, by SQL": committing(inDatabase(t, engines.All[0])),
	} {
		t.Run(name, func(t *testing.T) {
			var v verdict
			v.of(t, func(t rapid.TB) {
				rapid.Check(t, func(rt *rapid.T) { runMachine(context.Background(), rt, broken) })
			})
			if !v.failed {
				t.Fatal("not noticed")
			}
			t.Log(v.reason())
		})
	}
}

func committing(s subject) subject {
	s.commit = true
	return s
}

// verdict is what a test that should fail says.
type verdict struct {
	rapid.TB
	failed bool
	log    bytes.Buffer
}

// of runs a test in a goroutine of its own, which the test may end.
func (v *verdict) of(t *testing.T, test func(t rapid.TB)) {
	v.TB = t
	var done sync.WaitGroup
	done.Go(func() { test(v) })
	done.Wait()
}

func (v *verdict) Logf(format string, args ...any)   { fmt.Fprintf(&v.log, format+"\n", args...) }
func (v *verdict) Log(args ...any)                   { fmt.Fprintln(&v.log, args...) }
func (v *verdict) Errorf(format string, args ...any) { v.Logf(format, args...); v.Fail() }
func (v *verdict) Error(args ...any)                 { v.Log(args...); v.Fail() }
func (v *verdict) Fatalf(format string, args ...any) { v.Logf(format, args...); v.FailNow() }
func (v *verdict) Fatal(args ...any)                 { v.Log(args...); v.FailNow() }
func (v *verdict) Fail()                             { v.failed = true }
func (v *verdict) FailNow()                          { v.failed = true; runtime.Goexit() }
func (v *verdict) Failed() bool                      { return v.failed }

// reason is the line that says what was wrong.
func (v *verdict) reason() string {
	first, _, _ := strings.Cut(v.log.String(), "\nTo reproduce")
	return first
}

// frank takes who hides reads for who does not.
type frank struct{ keeper }

func (s frank) Create(ctx context.Context, messages []delivery.NewMessage, lease delivery.Lease) ([]delivery.Created, []delivery.Claimed, error) {
	messages = slices.Clone(messages)
	for i := range messages {
		messages[i].Caps = slices.Clone(messages[i].Caps)
		for k, cap := range messages[i].Caps {
			if cap == delivery.Delivered {
				messages[i].Caps[k] = delivery.Read
			}
		}
	}
	return s.keeper.Create(ctx, messages, lease)
}

// lingering counts as many failures of a message as there ever were.
type lingering struct {
	keeper
	most map[string]int
}

func (s *lingering) Fail(ctx context.Context, f delivery.NewFailure, lease delivery.Lease) (delivery.Failed, []delivery.Claimed, error) {
	failed, claimed, err := s.keeper.Fail(ctx, f, lease)
	if err == nil {
		_, err = s.Load(ctx, []string{f.Message}) // and remembers the count
	}
	return failed, claimed, err
}

func (s *lingering) Load(ctx context.Context, ids []string) ([]delivery.Message, error) {
	messages, err := s.keeper.Load(ctx, ids)
	for i := range messages {
		if s.most == nil {
			s.most = map[string]int{}
		}
		m := &messages[i]
		m.Failed = max(m.Failed, s.most[m.ID])
		s.most[m.ID] = m.Failed
	}
	return messages, err
}

// stubborn keeps the failure that came first.
type stubborn struct {
	keeper
	first map[delivery.Failure]bool
}

func (s *stubborn) Fail(ctx context.Context, f delivery.NewFailure, lease delivery.Lease) (delivery.Failed, []delivery.Claimed, error) {
	of := delivery.Failure{Message: f.Message, Recipient: f.Recipient}
	if s.first == nil {
		s.first = map[delivery.Failure]bool{}
	}
	if !s.first[of] {
		s.first[of] = true
		return s.keeper.Fail(ctx, f, lease)
	}
	messages, err := s.Load(ctx, []string{f.Message})
	if err != nil || len(messages) == 0 {
		return delivery.Failed{}, nil, err
	}
	receipts, err := s.ReceiptsOf(ctx, []delivery.ReceiptKey{{Message: f.Message, Recipient: f.Recipient}})
	if err != nil || len(receipts) == 0 {
		return delivery.Failed{Header: messages[0].Header}, nil, err
	}
	return delivery.Failed{Header: messages[0].Header, Receipt: receipts[0]}, nil, nil
}

// careless keeps no private marks.
type careless struct{ keeper }

func (s careless) AdvanceOwn(ctx context.Context, marks []delivery.OwnMark, lease delivery.Lease) ([]delivery.MarkedOwn, []delivery.Claimed, error) {
	marks = slices.Clone(marks)
	for i := range marks {
		marks[i].Status = min(marks[i].Status, delivery.Delivered)
	}
	return s.keeper.AdvanceOwn(ctx, marks, lease)
}

// caseless takes Bob for bob.
type caseless struct{ keeper }

func (s caseless) Advance(ctx context.Context, marks []delivery.Mark, lease delivery.Lease) ([]delivery.Marked, []delivery.Claimed, error) {
	marks = slices.Clone(marks)
	for i := range marks {
		marks[i].User = strings.ToLower(marks[i].User)
	}
	return s.keeper.Advance(ctx, marks, lease)
}

// forgetful writes no event of a batch that comes from one socket.
type forgetful struct{ keeper }

func (s forgetful) Advance(ctx context.Context, marks []delivery.Mark, lease delivery.Lease) ([]delivery.Marked, []delivery.Claimed, error) {
	if len(marks) < 2 || marks[0].Socket != "2.2" {
		return s.keeper.Advance(ctx, marks, lease)
	}
	marked, claimed, err := s.keeper.Advance(ctx, marks, delivery.Lease{Token: 1, For: time.Hour})
	for _, c := range claimed {
		s.Settle(ctx, []delivery.Settlement{{ID: c.Event.ID, Lease: c.Lease, Outcome: delivery.SettleDone}})
	}
	return marked, nil, err
}

// dropping has no dead letters.
type dropping struct{ keeper }

func (s dropping) Settle(ctx context.Context, settlements []delivery.Settlement) (int, error) {
	for i := range settlements {
		if settlements[i].Outcome == delivery.SettleBury {
			settlements[i].Outcome = delivery.SettleDone
		}
	}
	return s.keeper.Settle(ctx, settlements)
}

// cutting says that every page is the last, and at the conversation's version.
type cutting struct{ keeper }

func (s cutting) List(ctx context.Context, list delivery.List) (delivery.Page, error) {
	page, err := s.keeper.List(ctx, list)
	page.More = false
	return page, err
}

// skipping counts nothing before the last message that the user has read.
type skipping struct{ keeper }

func (s skipping) Unread(ctx context.Context, user string, conversations []string, limit int) ([]delivery.Unread, error) {
	unread, err := s.keeper.Unread(ctx, user, conversations, limit)
	if err != nil || unread[0].Count == 0 {
		return unread, err
	}
	page, err := s.List(ctx, delivery.List{Conversation: conversations[0], Limit: delivery.MaxBatch, Viewer: user})
	for _, m := range page.Messages {
		if m.Own != nil && m.Own.Status == delivery.Read && m.Seq > unread[0].First.Seq {
			unread[0].Count, unread[0].First = 0, delivery.Position{}
		}
	}
	return unread, err
}

// stopping marks up to the message before.
type stopping struct{ keeper }

func (s stopping) AdvanceUpTo(ctx context.Context, upTo []delivery.UpTo, limit int, lease delivery.Lease) ([]delivery.MarkedUpTo, []delivery.Claimed, error) {
	upTo = slices.Clone(upTo)
	for i := range upTo {
		named, err := s.Load(ctx, []string{upTo[i].Message})
		if err != nil {
			return nil, nil, err
		}
		if len(named) == 0 {
			continue
		}
		before, err := s.List(ctx, delivery.List{Conversation: upTo[i].Conversation, Before: named[0].Seq, Limit: 1})
		if err != nil {
			return nil, nil, err
		}
		if len(before.Messages) == 0 {
			return []delivery.MarkedUpTo{{Header: named[0].Header, Reached: named[0].Seq}}, nil, nil
		}
		upTo[i].Message = before.Messages[0].ID
	}
	return s.keeper.AdvanceUpTo(ctx, upTo, limit, lease)
}

// admitting lets everyone mark.
type admitting struct{ keeper }

func (s admitting) AdvanceUpTo(ctx context.Context, upTo []delivery.UpTo, limit int, lease delivery.Lease) ([]delivery.MarkedUpTo, []delivery.Claimed, error) {
	upTo = slices.Clone(upTo)
	for i := range upTo {
		upTo[i].Admitted = true
	}
	return s.keeper.AdvanceUpTo(ctx, upTo, limit, lease)
}

// embalming requeues events as they were.
type embalming struct {
	keeper
	dead map[int64]delivery.Event
}

func (s *embalming) Dead(ctx context.Context, after int64, limit int) ([]delivery.DeadLetter, error) {
	letters, err := s.keeper.Dead(ctx, after, limit)
	if s.dead == nil {
		s.dead = map[int64]delivery.Event{}
	}
	for _, d := range letters {
		d.Event.Updates = slices.Clone(d.Event.Updates)
		s.dead[d.Event.ID] = d.Event
	}
	return letters, err
}

func (s *embalming) Settle(ctx context.Context, settlements []delivery.Settlement) (int, error) {
	for i := range settlements {
		if settlements[i].Outcome == delivery.SettleRequeue {
			settlements[i].Event = s.dead[settlements[i].ID]
		}
	}
	return s.keeper.Settle(ctx, settlements)
}

// stamping answers a repeated mark with its own time.
type stamping struct{ keeper }

func (s stamping) Advance(ctx context.Context, marks []delivery.Mark, lease delivery.Lease) ([]delivery.Marked, []delivery.Claimed, error) {
	marked, claimed, err := s.keeper.Advance(ctx, marks, lease)
	for i := range marked {
		if !marked[i].Receipt.DeliveredAt.IsZero() {
			marked[i].Receipt.DeliveredAt = marks[i].At
		}
	}
	return marked, claimed, err
}

// rewriting takes every send for a repetition if the id is there.
type rewriting struct{ keeper }

func (s rewriting) Create(ctx context.Context, messages []delivery.NewMessage, lease delivery.Lease) ([]delivery.Created, []delivery.Claimed, error) {
	created, claimed, err := s.keeper.Create(ctx, messages, lease)
	for i := range created {
		created[i].Message.Body = messages[i].Body
	}
	return created, claimed, err
}

// excluding gives events that are claimed together the first one's excluded socket.
type excluding struct{ keeper }

func (s excluding) Claim(ctx context.Context, limit int, lease delivery.Lease) ([]delivery.Claimed, error) {
	claimed, err := s.keeper.Claim(ctx, limit, lease)
	for i := range claimed {
		claimed[i].Event.Except = claimed[0].Event.Except
	}
	return claimed, err
}

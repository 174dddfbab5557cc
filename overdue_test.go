package delivery_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliverytest"
	"github.com/msgdelivery/delivery/memstore"
)

// reminder is a rule for mails about what nobody has read in a day.
var reminder = delivery.OverdueRule{Name: "mail", Status: delivery.Read, After: 24 * time.Hour, For: delivery.ForRecipient}

func TestOverdue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New()
		first, second := overdueTracker(t, store), overdueTracker(t, store)
		overdue := func(by *delivery.Tracker, rule delivery.OverdueRule, want ...string) []delivery.Due {
			t.Helper()
			due, err := by.Overdue(t.Context(), rule, 0)
			got := []string{}
			for _, d := range due {
				got = append(got, fmt.Sprint(d.Recipient, " ", d.Message.ID, " ", d.Attempts))
			}
			if err != nil || !slices.Equal(got, append([]string{}, want...)) {
				t.Errorf("overdue are %v, %v; want %v", got, err, want)
			}
			return due
		}
		send := func(id string, recipients ...string) {
			t.Helper()
			if _, err := first.Send(t.Context(), delivery.Draft{ID: id, Conversation: "c", Sender: "alice", Audience: delivery.Audience{Recipients: recipients}}); err != nil {
				t.Fatal(err)
			}
		}
		send("old", "bob")
		overdue(first, reminder)
		time.Sleep(time.Nanosecond)
		send("m", "bob", "carol")
		time.Sleep(24*time.Hour - 1)
		overdue(first, reminder)
		time.Sleep(time.Nanosecond)
		due := overdue(first, reminder, "bob m 1", "carol m 1")
		overdue(second, reminder)
		if done, err := second.OverdueDone(t.Context(), due[1]); done != 1 || err != nil {
			t.Errorf("OverdueDone returned %d, %v", done, err)
		}
		time.Sleep(delivery.DefaultOverdueLease)
		again := overdue(second, reminder, "bob m 2")
		if done, err := first.OverdueDone(t.Context(), due...); done != 0 || err != nil {
			t.Errorf("with old claims OverdueDone returned %d, %v", done, err)
		}
		if _, err := first.MarkRead(t.Context(), delivery.Actor{User: "bob", Hide: delivery.HideAll}, "m"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(delivery.DefaultOverdueLease)
		overdue(first, reminder)
		if done, err := second.OverdueDone(t.Context(), again...); done != 0 || err != nil {
			t.Errorf("OverdueDone of one who has read returned %d, %v", done, err)
		}
		send("late", "bob")
		time.Sleep(reminder.After + delivery.DefaultWithin + 1)
		overdue(first, reminder)
	})
}

func TestOverdueRefusesBadRules(t *testing.T) {
	tracker := overdueTracker(t, memstore.New())
	for _, c := range []struct {
		field  string
		change func(*delivery.OverdueRule)
	}{
		{"name", func(r *delivery.OverdueRule) { r.Name = "" }},
		{"name", func(r *delivery.OverdueRule) { r.Name = strings.Repeat("n", delivery.MaxID+1) }},
		{"name", func(r *delivery.OverdueRule) { r.Name = "a\x00" }},
		{"status", func(r *delivery.OverdueRule) { r.Status = 0 }},
		{"status", func(r *delivery.OverdueRule) { r.Status = delivery.Sent }},
		{"status", func(r *delivery.OverdueRule) { r.Status = delivery.Read + 1 }},
		{"after", func(r *delivery.OverdueRule) { r.After = 0 }},
		{"after", func(r *delivery.OverdueRule) { r.After = -time.Hour }},
		{"after", func(r *delivery.OverdueRule) { r.After = time.Nanosecond }},
		{"within", func(r *delivery.OverdueRule) { r.Within = -1 }},
		{"after", func(r *delivery.OverdueRule) { r.After = delivery.MaxOverdue + 1 }},
		{"within", func(r *delivery.OverdueRule) { r.Within = delivery.MaxOverdue + 1 }},
		{"within", func(r *delivery.OverdueRule) { r.Within = math.MaxInt64 }},
		{"lease", func(r *delivery.OverdueRule) { r.Lease = -1 }},
		{"lease", func(r *delivery.OverdueRule) { r.Lease = delivery.MaxOverdue + 1 }},
		{"for", func(r *delivery.OverdueRule) { r.For = 0 }},
		{"for", func(r *delivery.OverdueRule) { r.For = delivery.ForSender + 1 }},
	} {
		rule := reminder
		c.change(&rule)
		var invalid *delivery.InvalidError
		if _, err := tracker.Overdue(t.Context(), rule, 0); !errors.As(err, &invalid) || invalid.Field != c.field {
			t.Errorf("%+v: %v; want an error about %q", rule, err, c.field)
		}
	}
	var invalid *delivery.InvalidError
	for _, limit := range []int{-1, delivery.MaxBatch + 1} {
		if _, err := tracker.Overdue(t.Context(), reminder, limit); !errors.As(err, &invalid) || invalid.Field != "limit" {
			t.Errorf("a limit of %d: %v", limit, err)
		}
	}
	if _, err := tracker.OverdueDone(t.Context(), make([]delivery.Due, delivery.MaxBatch+1)...); !errors.As(err, &invalid) || invalid.Field != "due" {
		t.Errorf("too many at a time: %v", err)
	}
}

func TestOverdueNeedsAStoreForIt(t *testing.T) {
	tracker := overdueTracker(t, struct{ delivery.Store }{memstore.New()})
	if _, err := tracker.Overdue(t.Context(), reminder, 0); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Overdue returned %v", err)
	}
	if _, err := tracker.OverdueDone(t.Context()); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("OverdueDone returned %v", err)
	}
}

// hesitant is a store whose rule another call has, and then one that has nobody yet.
type hesitant struct {
	*memstore.Store
	answers []delivery.OverdueResult
}

func (h *hesitant) Overdue(context.Context, delivery.OverdueRule, int, delivery.Lease) (delivery.OverdueResult, error) {
	answer := h.answers[0]
	h.answers = h.answers[1:]
	return answer, nil
}

func TestOverdueGoesOnUntilItHasSomebody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bob := delivery.Due{Recipient: "bob"}
		store := &hesitant{memstore.New(), []delivery.OverdueResult{{Blocked: true}, {Blocked: true}, {More: true}, {Blocked: true}, {Due: []delivery.Due{bob}, More: true}}}
		tracker := overdueTracker(t, store)
		if due, err := tracker.Overdue(t.Context(), reminder, 0); err != nil || !slices.Equal(due, []delivery.Due{bob}) || len(store.answers) > 0 {
			t.Errorf("Overdue returned %v, %v, and left %v", due, err, store.answers)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		store.answers = []delivery.OverdueResult{{Blocked: true}}
		if _, err := tracker.Overdue(ctx, reminder, 0); !errors.Is(err, context.Canceled) {
			t.Errorf("without time it returned %v", err)
		}
	})
}

// stuck is a store whose rule another call has for good, and that settles nothing.
type stuck struct{ *memstore.Store }

func (stuck) Overdue(context.Context, delivery.OverdueRule, int, delivery.Lease) (delivery.OverdueResult, error) {
	return delivery.OverdueResult{Blocked: true}, nil
}

func (stuck) SettleOverdue(ctx context.Context, _ []delivery.OverdueClaim) (int, error) {
	<-ctx.Done()
	return 0, fmt.Errorf("%w: %w", delivery.ErrOutcomeUnknown, ctx.Err())
}

func (stuck) Settle(ctx context.Context, _ []delivery.Settlement) (int, error) {
	<-ctx.Done()
	return 0, ctx.Err()
}

func TestRemindersAndDeadLettersTakeNoLongerThanTheWriteTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tracker := overdueTracker(t, stuck{memstore.New()})
		for name, call := range map[string]func(context.Context) error{
			"Overdue":     func(ctx context.Context) error { _, err := tracker.Overdue(ctx, reminder, 0); return err },
			"OverdueDone": func(ctx context.Context) error { _, err := tracker.OverdueDone(ctx, delivery.Due{}); return err },
			"Discard":     func(ctx context.Context) error { return tracker.Discard(ctx, 1) },
		} {
			for _, deadline := range []time.Duration{0, time.Second, 2 * delivery.DefaultWriteTimeout} {
				ctx, cancel := context.WithTimeout(t.Context(), cmp.Or(deadline, time.Hour))
				if deadline == 0 {
					ctx = context.WithoutCancel(ctx)
				}
				began := time.Now()
				err := call(ctx)
				if took, want := time.Since(began), cmp.Or(deadline, delivery.DefaultWriteTimeout); took != want || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%s with a deadline of %v returned %v after %v", name, deadline, err, took)
				}
				cancel()
			}
		}
	})
}

func overdueTracker(t *testing.T, store delivery.Store) *delivery.Tracker {
	t.Helper()
	tracker, err := delivery.New(store, new(deliverytest.Recorder), &delivery.Options{OpenConversations: true})
	if err != nil {
		t.Fatal(err)
	}
	return tracker
}

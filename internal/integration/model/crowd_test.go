package model

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"pgregory.net/rapid"
)

// TestCrowd makes random calls in groups of many members. By their marks, 10 % of the members hide
// that they read, and 10 % hide everything. By the messages, 5 % of the recipients are untracked,
// and in every other edition of a group 10 % hide reads. With -full it makes 100,000 calls in a
// group of 1,000 members and two smaller ones.
func TestCrowd(t *testing.T) {
	each(t, func(t *testing.T, s subject) {
		size, calls := 60, 1500
		if *full {
			size, calls = 1000, 100_000
		}
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		runCrowd(t.Context(), t, s, size, calls, rand.New(rand.NewPCG(seed, 0)))
	})
}

func TestCrowdNoticesEveryBrokenStore(t *testing.T) {
	for name, broken := range map[string]subject{
		"an up-to mark stops before the message":         inMemory().over(func(s keeper) keeper { return stopping{s} }),
		"what is pending begins after the last one read": inMemory().over(func(s keeper) keeper { return skipping{s} }),
		"a private mark as read is one as delivered":     inMemory().over(func(s keeper) keeper { return unkept{s} }),
		"who hides reads is seen to read":                inMemory().over(func(s keeper) keeper { return frank{s} }),
		"an erasure leaves the name":                     inMemory().over(func(s keeper) keeper { return indelible{s} }),
		"a compaction takes what is read for delivered":  inMemory().over(func(s keeper) keeper { return &lossy{keeper: s} }),
		"a compaction leaves the times":                  inMemory().over(func(s keeper) keeper { return eternal{s} }),
	} {
		t.Run(name, func(t *testing.T) {
			var v verdict
			v.of(t, func(t rapid.TB) { runCrowd(context.Background(), t, broken, 60, 20_000, rand.New(rand.NewPCG(1, 0))) })
			if !v.failed {
				t.Fatal("not noticed")
			}
			t.Log(v.reason())
		})
	}
}

// unkept keeps private marks of one message as delivered, whatever they say.
type unkept struct{ keeper }

func (s unkept) AdvanceOwn(ctx context.Context, marks []delivery.OwnMark, lease delivery.Lease) ([]delivery.MarkedOwn, []delivery.Claimed, error) {
	marks = slices.Clone(marks)
	for i := range marks {
		if marks[i].Act == delivery.OwnMarked {
			marks[i].Status = delivery.Delivered
		}
	}
	return s.keeper.AdvanceOwn(ctx, marks, lease)
}

// indelible erases nobody.
type indelible struct{ keeper }

func (indelible) Erase(context.Context, string, int) (delivery.ErasureResult, error) {
	return delivery.ErasureResult{}, nil
}

// lossy shows what was read and compacted as delivered.
type lossy struct{ keeper }

func (s *lossy) Receipts(ctx context.Context, list delivery.ReceiptList) (delivery.ReceiptPage, error) {
	page, err := s.keeper.Receipts(ctx, list)
	for i := range page.Receipts {
		if r := &page.Receipts[i]; r.Reason == delivery.Expired {
			r.Status = delivery.Delivered
		}
	}
	return page, err
}

// eternal compacts nothing, and says that it did.
type eternal struct{ keeper }

func (eternal) Compact(_ context.Context, c delivery.Compaction) (delivery.CompactionResult, error) {
	return delivery.CompactionResult{Compacted: 1}, nil
}

// market is a crowd under way, on a store and on the reference.
type market struct {
	rapid.TB
	ctx     context.Context
	rand    *rand.Rand
	tracker *delivery.Tracker
	keeper  delivery.Keeper
	ref     crowd
	members map[string]map[string]bool // of each group, now
	edition map[string]int             // of each group's members
	users   []string
	posts   []*post
	said    map[string]int                     // messages sent, by group
	told    map[string]map[int64]int           // how often each version was, by group
	last    map[string]delivery.Update         // by message: the update of the greatest version
	devices map[delivery.Reader]delivery.Place // what the last own event said
	pages   map[string]map[string]delivery.Message
	cursors map[string]delivery.Cursor
	counts  map[string]int // calls by kind
}

func runCrowd(ctx context.Context, t rapid.TB, s subject, size, calls int, random *rand.Rand) {
	m := &market{
		TB: t, ctx: ctx, rand: random, keeper: s.stores[0], ref: crowd{map[string]*group{}}, members: map[string]map[string]bool{}, edition: map[string]int{},
		said: map[string]int{}, told: map[string]map[int64]int{}, last: map[string]delivery.Update{}, devices: map[delivery.Reader]delivery.Place{},
		pages: map[string]map[string]delivery.Message{}, cursors: map[string]delivery.Cursor{}, counts: map[string]int{},
	}
	tracker, err := delivery.New(s.stores[0], delivery.OwnNotifierFunc(m.hear), &delivery.Options{OpenConversations: true, Logger: slog.New(slog.DiscardHandler)})
	m.must(err)
	m.tracker = tracker
	for i := range size {
		m.users = append(m.users, fmt.Sprintf("u%04d", i))
	}
	for i, part := range []int{1, 4, 20} {
		g := fmt.Sprintf("g%d", i)
		m.ref.groups[g] = &group{readers: map[string]*reader{}}
		m.members[g], m.told[g], m.pages[g] = map[string]bool{}, map[int64]int{}, map[string]delivery.Message{}
		for _, user := range m.users[:size/part] {
			m.members[g][user] = true
		}
		m.send(g)
	}
	began := time.Now()
	for i := range calls {
		m.call()
		if i%100 == 0 {
			m.must(m.tracker.Flush(m.ctx))
		}
		if t.Failed() {
			t.Fatalf("after %d calls", i+1)
		}
	}
	m.must(m.tracker.Flush(m.ctx))
	took := time.Since(began)
	m.all()
	versions := int64(0)
	for _, g := range m.ref.groups {
		versions += g.version
	}
	t.Logf("%d calls in %.0f s, %d versions, %d messages: %v", calls, took.Seconds(), versions, len(m.posts), m.counts)
}

func (m *market) must(err error) {
	m.Helper()
	if err != nil {
		m.Fatal(err)
	}
}

func pickOne[T any](m *market, from []T) T { return from[m.rand.IntN(len(from))] }

// hides is what a user hides, always.
func (m *market) hides(user string) delivery.Hide {
	switch i := slices.Index(m.users, user); i % 10 {
	case 3:
		return delivery.HideRead
	case 7:
		return delivery.HideAll
	}
	return delivery.HideNothing
}

// aGroup draws a group; most calls are in the large one.
func (m *market) aGroup() string { return pickOne(m, []string{"g0", "g0", "g0", "g1", "g2"}) }

// aPost draws a message, mostly a late one, and a user, mostly a member.
func (m *market) aPost() (p *post, user string) {
	p = m.posts[len(m.posts)-1-m.rand.IntN(1+m.rand.IntN(len(m.posts)))]
	return p, pickOne(m, m.users)
}

// call makes one call on both.
func (m *market) call() {
	m.Helper()
	status := pickOne(m, []delivery.Status{delivery.Delivered, delivery.Read})
	p, user := m.aPost()
	actor := delivery.Actor{User: user, Hide: m.hides(user), Socket: "1.1"}
	ref := delivery.MessageRef{Conversation: p.Conversation, ID: p.ID}
	refusal := p.refusal(user)
	what := ""
	switch n := m.rand.IntN(1000); {
	case n < 10:
		what = "send"
		m.send(m.aGroup())
	case n < 40:
		what = "fail"
		if p.deleted {
			refusal = delivery.ErrNotFound
		}
		if refusal == delivery.ErrOwnMessage {
			return // which is no refusal of this name
		}
		code := pickOne(m, []string{"busy", "5.1.1"})
		if refusal == nil {
			p.fail(user, code)
		}
		m.refused("Fail", m.tracker.Fail(m.ctx, delivery.Failure{Message: p.ID, Recipient: user, Code: code}), refusal)
	case n < 560:
		what = "mark"
		if p.deleted {
			refusal = delivery.ErrNotFound
		}
		if refusal == nil {
			p.mark(user, actor.Hide, status)
		}
		for range 1 + m.rand.IntN(2) { // repeated marks change nothing
			got, err := m.tracker.Mark(m.ctx, actor, status, p.ID)
			m.must(err)
			m.refused("Mark", got[0].Err, refusal)
			want := p.seen(user)
			if want < status { // else the mark looks at nothing private
				want = p.own(user)
			}
			if refusal == nil && got[0].Own.Status != want {
				m.Errorf("Mark of %s by %s: %v, want %v", p.ID, user, got[0].Own.Status, want)
			}
		}
	case n < 620:
		what = "mark up to"
		if p.group.reader(user).erased || refusal == delivery.ErrNotRecipient && (p.deleted || actor.Hide != delivery.HideNothing && !p.group.knows(user)) {
			return // depends on whether the user was known there
		}
		changed, refusal := p.upTo(user, actor.Hide, status)
		got, err := m.tracker.MarkUpTo(m.ctx, actor, status, ref)
		m.refused("MarkUpTo", err, refusal)
		if got.Changed != changed || changed > 0 && got.To != p.group.version {
			m.Errorf("MarkUpTo %s by %s: %+v, want %d up to version %d", p.ID, user, got, changed, p.group.version)
		}
	case n < 670:
		what = "dismiss"
		if p.deleted {
			return
		}
		if refusal = placing(refusal); refusal == nil {
			p.dismiss(user)
		}
		_, err := m.tracker.Dismiss(m.ctx, actor, ref)
		m.refused("Dismiss", err, refusal)
	case n < 720:
		what = "mark unread"
		if p.deleted {
			return
		}
		if refusal = placing(refusal); refusal == nil {
			p.group.reader(user).flag = p.Seq
		}
		_, err := m.tracker.MarkUnread(m.ctx, actor, p.ID)
		m.refused("MarkUnread", err, refusal)
	case n < 722:
		what = "delete"
		want := 0
		if !p.deleted {
			p.delete()
			want = 1
		}
		if got, err := m.tracker.Delete(m.ctx, actor, p.ID); err != nil || got != want {
			m.Errorf("Delete of %s: %d, %v", p.ID, got, err)
		}
	case n < 723:
		what = "erase"
		if len(m.members["g2"]) < 2 || user <= m.users[len(m.users)/10] {
			return
		}
		m.ref.erase(user)
		m.must(m.tracker.Erase(m.ctx, user))
		for g := range m.members {
			m.join(g, user, false)
		}
	case n < 725:
		what = "compact"
		m.compact(m.aGroup(), 1+m.rand.IntN(50))
	case n < 740:
		what = "join or leave"
		if !p.group.reader(user).erased {
			g := m.aGroup()
			m.join(g, user, !m.members[g][user])
		}
	case n < 940:
		what = "unread"
		m.unread(user)
	case n < 980:
		what = "look"
		m.look(p)
	default:
		what = "catch up"
		m.catchUp(p.Conversation)
	}
	m.counts[what]++
}

func (m *market) refused(what string, got, want error) {
	m.Helper()
	if !errors.Is(got, want) || want == nil && got != nil {
		m.Errorf("%s: %v, want %v", what, got, want)
	}
}

// join lets a user join a group or leave it. Later messages are to another roster.
func (m *market) join(g, user string, in bool) {
	if in == m.members[g][user] {
		return
	}
	m.members[g] = maps.Clone(m.members[g])
	if in {
		m.members[g][user] = true
	} else {
		delete(m.members[g], user)
	}
	m.edition[g]++
}

// send lets a member send.
func (m *market) send(g string) {
	m.Helper()
	members := m.members[g]
	sender := pickOne(m, slices.Sorted(maps.Keys(members)))
	id := fmt.Sprintf("%s/%d", g, m.said[g])
	m.said[g]++
	capped := capsOf(m.edition[g])
	p := m.ref.groups[g].send(id, sender, members, capped)
	p.Conversation = g
	m.posts = append(m.posts, p)
	_, err := m.tracker.Send(m.ctx, delivery.Draft{ID: id, Conversation: g, Sender: sender, Audience: delivery.Audience{Roster: delivery.Roster{
		Key: fmt.Sprint("edition ", m.edition[g]), Members: func(context.Context) (delivery.Members, error) {
			of := delivery.Members{Users: slices.Collect(maps.Keys(members))}
			for _, user := range of.Users {
				switch capped(user) {
				case delivery.Sent:
					of.Untracked = append(of.Untracked, user)
				case delivery.Delivered:
					of.HideRead = append(of.HideRead, user)
				}
			}
			return of, nil
		},
	}}})
	m.must(err)
}

// capsOf returns the caps of users in an edition of a group.
func capsOf(edition int) func(user string) delivery.Status {
	return func(user string) delivery.Status {
		number, _ := strconv.Atoi(user[1:])
		switch {
		case number%20 == 5:
			return delivery.Sent
		case number%10 == 9 && edition%2 == 1:
			return delivery.Delivered
		}
		return delivery.Read
	}
}

package contention

import (
	"cmp"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/stores"
	"github.com/msgdelivery/delivery/sqlstore"
)

// Many callers mark the same few messages at the same time, in every way there is. Whatever they
// do, no version may be lost or taken twice, no receipt counted twice, and no change left untold.
func TestPostgresIsExactUnderContention(t *testing.T) {
	stores.EachPostgres(t, func(t *testing.T, db *sql.DB, store *sqlstore.Store) {
		const callers, calls, conversations, messages = 64, 12, 3, 6
		c := &contest{t: t, db: db, store: store}
		for i := range conversations {
			for range messages {
				c.send(fmt.Sprint("c", i))
			}
		}
		var wg sync.WaitGroup
		for range callers {
			wg.Go(func() {
				for range calls {
					switch rand.N(10) {
					case 0:
						c.send(fmt.Sprint("c", rand.N(conversations)))
					case 1:
						c.upTo()
					case 2:
						c.inTx(c.batch(1 + rand.N(3)))
					case 3, 4, 5:
						c.mark(c.store, c.batch(1))
					default:
						c.mark(c.store, c.batch(2+rand.N(6)))
					}
				}
			})
		}
		wg.Wait()
		if t.Failed() {
			return
		}
		rest, err := store.Claim(t.Context(), 1<<20, delivery.Lease{Token: 1, For: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		c.told(rest)
		versions := int64(0)
		for i := range conversations {
			versions += c.audit(fmt.Sprint("c", i))
		}
		if versions != c.changed.Load() {
			t.Errorf("calls reported %d changes, the conversations counted %d", c.changed.Load(), versions)
		}
		t.Logf("%d changes, %d events, %d times blocked", c.changed.Load(), len(c.events), c.blocked.Load())
	})
}

type contest struct {
	t     *testing.T
	db    *sql.DB
	store *sqlstore.Store

	mu     sync.Mutex
	sent   []delivery.Header
	events []delivery.Event

	changed, blocked atomic.Int64
}

var contestants = []string{"ann", "bob", "cem", "dan", "eve", "fay"}

func (c *contest) told(claimed []delivery.Claimed) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, claim := range claimed {
		c.events = append(c.events, claim.Event)
	}
}

// lease is sometimes none: then the events are claimed at the end.
func (c *contest) lease() delivery.Lease {
	if rand.N(3) == 0 {
		return delivery.Lease{}
	}
	return delivery.Lease{Token: rand.Int64() | 1, For: time.Hour}
}

func (c *contest) send(conversation string) {
	m := delivery.NewMessage{Header: delivery.Header{
		ID: fmt.Sprintf("m-%x", rand.Uint64()), Conversation: conversation, Sender: contestants[rand.N(len(contestants))],
		Open: rand.N(2) == 0, Quorum: 1 + rand.N(3), SentAt: time.Now(),
	}}
	if !m.Open {
		m.Roster, m.Members = "all", slices.Sorted(slices.Values(contestants))
	}
	created, claimed, err := createUntilTried(c.t.Context(), c.store, m, c.lease())
	if err != nil {
		c.t.Error(err)
		return
	}
	c.changed.Add(1)
	c.told(claimed)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent = append(c.sent, created[0].Message.Header)
}

func (c *contest) batch(n int) (marks []delivery.Mark) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(marks) < n {
		m := delivery.Mark{
			Message: c.sent[rand.N(len(c.sent))].ID, User: contestants[rand.N(len(contestants))], Socket: fmt.Sprint("s", rand.N(3)),
			Status: delivery.Delivered + delivery.Status(rand.N(2)), At: time.Now(), Admitted: true,
		}
		if !slices.ContainsFunc(marks, func(o delivery.Mark) bool { return o.Message == m.Message && o.User == m.User }) {
			marks = append(marks, m)
		}
	}
	return marks
}

// mark marks, and those again that were blocked, each by itself.
func (c *contest) mark(store delivery.Store, marks []delivery.Mark) {
	results, claimed, err := store.Advance(c.t.Context(), marks, c.lease())
	if err != nil {
		c.t.Error(err)
		return
	}
	c.told(claimed)
	for i, r := range results {
		switch {
		case r.Blocked:
			c.blocked.Add(1)
			c.mark(store, marks[i:i+1])
		case r.Changed:
			c.changed.Add(1)
		}
	}
}

func (c *contest) upTo() {
	c.mu.Lock()
	last := c.sent[rand.N(len(c.sent))]
	c.mu.Unlock()
	var marks []delivery.UpTo
	for _, user := range contestants[:1+rand.N(len(contestants))] {
		marks = append(marks, delivery.UpTo{
			Conversation: last.Conversation, Message: last.ID, User: user, Socket: fmt.Sprint("s", rand.N(3)),
			Status: delivery.Delivered + delivery.Status(rand.N(2)), At: time.Now(), Admitted: rand.N(2) == 0,
		})
	}
	results, claimed, err := c.store.AdvanceUpTo(c.t.Context(), marks, 1+rand.N(20), c.lease())
	if err != nil {
		c.t.Error(err)
		return
	}
	for _, result := range results {
		if result.Changed > 0 && result.To-result.From+1 != int64(result.Changed) {
			c.t.Errorf("%d changes took the versions %d to %d", result.Changed, result.From, result.To)
		}
		if result.Blocked {
			c.blocked.Add(1)
		}
		c.changed.Add(int64(result.Changed))
	}
	c.told(claimed)
}

// inTx marks in a transaction of the caller's, which is sometimes rolled back. Deadlocks are the
// caller's.
func (c *contest) inTx(marks []delivery.Mark) {
	tx, err := c.db.BeginTx(c.t.Context(), nil)
	if err != nil {
		c.t.Error(err)
		return
	}
	defer tx.Rollback()
	results, _, err := c.store.InTx(tx).Advance(c.t.Context(), marks, delivery.Lease{})
	switch {
	case err != nil && !isConflict(err):
		c.t.Error(err)
	case err != nil || rand.N(3) == 0:
		return
	}
	if err := tx.Commit(); err != nil {
		c.t.Error(err)
	}
	for _, r := range results {
		if r.Blocked {
			c.t.Error("a mark in a transaction was not tried")
		}
		if r.Changed {
			c.changed.Add(1)
		}
	}
}

// audit checks a conversation against the receipts in it and the events that told of it, and
// returns its version.
func (c *contest) audit(conversation string) int64 {
	t, ctx := c.t, c.t.Context()
	page, err := c.store.List(ctx, delivery.List{Conversation: conversation, Limit: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	events := slices.DeleteFunc(slices.Clone(c.events), func(e delivery.Event) bool { return e.Conversation != conversation })
	slices.SortFunc(events, func(a, b delivery.Event) int { return cmp.Compare(a.From, b.From) })
	next := int64(1)
	last := map[string]delivery.Update{}
	receipts := map[string]delivery.Receipt{}
	for _, e := range events {
		if e.From != next || e.To != e.From+int64(len(e.Updates))-1 {
			t.Fatalf("an event of %d updates covers %d to %d where %d was next", len(e.Updates), e.From, e.To, next)
		}
		for _, u := range e.Updates {
			if u.Version != next {
				t.Fatalf("an update has version %d where %d was next", u.Version, next)
			}
			next++
			last[u.Message] = u
			if r := u.Receipt; r != nil {
				if before := receipts[u.Message+r.Recipient]; before.Status >= r.Status {
					t.Errorf("a receipt went from %v to %v", before.Status, r.Status)
				}
				receipts[u.Message+r.Recipient] = *r
			}
		}
	}
	if page.Version != next-1 {
		t.Errorf("the conversation is at version %d, events told of %d", page.Version, next-1)
	}
	for _, m := range page.Messages {
		u := last[m.ID]
		got := delivery.Update{Message: m.ID, Sender: m.Sender, Version: m.Version, Status: m.Status, Delivered: m.Delivered, Read: m.Read, Total: m.Total, Readers: m.Readers}
		if u.Receipt = nil; u != got {
			t.Errorf("a message is %+v, the last event told of %+v", got, u)
		}
		stored, err := stores.Receipts(ctx, c.store, m.ID)
		if err != nil {
			t.Fatal(err)
		}
		tally := delivery.Tally{Status: delivery.Sent}
		slices.SortFunc(stored, func(a, b delivery.Receipt) int { return cmp.Compare(a.Version, b.Version) })
		for _, r := range stored {
			tally.Count(m.Header, delivery.Receipt{}, r)
			if r.Status > delivery.Sent && r != receipts[m.ID+r.Recipient] {
				t.Errorf("a receipt is %+v, the last event told of %+v", r, receipts[m.ID+r.Recipient])
			}
		}
		if tally.Delivered != m.Delivered || tally.Read != m.Read || tally.Status != m.Status {
			t.Errorf("a message counts %+v, its receipts make %+v", m.Tally, tally)
		}
	}
	return page.Version
}

func sqlState(err error) string {
	var e interface{ SQLState() string }
	if errors.As(err, &e) {
		return e.SQLState()
	}
	return ""
}

package contract

import (
	"database/sql"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
	"github.com/msgdelivery/delivery/sqlstore"
)

// group is a conversation of many audiences, in which everybody has marked all that was sent. bob
// and dan have read it, cem has it and did not read it, eve hides reads or is untracked, and fay,
// who was out of it for a while, was erased.
type group struct {
	*testing.T
	db      *sql.DB
	store   *sqlstore.Store
	tracker *delivery.Tracker
	now     time.Time
}

const lastOfGroup = "m9"

func newGroup(t *testing.T, e engines.Engine) *group {
	db, store := stores.Migrated(t, e)
	g := &group{T: t, db: db, store: store, tracker: stores.Tracker(t, store), now: time.Now()}
	all := []string{"ann", "bob", "cem", "dan", "eve", "fay"}
	for i, audience := range []delivery.Audience{
		{Recipients: all}, {Recipients: all, HideRead: []string{"eve"}}, {Open: true}, {Recipients: all[:4]}, {Recipients: all, Untracked: []string{"eve"}},
		{Recipients: all, Quorum: 1}, {Recipients: all}, {Recipients: all[:3]}, {Recipients: all},
	} {
		g.send(fmt.Sprint("m", i+1), audience)
	}
	for _, id := range []string{"m3", "m6"} { // in advance, and one by one
		g.must2(g.tracker.MarkRead(t.Context(), delivery.Actor{User: "bob"}, id))
	}
	for user, status := range map[string]delivery.Status{"bob": delivery.Read, "cem": delivery.Delivered, "dan": delivery.Read, "eve": delivery.Read, "fay": delivery.Read} {
		g.upTo(user, status)
	}
	g.must2(g.tracker.Delete(t.Context(), delivery.Actor{User: "ann"}, "m7"))
	g.must(g.tracker.Erase(t.Context(), "fay"))
	return g
}

// removeRows removes the rows of receipts by hand, as a compaction of all messages removes some.
func (g *group) removeRows(where string) {
	g.Helper()
	g.must2(g.db.Exec("DELETE FROM delivery_receipts" + where))
	g.must2(g.db.Exec("UPDATE delivery_conversations SET compacted = version"))
}

func (g *group) must(err error) {
	g.Helper()
	if err != nil {
		g.Fatal(err)
	}
}

func (g *group) must2(_ any, err error) {
	g.Helper()
	g.must(err)
}

func (g *group) send(id string, audience delivery.Audience) {
	g.Helper()
	g.must2(g.tracker.Send(g.Context(), delivery.Draft{ID: id, Conversation: "c", Sender: "ann", Audience: audience}))
}

func (g *group) upTo(user string, status delivery.Status) delivery.UpToResult {
	g.Helper()
	r, err := g.tracker.MarkUpTo(g.Context(), delivery.Actor{User: user}, status, delivery.MessageRef{Conversation: "c", ID: lastOfGroup})
	g.must(err)
	return r
}

// sight is all there is to see of a group but for times, and versions of receipts.
type sight struct {
	Version  int64
	Messages map[string][]delivery.Message // by viewer
	Receipts map[string][]string           // by message and status
	Unread   map[string]delivery.Unread    // by user
	Drifts   int
}

func (g *group) see() sight {
	g.Helper()
	s := sight{Messages: map[string][]delivery.Message{}, Receipts: map[string][]string{}, Unread: map[string]delivery.Unread{}}
	timeless := func(m *delivery.Message) {
		m.DeliveredAt, m.ReadAt = time.Time{}, time.Time{}
		if m.Own != nil {
			m.Own.DeliveredAt, m.Own.ReadAt, m.Own.Version = time.Time{}, time.Time{}, 0
		}
	}
	for _, viewer := range []string{"ann", "bob", "cem", "dan", "eve", "fay", "zed"} {
		page, err := g.tracker.Messages(g.Context(), delivery.Query{Conversation: "c", Viewer: viewer})
		g.must(err)
		s.Version = page.Version
		changes, err := g.tracker.ChangesFor(g.Context(), delivery.Actor{User: viewer}, "c", delivery.Cursor{Version: 4, Epoch: page.Epoch}, 0)
		g.must(err)
		s.Messages[viewer] = append(page.Messages, changes.Messages...)
		for i := range s.Messages[viewer] {
			timeless(&s.Messages[viewer][i])
		}
		unread, err := g.tracker.Unread(g.Context(), delivery.Actor{User: viewer}, "c")
		g.must(err)
		timeless(unread[0].Newest)
		s.Unread[viewer] = unread[0]
	}
	for _, m := range s.Messages["ann"] {
		if m.Deleted {
			continue
		}
		for status := range delivery.Read + 1 {
			for _, limit := range []int{1, 10} {
				key := fmt.Sprint(m.ID, " at ", status, ", ", limit, " at a time")
				q := delivery.ReceiptQuery{Message: m.ID, Status: status, Limit: limit}
				for more := true; more; {
					page, err := g.tracker.Receipts(g.Context(), q)
					g.must(err)
					for _, r := range page.Receipts {
						reason := r.Reason
						if reason != delivery.Untracked && reason != delivery.Capped {
							reason = ""
						}
						s.Receipts[key] = append(s.Receipts[key], fmt.Sprint(r.Recipient, " ", r.Status, " ", reason))
					}
					q.After, more = page.Next, page.More
				}
			}
		}
		var keys []delivery.ReceiptKey
		for _, user := range []string{"ann", "bob", "cem", "dan", "eve", "fay", "zed"} {
			keys = append(keys, delivery.ReceiptKey{Message: m.ID, Recipient: user})
		}
		receipts, err := g.store.ReceiptsOf(g.Context(), keys)
		g.must(err)
		for _, r := range receipts {
			s.Receipts[fmt.Sprint(m.ID, " of ", r.Recipient)] = []string{r.Status.String()}
		}
	}
	for _, err := range g.tracker.Verify(g.Context()) {
		g.must(err)
		s.Drifts++
	}
	return s
}

// same fails the test unless the group looks as it did.
func (g *group) same(what string, want sight) {
	g.Helper()
	got := g.see()
	for i := range reflect.TypeFor[sight]().NumField() {
		name, got, want := reflect.TypeFor[sight]().Field(i).Name, reflect.ValueOf(got).Field(i), reflect.ValueOf(want).Field(i)
		if reflect.DeepEqual(got.Interface(), want.Interface()) {
			continue
		}
		if got.Kind() != reflect.Map {
			g.Errorf("%s: %s is %+v, want %+v", what, name, got, want)
			continue
		}
		for _, key := range want.MapKeys() {
			if got := got.MapIndex(key); !got.IsValid() || !reflect.DeepEqual(got.Interface(), want.MapIndex(key).Interface()) {
				g.Errorf("%s: %s of %v is %+v, want %+v", what, name, key, got, want.MapIndex(key))
			}
		}
	}
}

// rows counts the rows of a table.
func (g *group) rows(table string) (n int) {
	g.Helper()
	g.must(g.db.QueryRow("SELECT COUNT(*) FROM " + table).Scan(&n))
	return n
}

// markAgain marks all messages again, in each way, none of which is to change anything.
func (g *group) markAgain() {
	g.Helper()
	statuses := map[string]delivery.Status{"bob": delivery.Read, "cem": delivery.Delivered, "dan": delivery.Read, "eve": delivery.Read}
	ids := []string{"m1", "m2", "m4", "m5", "m6", "m8", "m9"}
	for user, status := range statuses {
		actor := delivery.Actor{User: user}
		for s := delivery.Delivered; s <= status; s++ {
			results, err := g.tracker.Mark(g.Context(), actor, s, ids...)
			g.must(err)
			for _, r := range results {
				if r.Changed || r.Err == nil && r.Own.Status < s {
					g.Errorf("the mark of %s as %v by %s: %+v", r.Message, s, user, r)
				}
			}
			for _, id := range ids {
				if own, err := g.tracker.Mark(g.Context(), actor, s, id); err != nil || own[0].Changed {
					g.Errorf("the single mark of %s as %v by %s: %+v, %v", id, s, user, own, err)
				}
			}
			if r := g.upTo(user, s); r.Changed != 0 {
				g.Errorf("the up-to mark as %v by %s: %+v", s, user, r)
			}
		}
	}
}

// A recipient's receipt that has no row is what the reader's reach says: in no list, count or
// answer does it matter whether the row is there, and no mark counts twice.
func TestAReceiptWithoutARowIsWhatTheReachSays(t *testing.T) {
	stores.Each(t, func(t *testing.T, e engines.Engine) {
		g := newGroup(t, e)
		before := g.see()
		if before.Drifts != 0 {
			t.Fatalf("%d drifts before", before.Drifts)
		}
		g.removeRows(" WHERE EXISTS (SELECT 1 FROM delivery_messages m WHERE m.conv = delivery_receipts.conv AND m.seq = delivery_receipts.seq AND m.roster IS NOT NULL)")
		open := g.rows("delivery_receipts")
		g.same("without rows", before)
		g.markAgain()
		g.same("after marks that were there", before)
		if n := g.rows("delivery_receipts"); n != open {
			t.Errorf("%d rows, want %d", n, open)
		}

		// cem reads, once by a single mark, once by several, and then all.
		read := delivery.Read
		for i, ids := range [][]string{{"m1"}, {"m2", "m4"}} {
			results, err := g.tracker.Mark(t.Context(), delivery.Actor{User: "cem"}, read, ids...)
			g.must(err)
			for _, r := range results {
				if !r.Changed || r.Own.Status != read || !r.Own.DeliveredAt.IsZero() || r.Own.ReadAt.IsZero() || r.Own.Version <= before.Version {
					t.Errorf("mark %d: %+v", i, r)
				}
			}
		}
		if r := g.upTo("cem", read); r.Changed != 5 || r.To != before.Version+8 {
			t.Errorf("the up-to mark: %+v from %d", r, before.Version)
		}
		counts := map[string][2]int{"m1": {5, 5}, "m2": {5, 4}, "m4": {3, 3}, "m5": {4, 4}, "m6": {5, 5}, "m8": {2, 2}, "m9": {5, 5}}
		for id, want := range counts {
			m, err := g.tracker.Message(t.Context(), id)
			g.must(err)
			if got := [2]int{m.Delivered, m.Read}; got != want {
				t.Errorf("the counts of %s are %v, want %v", id, got, want)
			}
		}
		if after := g.see(); after.Drifts != 0 || after.Unread["cem"].Count != 0 {
			t.Errorf("%d drifts, %d unread", after.Drifts, after.Unread["cem"].Count)
		}
		g.must2(g.tracker.Delete(t.Context(), delivery.Actor{User: "ann"}, "m1", "m2"))
		if n := g.rows("delivery_receipts WHERE seq <= 2"); n != 0 {
			t.Errorf("%d receipts of deleted messages are left", n)
		}
	})
}

// Whose receipts have no rows is judged by the reach, too, when somebody is to be reminded.
func TestWhoIsOverdueIsJudgedWithoutRows(t *testing.T) {
	stores.Each(t, func(t *testing.T, e engines.Engine) {
		g := newGroup(t, e)
		due := func(who delivery.OverdueFor) (all []string) {
			t.Helper()
			found, err := g.tracker.Overdue(t.Context(), delivery.OverdueRule{Name: "r", Status: delivery.Read, After: time.Microsecond, For: who, Lease: time.Microsecond}, 100)
			g.must(err)
			for _, d := range found {
				all = append(all, fmt.Sprint(d.Recipient, " ", d.Message.ID, " ", d.Status))
			}
			return all
		}
		due(delivery.ForSender)
		due(delivery.ForRecipient)
		time.Sleep(5 * time.Millisecond) // the clocks of databases tick
		g.send("n", delivery.Audience{Recipients: []string{"bob", "cem", "dan"}})
		for user, status := range map[string]delivery.Status{"bob": delivery.Read, "cem": delivery.Delivered} {
			g.must2(g.tracker.MarkUpTo(t.Context(), delivery.Actor{User: user}, status, delivery.MessageRef{Conversation: "c", ID: "n"}))
		}
		g.removeRows("")
		time.Sleep(5 * time.Millisecond)
		for _, who := range []delivery.OverdueFor{delivery.ForSender, delivery.ForRecipient} {
			if got := fmt.Sprint(due(who)); got != "[cem n delivered dan n sent]" && got != "[dan n sent cem n delivered]" {
				t.Errorf("%d: %s", who, got)
			}
		}
	})
}

package contention

import (
	"database/sql"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
	"github.com/msgdelivery/delivery/sqlstore"
)

const hoursCounted = 7 * 24 // that are counted

// counter is a store in which no hour is due but those that the test says.
type counter struct {
	*testing.T
	db    *sql.DB
	store *sqlstore.Store
	sent  int
}

func eachCounter(t *testing.T, test func(c *counter)) {
	eachKind(t, func(t *testing.T, e engines.Engine) {
		c := &counter{T: t}
		c.db, c.store = stores.Migrated(t, e)
		for i := range 2 * hoursCounted {
			at := time.Now().Truncate(time.Hour).Add(24*time.Hour - time.Duration(i)*time.Hour)
			c.exec("INSERT INTO delivery_hours (began_at, ready_at) VALUES (%d, %d)", at.UnixMicro(), time.Now().Add(24*time.Hour).UnixMicro())
		}
		c.count(0)
		test(c)
	})
}

func (c *counter) exec(statement string, args ...any) {
	c.Helper()
	if _, err := c.db.ExecContext(c.Context(), fmt.Sprintf(statement, args...)); err != nil {
		c.Fatal(err)
	}
}

func (c *counter) ask(query string, args ...any) (n int64) {
	c.Helper()
	if err := c.db.QueryRowContext(c.Context(), fmt.Sprintf(query, args...)).Scan(&n); err != nil {
		c.Fatal(err)
	}
	return n
}

// count counts the hours that are due, which are to be so many.
func (c *counter) count(want int) {
	c.Helper()
	if n, err := stores.Tracker(c, c.store).CountHours(c.Context()); n != want || err != nil {
		c.Fatalf("%d hours were counted, %v; want %d", n, err, want)
	}
}

// again makes an hour due, and has it counted.
func (c *counter) again(start time.Time) {
	c.Helper()
	c.exec("UPDATE delivery_hours SET ready_at = 1 WHERE began_at = %d", start.UnixMicro())
	c.count(1)
}

// hour is what was counted of an hour.
func (c *counter) hour(start time.Time) delivery.Hour {
	c.Helper()
	hours, err := c.store.Hours(c.Context(), start, 1)
	if err != nil || len(hours) != 1 || !hours[0].Start.Equal(start) {
		c.Fatalf("%v, %v", hours, err)
	}
	return hours[0]
}

// send stores open messages as of a time, and moves each by a number of microseconds, which may
// name its seq.
func (c *counter) send(conversation string, n int, at time.Time, shift string) (ids []string) {
	c.Helper()
	for len(ids) < n {
		messages := make([]delivery.NewMessage, min(delivery.MaxBatch, n-len(ids)))
		for i := range messages {
			c.sent++
			ids = append(ids, fmt.Sprint("m", c.sent))
			messages[i].Header = delivery.Header{ID: ids[len(ids)-1], Conversation: conversation, Sender: "ann", Open: true, Quorum: 1, SentAt: at}
		}
		if _, _, err := c.store.Create(c.Context(), messages, delivery.Lease{}); err != nil {
			c.Fatal(err)
		}
	}
	c.exec("UPDATE delivery_messages SET stored_at = %d + %s WHERE conv = (SELECT conv FROM delivery_conversations WHERE id = '%s')", at.UnixMicro(), shift, conversation)
	return ids
}

// read marks a message as read a minute after a time.
func (c *counter) read(id string, at time.Time) {
	c.Helper()
	mark := stores.MarkBy("bob", id)
	mark.Status, mark.At = delivery.Read, at.Add(time.Minute)
	if marked, _, err := c.store.Advance(c.Context(), []delivery.Mark{mark}, delivery.Lease{}); err != nil || !marked[0].Changed {
		c.Fatal(marked, err)
	}
}

// past is an hour that is over.
func past() time.Time { return time.Now().UTC().Truncate(time.Hour).Add(-30 * time.Hour) }

// sendHourly sends a message in each hour that is counted.
func (c *counter) sendHourly() {
	c.Helper()
	c.send("hourly", hoursCounted, time.Now(), "(1 - seq) * 3600000000")
}

func TestAYoungHourIsDueEachMinuteAndAnOlderOneWhenItsAgeHasDoubled(t *testing.T) {
	eachKind(t, func(t *testing.T, e engines.Engine) {
		db, store := stores.Migrated(t, e)
		c := &counter{T: t, db: db, store: store}
		c.count(1) // this one
		c.send("old", 3, time.Now().Add(-(hoursCounted+2)*time.Hour), "seq")
		c.count(0)
		c.sendHourly()
		c.count(hoursCounted - 1)
		for age, again := range map[string]string{"< 7200000000": "BETWEEN 60000000 AND 120000000", ">= 7200000000": "= made_at - began_at"} {
			if n := c.ask("SELECT COUNT(*) FROM delivery_hours WHERE made_at - began_at %s AND NOT ready_at - made_at %s", age, again); n != 0 {
				t.Errorf("%d of the hours whose age is %s µs are due at another time", n, age)
			}
		}
		if n := c.ask("SELECT COUNT(*) FROM delivery_hours WHERE made_at > 0"); n != hoursCounted {
			t.Errorf("%d hours have a count, want %d", n, hoursCounted)
		}
	})
}

func TestHoursWithoutMessagesArePassedOver(t *testing.T) {
	eachKind(t, func(t *testing.T, e engines.Engine) {
		db, store := stores.Migrated(t, e)
		c := &counter{T: t, db: db, store: store}
		for _, ago := range []time.Duration{5, 6, 50, 150} {
			c.send(fmt.Sprint(ago), 2, time.Now().Add(-ago*time.Hour), "seq")
		}
		c.count(5) // and this one
		if n := c.ask("SELECT SUM(messages) FROM delivery_hours"); n != 8 {
			t.Errorf("%d messages were counted, of 8", n)
		}
	})
}

func TestProcessesShareTheHours(t *testing.T) {
	eachKind(t, func(t *testing.T, e engines.Engine) {
		database := stores.Database(t, e)
		c := &counter{T: t, db: database.Open(t)}
		c.store = stores.Open(t, e, c.db)
		c.sendHourly()
		var all atomic.Int64
		var processes sync.WaitGroup
		for range 4 {
			tracker := stores.Tracker(t, stores.Open(t, e, database.Open(t)))
			processes.Go(func() {
				n, err := tracker.CountHours(t.Context())
				if err != nil {
					t.Error(err)
				}
				all.Add(int64(n))
			})
		}
		processes.Wait()
		if n := all.Load(); n != hoursCounted {
			t.Errorf("%d hours were counted, of %d", n, hoursCounted)
		}
		if n := c.ask("SELECT COUNT(*) FROM delivery_hours WHERE messages = 1"); n != hoursCounted {
			t.Errorf("%d hours have the one message that they have, of %d", n, hoursCounted)
		}
	})
}

func TestAProcessThatDiesLeavesItsHourToTheOthers(t *testing.T) {
	eachCounter(t, func(c *counter) {
		c.exec("UPDATE delivery_hours SET ready_at = %d WHERE began_at = %d", time.Now().Add(10*time.Minute).UnixMicro(), past().UnixMicro())
		c.count(0)
		if hours, err := c.store.Hours(c.Context(), past(), 1); err != nil || len(hours) > 0 {
			c.Errorf("an hour that was never counted is returned: %v, %v", hours, err)
		}
		c.exec("UPDATE delivery_hours SET ready_at = ready_at - %d WHERE began_at = %d", (11 * time.Minute).Microseconds(), past().UnixMicro())
		c.count(1)
		c.hour(past())
	})
}

func TestAnHourThatIsTooOldIsCountedNoMore(t *testing.T) {
	eachCounter(t, func(c *counter) {
		c.exec("UPDATE delivery_hours SET ready_at = 1 WHERE began_at < %d", time.Now().Add(-hoursCounted*time.Hour).UnixMicro())
		c.count(0)
		c.exec("UPDATE delivery_hours SET ready_at = 1 WHERE began_at > %d", time.Now().UnixMicro())
		c.count(0) // nor one that has not begun
	})
}

func TestAnOlderCountDoesNotReplaceANewerOne(t *testing.T) {
	eachCounter(t, func(c *counter) {
		newer := time.Now().Add(time.Hour).Truncate(time.Microsecond).UTC()
		c.exec("UPDATE delivery_hours SET made_at = %d, messages = 7 WHERE began_at = %d", newer.UnixMicro(), past().UnixMicro())
		c.send("c", 9, past(), "seq")
		c.again(past())
		if h := c.hour(past()); h.Messages.Sent != 7 || !h.AsOf.Equal(newer) {
			c.Errorf("a newer count of 7 became %+v", h)
		}
	})
}

func TestAnHourHasExactlyTheMessagesThatWereStoredInIt(t *testing.T) {
	eachCounter(t, func(c *counter) {
		const before, first, many, last, after = 3, 5, 12_000, 7, 11
		c.send("before", before, past().Add(-time.Microsecond), "0")
		c.send("first", first, past(), "0")
		c.send("many", many, past().Add(time.Minute), "seq % 3") // more than one read takes, at three times
		c.send("last", last, past().Add(time.Hour-time.Microsecond), "0")
		c.send("after", after, past().Add(time.Hour), "0")
		for start, want := range map[time.Time]int{past().Add(-time.Hour): before, past(): first + many + last, past().Add(time.Hour): after} {
			c.again(start)
			if h := c.hour(start); h.Messages != (delivery.Funnel{Sent: want}) {
				c.Errorf("the hour of %v has %+v, want %d messages", start, h.Messages, want)
			}
		}
	})
}

func TestACountOutlivesItsMessages(t *testing.T) {
	eachCounter(t, func(c *counter) {
		pruned := c.send("pruned", 3, past(), "seq")
		compact := c.send("compact", 2, past().Add(-time.Hour), "seq")
		c.read(pruned[0], past())
		c.read(compact[0], past())
		starts := []time.Time{past(), past().Add(-time.Hour)}
		var before []delivery.Hour
		for _, start := range starts {
			c.again(start)
			before = append(before, c.hour(start))
		}
		if before[0].Messages != (delivery.Funnel{Sent: 3, Delivered: 1, Read: 1}) || before[1].Messages != (delivery.Funnel{Sent: 2, Delivered: 1, Read: 1}) {
			c.Fatalf("%+v", before)
		}
		if r, err := c.store.Prune(c.Context(), delivery.Pruning{Conversation: "pruned", All: true, Limit: 2}); err != nil || r.Removed != 2 {
			c.Fatal(r, err)
		}
		c.exec("UPDATE delivery_states SET delivered_at = NULL, read_at = NULL WHERE conv = (SELECT conv FROM delivery_conversations WHERE id = 'compact')")
		for i, start := range starts {
			c.again(start)
			if h := c.hour(start); h != before[i] {
				c.Errorf("%+v became %+v", before[i], h)
			}
			if n := c.ask("SELECT ready_at FROM delivery_hours WHERE began_at = %d", start.UnixMicro()); n < time.Now().Add(time.Hour).UnixMicro() {
				c.Errorf("it is due again at once, at %d", n)
			}
		}
	})
}

func TestWhatWasDeletedAndWhatCameLateIsInTheNextCount(t *testing.T) {
	eachCounter(t, func(c *counter) {
		ids := c.send("c", 3, past(), "seq")
		c.read(ids[0], past())
		c.again(past())
		if _, _, err := c.store.Delete(c.Context(), []delivery.Deletion{{Message: ids[0]}, {Message: ids[1]}}, delivery.Lease{}); err != nil {
			c.Fatal(err)
		}
		c.send("late", 4, past(), "seq")
		c.read(ids[2], past())
		c.again(past())
		h := c.hour(past())
		if h.Messages != (delivery.Funnel{Sent: 5, Delivered: 1, Read: 1}) || h.Deleted != 2 || h.ToRead[3] != 1 {
			c.Errorf("%+v", h)
		}
	})
}

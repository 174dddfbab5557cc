package contention

import (
	"database/sql"
	"fmt"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
	"github.com/msgdelivery/delivery/sqlstore"
)

// reminders is a store with a rule that has made its first call.
type reminders struct {
	*testing.T
	db    *sql.DB
	store *sqlstore.Store
	rule  delivery.OverdueRule
	calls int
}

func eachReminders(t *testing.T, test func(r *reminders)) {
	eachKind(t, func(t *testing.T, e engines.Engine) {
		r := &reminders{T: t, rule: delivery.OverdueRule{
			Name: "mail", Status: delivery.Delivered, After: time.Millisecond, Within: time.Hour, For: delivery.ForSender, Lease: time.Hour,
		}}
		r.db, r.store = stores.Migrated(t, e)
		r.look()
		time.Sleep(5 * time.Millisecond) // until the clock ticks: SQLite's does in milliseconds
		r.exec("UPDATE delivery_rules SET since = since - %d", (24 * time.Hour).Microseconds())
		test(r)
	})
}

func (r *reminders) exec(statement string, args ...any) {
	r.Helper()
	if _, err := r.db.ExecContext(r.Context(), fmt.Sprintf(statement, args...)); err != nil {
		r.Fatal(err)
	}
}

// send sends n messages to bob, or open ones, named by a prefix and their numbers.
func (r *reminders) send(conversation, prefix string, n int, open bool) {
	r.Helper()
	for from := 0; from < n; from += delivery.MaxBatch {
		var messages []delivery.NewMessage
		for i := from; i < min(n, from+delivery.MaxBatch); i++ {
			m := delivery.NewMessage{Header: delivery.Header{
				ID: fmt.Sprint(prefix, i), Conversation: conversation, Sender: "ann", SentAt: time.Now(), Open: open,
			}}
			if open {
				m.Quorum = 1
			} else {
				m.Roster, m.Members = "bob", []string{"bob"}
			}
			messages = append(messages, m)
		}
		if _, _, err := r.store.Create(r.Context(), messages, delivery.Lease{}); err != nil {
			r.Fatal(err)
		}
	}
}

// move moves when messages were stored.
func (r *reminders) move(by time.Duration, where string) {
	r.Helper()
	r.exec("UPDATE delivery_messages SET stored_at = stored_at + %d WHERE %s", by.Microseconds(), where)
}

// look is one call of the store.
func (r *reminders) look() delivery.OverdueResult {
	r.Helper()
	r.calls++
	result, err := r.store.Overdue(r.Context(), r.rule, delivery.MaxBatch, delivery.Lease{Token: int64(r.calls), For: r.rule.Lease})
	if err != nil || result.Blocked {
		r.Fatal(result, err)
	}
	return result
}

// find calls the store while it says that there is more, and returns how many it found.
func (r *reminders) find() (found int) {
	r.Helper()
	time.Sleep(20 * time.Millisecond)
	for range 100 {
		result := r.look()
		if found += len(result.Due); !result.More {
			return found
		}
	}
	r.Error("there is always more")
	return found
}

// While a call looks for who comes again, somebody settles the first of two.
func TestWhoIsBeingSettledIsNotReturned(t *testing.T) {
	eachReminders(t, func(r *reminders) {
		r.rule.Lease = time.Microsecond
		r.send("c", "m", 2, false)
		time.Sleep(20 * time.Millisecond)
		due := r.look().Due
		if len(due) != 2 {
			r.Fatal(due)
		}
		tx := stores.Begin(r.T, r.db)
		settle := fmt.Sprintf("DELETE FROM delivery_overdue WHERE lease = %d AND number = %d", due[0].Claim.Lease, due[0].Claim.Number)
		if _, err := tx.ExecContext(r.Context(), settle); err != nil {
			r.Fatal(err)
		}
		var again delivery.OverdueResult
		var err error
		looked := make(chan struct{})
		go func() {
			defer close(looked)
			again, err = r.store.Overdue(r.Context(), r.rule, 10, delivery.Lease{Token: 100, For: time.Hour})
		}()
		select {
		case <-looked:
		case <-time.After(time.Second): // SQLite waits for the transaction
		}
		if err := tx.Commit(); err != nil {
			r.Fatal(err)
		}
		<-looked
		if err != nil || len(again.Due) != 1 || again.Due[0].Message.ID != due[1].Message.ID {
			r.Errorf("returned are %v, %v, want the recipient of %s alone", again.Due, err, due[1].Message.ID)
		}
	})
}

// The clock was an hour fast when the first messages of two conversations were stored, and is right
// since. The messages that follow in one of them were stored later, so its first one is due as
// well. The other conversation's message is due at the time that the clock said.
func TestAMessageFromTheFutureHoldsUpNoCall(t *testing.T) {
	const n = delivery.MaxBatch + 1
	eachReminders(t, func(r *reminders) {
		r.send("c", "m", n, false)
		r.send("alone", "a", 1, false)
		r.move(time.Hour, "seq = 1")
		if found := r.find(); found != n {
			r.Errorf("%d of %d were returned", found, n)
		}
		r.move(-time.Hour, "seq = 1")
		if found := r.find(); found != 1 {
			r.Errorf("%d were returned when the other was due, want its recipient", found)
		}
	})
}

// A rule that nobody called for long does not go through what it has given up, whether it has been
// in the conversation or not.
func TestARuleBeginsWhereSomebodyMayBeOverdue(t *testing.T) {
	eachReminders(t, func(r *reminders) {
		r.send("known", "k", 1, false)
		if found := r.find(); found != 1 {
			r.Fatal(found)
		}
		for _, c := range []string{"known", "new"} {
			r.send(c, c, 2*delivery.MaxBatch, false)
		}
		r.move(-2*time.Hour, "seq > 0")
		for _, c := range []string{"known", "new"} {
			r.send(c, c+"-last", 1, false)
		}
		time.Sleep(20 * time.Millisecond)
		if due := r.look().Due; len(due) != 2 {
			r.Errorf("the first call returned %d, want the recipients of the two last messages", len(due))
		}
	})
}

// More messages were stored in the last hour than one call looks at.
func TestAMessageThatCommitsLateIsFoundAmongMany(t *testing.T) {
	const many = 10_500
	eachReminders(t, func(r *reminders) {
		r.send("c", "m", many, true)
		r.move(-10*time.Minute, "seq <= 500")
		if found := r.find(); found != 0 {
			r.Fatal(found)
		}
		for _, ago := range []time.Duration{20 * time.Minute, 5 * time.Minute} {
			id := fmt.Sprint("late", int(ago.Minutes()), "-")
			r.send(id, id, 1, false)
			r.move(-ago, fmt.Sprintf("id = '%s0'", id))
			if found := r.find(); found != 1 {
				r.Errorf("the recipient of a message that was stored %v ago was returned %d times", ago, found)
			}
		}
	})
}

// Before a rule's last call, 3 hours ago, a message was stored that was committed after it.
func TestAMessageThatCommitsLateIsFoundByTheNextCallAlsoHoursLater(t *testing.T) {
	eachReminders(t, func(r *reminders) {
		r.rule.Within = 24 * time.Hour
		r.send("known", "k", 1, false)
		if found := r.find(); found != 1 {
			r.Fatal(found)
		}
		r.exec("UPDATE delivery_rules SET head = head - %[1]d, tail = tail - %[1]d", (3 * time.Hour).Microseconds())
		r.send("new", "n", 1, false)
		r.move(-3*time.Hour-30*time.Minute, "id = 'n0'")
		if found := r.find(); found != 1 {
			r.Errorf("the recipient was returned %d times", found)
		}
	})
}

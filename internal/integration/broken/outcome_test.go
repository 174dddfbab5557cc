package broken

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
	"github.com/msgdelivery/delivery/sqlstore"
)

var everyByte = flag.Bool("every-byte", false, "break connections at every byte, and not only at the ends of a request and some others")

// edge is how long the messages of Postgres' protocol are that carry a request out and end it.
const edge = 24

// breaks returns after how many of so many bytes a connection is to break: near both ends, and
// about edge times elsewhere. Each costs a new session of the database.
func breaks(total int) (all []int) {
	chance := edge / float64(total)
	for n := range total {
		if *everyByte || n < edge || n >= total-edge || rand.Float64() < chance {
			all = append(all, n)
		}
	}
	return all
}

// Wherever a connection breaks in the last request of a write, which is all of it on Postgres and
// COMMIT on MariaDB, or in the answer: a call that says that it failed has changed nothing, one
// that says that it succeeded tells what it changed, and any other says that the outcome is
// unknown.
func TestSQLStoreTellsOutcomesTrulyWhereverAConnectionBreaks(t *testing.T) {
	for _, e := range engines.All {
		if e.Kind == engines.SQLite {
			continue // no connections
		}
		t.Run(e.Name, func(t *testing.T) {
			t.Parallel()
			over, beside, wire := wired(t, e)
			over.SetMaxOpenConns(1)
			store, judge := stores.Open(t, e, over), stores.Open(t, e, beside)
			mark := func(store *sqlstore.Store, user int) (changed bool, err error) {
				// As text, a time whose microseconds end in 0 is shorter, and so would the answer
				// be.
				at := time.Unix(1_800_000_000, 123_457_000)
				// Blocked is no outcome: the server does not know yet that the connection of an
				// attempt is broken, and has to decide.
				marks := []delivery.Mark{{Message: "m", User: fmt.Sprintf("%05d", user), Status: delivery.Read, At: at, Admitted: true}}
				for {
					marked, _, err := store.Advance(t.Context(), marks, delivery.Lease{Token: 1, For: time.Hour})
					if err == nil && marked[0].Blocked {
						continue
					}
					return err == nil && marked[0].Changed, err
				}
			}
			message := delivery.NewMessage{Header: delivery.Header{ID: "m", Conversation: "c", Sender: "a", Open: true, Quorum: 1, SentAt: time.Now()}}
			if _, _, err := judge.Create(t.Context(), []delivery.NewMessage{message}, delivery.Lease{}); err != nil {
				t.Fatal(err)
			}
			user := 0
			// warm has the pool's connection write, and returns a user who has not marked.
			warm := func() int {
				user += 2
				if changed, err := mark(store, user); err != nil || !changed {
					t.Fatalf("without a break: %t, %v", changed, err)
				}
				wire.passed()
				return user + 1
			}
			if changed, err := mark(store, warm()); err != nil || !changed {
				t.Fatalf("without a break: %t, %v", changed, err)
			}
			request, answer, before := last(wire.passed())
			unknown := 0
			try := func(to direction, bytes int) {
				user := warm()
				seen := wire.breakAt(piece{to, before[to] + bytes})
				changed, err := mark(store, user)
				select {
				case <-seen:
				case <-time.After(10 * time.Second):
					t.Fatalf("the connection does not break after %d bytes: %v", bytes, err)
				}
				unchanged, failed := mark(judge, user)
				if failed != nil {
					t.Fatal(failed)
				}
				switch done := !unchanged; {
				case errors.Is(err, delivery.ErrOutcomeUnknown):
					unknown++
				case err != nil && done:
					t.Errorf("%d bytes of the request or answer: it says that it failed, and it was done: %v", bytes, err)
				case err == nil && !(done && changed):
					t.Errorf("%d bytes of the request or answer: it says nothing; done: %t, changed: %t", bytes, done, changed)
				}
			}
			toBreak, back := breaks(request+1), breaks(answer)
			for _, bytes := range toBreak {
				try(toServer, bytes)
			}
			for _, bytes := range back {
				try(toClient, bytes)
			}
			t.Logf("%d breaks in %d + %d bytes, %d outcomes unknown", len(toBreak)+len(back), request, answer, unknown)
		})
	}
}

// last returns how long the last request that was answered is, and the answer, and what passed
// before in both directions.
func last(pieces []piece) (request, answer int, before map[direction]int) {
	n := len(pieces)
	if pieces[n-1].to == toServer { // it wants no answer
		n--
	}
	before = map[direction]int{}
	for _, p := range pieces[:n-2] {
		before[p.to] += p.bytes
	}
	return pieces[n-2].bytes, pieces[n-1].bytes, before
}

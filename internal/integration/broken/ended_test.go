package broken

import (
	"errors"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/cutter"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
)

// A server that restarts, or that an administrator has end a session, has not carried out what it
// was asked for on that session. So these calls are made on another.
func TestACallOnASessionThatTheServerHasEndedIsMadeOnAnother(t *testing.T) {
	end := map[engines.Kind]string{
		engines.Postgres: "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
		engines.MySQL:    "KILL CONNECTION ?",
	}
	for _, e := range engines.All {
		if e.Kind == engines.SQLite {
			continue // no sessions
		}
		database := e.Database(t)
		beside := database.Open(t)
		stores.Migrate(t, e, beside)
		db := database.Open(t)
		db.SetMaxOpenConns(1)
		store := stores.Open(t, e, db)
		if err := post(t, store, "m"); err != nil {
			t.Fatal(err)
		}
		calls := map[string]func() error{
			"a read": func() error {
				_, err := store.Load(t.Context(), []string{"m"})
				return err
			},
			"a transaction": func() error {
				_, _, err := store.AdvanceOwn(t.Context(), []delivery.OwnMark{{Message: "m", User: "b", Status: delivery.Read}}, delivery.Lease{})
				return err
			},
		}
		for what, call := range calls {
			t.Run(e.Name+", "+what, func(t *testing.T) {
				var session []any
				if e.Kind == engines.MySQL {
					var id int64
					if err := db.QueryRowContext(t.Context(), "SELECT CONNECTION_ID()").Scan(&id); err != nil {
						t.Fatal(err)
					}
					session = []any{id}
				}
				if err := call(); err != nil {
					t.Fatal(err)
				}
				if _, err := beside.ExecContext(t.Context(), end[e.Kind], session...); err != nil {
					t.Fatal(err)
				}
				// The network may say first that the connection is gone.
				if err := call(); err != nil && !errors.Is(err, delivery.ErrUnavailable) {
					t.Error(err)
				}
			})
		}
	}
}

// A process that stands still between a claim and its commit, or that the network has cut off
// there, keeps its events from the others for a few seconds, and not for as long as the server
// keeps the connection.
func TestAClaimThatIsNotCommittedKeepsNoEvents(t *testing.T) {
	for _, e := range engines.All {
		if e.Kind != engines.Postgres {
			continue // MariaDB's servers end such a transaction if the DSN says so, and SQLite has none
		}
		t.Run(e.Name, func(t *testing.T) {
			t.Parallel()
			db, cut := cutter.Open(t, e)
			store := stores.Open(t, e, db)
			if err := post(t, store, "m"); err != nil {
				t.Fatal(err)
			}
			other := stores.Open(t, e, cut.Database.Open(t))
			claim := func(from delivery.Outbox) ([]delivery.Claimed, error) {
				return from.Claim(t.Context(), 10, delivery.Lease{Token: 1, For: time.Minute})
			}
			var claimed []delivery.Claimed
			cut.Meanwhile("^COMMIT$", func() {
				for began := time.Now(); len(claimed) == 0 && time.Since(began) < 15*time.Second; time.Sleep(50 * time.Millisecond) {
					var err error
					if claimed, err = claim(other); err != nil {
						t.Error(err)
					}
				}
			})
			if late, err := claim(store); len(claimed) != 1 || len(late) != 0 || !errors.Is(err, delivery.ErrOutcomeUnknown) {
				t.Errorf("another relay claimed %d events, and the one that stood still %d: %v", len(claimed), len(late), err)
			}
		})
	}
}

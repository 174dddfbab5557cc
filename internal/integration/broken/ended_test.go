package broken

import (
	"errors"
	"testing"

	"github.com/msgdelivery/delivery"
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

package broken

import (
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
	"github.com/msgdelivery/delivery/sqlstore"
)

// post stores a message of that id, as far as the store lets it.
func post(t *testing.T, store delivery.Store, id string) error {
	t.Helper()
	message := delivery.NewMessage{Header: delivery.Header{ID: id, Conversation: "c", Sender: "a", Open: true, Quorum: 1, SentAt: time.Now()}}
	created, _, err := store.Create(t.Context(), []delivery.NewMessage{message}, delivery.Lease{})
	if err == nil {
		err = created[0].Err
	}
	return err
}

// A session that can no longer do what others can leaves the pool, and the call that met it is made
// on another.
func TestACallThatMeetsAUselessSessionIsMadeOnAnother(t *testing.T) {
	spoil := map[engines.Kind]map[string]string{
		engines.Postgres: {
			"read-only":                         "SET default_transaction_read_only = on",
			"prepared statements that are gone": "DEALLOCATE ALL",
			"everything of it that is reset":    "DISCARD ALL",
		},
		engines.MySQL: {"read-only": "SET SESSION TRANSACTION READ ONLY"},
	}
	for _, e := range engines.All {
		for what, statement := range spoil[e.Kind] {
			t.Run(e.Name+", "+what, func(t *testing.T) {
				sizes := []int{1, 5}
				if what != "read-only" {
					sizes = sizes[:1] // it is tried on one other
				}
				for _, size := range sizes {
					db, store := stores.Migrated(t, e)
					db.SetMaxOpenConns(size)
					db.SetMaxIdleConns(size)
					conns := make([]*sql.Conn, size)
					for i := range conns {
						conns[i], _ = db.Conn(t.Context())
					}
					for _, conn := range conns {
						conn.Close()
						if err := post(t, store, fmt.Sprint("warm ", conn)); err != nil {
							t.Fatal(err)
						}
					}
					for i := range conns {
						var err error
						if conns[i], err = db.Conn(t.Context()); err != nil {
							t.Fatal(err)
						}
					}
					for _, conn := range conns {
						if _, err := conn.ExecContext(t.Context(), statement); err != nil {
							t.Fatal(err)
						}
						conn.Close()
					}
					for n := range 3 {
						if err := post(t, store, fmt.Sprint(n)); err != nil {
							t.Errorf("pool of %d, send %d: %v", size, n, err)
						}
					}
				}
			})
		}
	}
}

func unavailable(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, delivery.ErrUnavailable) || errors.Is(err, delivery.ErrOutcomeUnknown) {
		t.Errorf("%s: %v", what, err)
	}
}

// Where nothing can be written, the error says so, and the next call succeeds as soon as it can.
func TestSQLStoreSaysThatTheDatabaseIsUnavailable(t *testing.T) {
	for _, e := range engines.All {
		if e.Kind == engines.SQLite {
			continue
		}
		t.Run(e.Name+", read-only everywhere", func(t *testing.T) {
			server := e.Server(t)
			database := server.Database(t)
			admin := database.Open(t)
			stores.Migrate(t, e, admin)
			exec := map[engines.Kind][]string{
				engines.Postgres: {"ALTER ROLE ALL SET default_transaction_read_only = on"},
				engines.MySQL:    {"CREATE USER app IDENTIFIED BY 'secret'", "GRANT SELECT, INSERT, UPDATE, DELETE ON *.* TO app", "SET GLOBAL read_only = 1"},
			}
			for _, statement := range exec[e.Kind] {
				if _, err := admin.Exec(statement); err != nil {
					t.Fatal(err)
				}
			}
			if e.Kind == engines.MySQL { // the administrator may write all the same
				config, err := mysql.ParseDSN(database.DSN)
				if err != nil {
					t.Fatal("not a DSN")
				}
				config.User, config.Passwd = "app", "secret"
				database.DSN = config.FormatDSN()
			}
			store := stores.Open(t, e, database.Open(t))
			unavailable(t, "a send", post(t, store, "m"))
			if _, err := store.Load(t.Context(), []string{"m"}); err != nil {
				t.Errorf("a read: %v", err)
			}
		})
		t.Run(e.Name+", no connection left", func(t *testing.T) {
			database := e.Database(t)
			admin := database.Open(t)
			stores.Migrate(t, e, admin)
			unavailable(t, "a send", post(t, stores.Open(t, e, limited(t, database, admin)), "m"))
		})
		if e.Kind == engines.Postgres {
			t.Run(e.Name+", too slow for its statement_timeout", func(t *testing.T) {
				db, store := stores.Migrated(t, e)
				db.SetMaxOpenConns(1)
				if err := post(t, store, "m"); err != nil {
					t.Fatal(err)
				}
				for _, statement := range []string{
					"CREATE FUNCTION nap() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(60); RETURN NEW; END'",
					"CREATE TRIGGER nap BEFORE INSERT ON delivery_receipts FOR EACH ROW EXECUTE FUNCTION nap()",
					"SET statement_timeout = '100ms'",
				} {
					if _, err := db.Exec(statement); err != nil {
						t.Fatal(err)
					}
				}
				// So the Tracker does not try the halves of the batch, which would load the
				// database more.
				_, _, err := store.Advance(t.Context(), []delivery.Mark{stores.MarkBy("b", "m"), stores.MarkBy("c", "m")}, delivery.Lease{})
				unavailable(t, "marks", err)
			})
		}
		t.Run(e.Name+", away", func(t *testing.T) {
			server := e.Server(t)
			db := server.Database(t).Open(t)
			stores.Migrate(t, e, db)
			store := stores.Open(t, e, db)
			if err := post(t, store, "before"); err != nil {
				t.Fatal(err)
			}
			if err := server.Stop(); err != nil {
				t.Fatal(err)
			}
			_, err := store.Load(t.Context(), []string{"before"})
			unavailable(t, "a read by the session that was lost", err)
			unavailable(t, "a send", post(t, store, "m"))
			_, err = store.Claim(t.Context(), 1, delivery.Lease{Token: 1, For: time.Hour})
			unavailable(t, "a claim", err)
			if err := server.Start(); err != nil {
				t.Fatal(err)
			}
			if err := post(t, store, "m"); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
	t.Run("sqlite, no room left", func(t *testing.T) {
		e := engines.All[0]
		db, store := stores.Migrated(t, e)
		db.SetMaxOpenConns(1)
		if _, err := db.Exec("PRAGMA max_page_count = 1"); err != nil { // it becomes what there is
			t.Fatal(err)
		}
		var err error
		for n := 0; err == nil && n < 10000; n++ {
			err = post(t, store, fmt.Sprint(n))
		}
		unavailable(t, "a send", err)
		if _, err := db.Exec("PRAGMA max_page_count = 100000"); err != nil {
			t.Fatal(err)
		}
		if err := post(t, store, "m"); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
	t.Run("sqlite, no file", func(t *testing.T) {
		db, err := sql.Open(engines.First(engines.SQLite).Driver, "file:/does/not/exist.db")
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		store, err := sqlstore.New(db, sqlstore.SQLite)
		if err != nil {
			t.Fatal(err)
		}
		unavailable(t, "a send", post(t, store, "m"))
	})
}

// limited returns a pool of a user who may have no connection, or one, which is taken.
func limited(t *testing.T, database engines.Database, admin *sql.DB) *sql.DB {
	t.Helper()
	name := fmt.Sprint("limited", time.Now().UnixNano())
	exec := func(statement string) {
		t.Helper()
		if _, err := admin.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	switch database.Kind {
	case engines.Postgres:
		exec("CREATE ROLE " + name + " LOGIN PASSWORD 'secret' CONNECTION LIMIT 0")
		t.Cleanup(func() { admin.Exec("DROP ROLE " + name) })
		u, err := url.Parse(database.DSN)
		if err != nil {
			t.Fatal("not a URL")
		}
		u.User = url.UserPassword(name, "secret")
		database.DSN = u.String()
	case engines.MySQL:
		exec("CREATE USER " + name + " IDENTIFIED BY 'secret' WITH MAX_USER_CONNECTIONS 1")
		exec("GRANT ALL ON *.* TO " + name)
		t.Cleanup(func() { admin.Exec("DROP USER " + name) })
		config, err := mysql.ParseDSN(database.DSN)
		if err != nil {
			t.Fatal("not a DSN")
		}
		config.User, config.Passwd = name, "secret"
		database.DSN = config.FormatDSN()
		taken, err := database.Open(t).Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { taken.Close() })
	}
	return database.Open(t)
}

package engines_test

import (
	"database/sql"
	"testing"

	"github.com/msgdelivery/delivery/internal/integration/engines"
)

func TestMain(m *testing.M) { engines.Main(m) }

func TestOpen(t *testing.T) {
	for _, e := range append(engines.All, engines.Variants...) {
		t.Run(e.Name, func(t *testing.T) {
			t.Run("a database is empty, and what is written in one is not seen in another", func(t *testing.T) {
				for range 2 {
					db := e.Open(t)
					exec(t, db, "CREATE TABLE notes (id INTEGER PRIMARY KEY)")
					exec(t, db, "INSERT INTO notes VALUES (1)")
				}
			})
			t.Run("all pools of a database see the same", func(t *testing.T) {
				d := e.Database(t)
				exec(t, d.Open(t), "CREATE TABLE notes (id INTEGER PRIMARY KEY)")
				exec(t, d.Open(t), "INSERT INTO notes VALUES (1)")
				if got := count(t, d.Open(t)); got != 1 {
					t.Errorf("notes = %d, want 1", got)
				}
			})
		})
	}
}

func TestServer(t *testing.T) {
	for _, e := range engines.All {
		if e.Kind == engines.SQLite {
			continue
		}
		t.Run(e.Name, func(t *testing.T) {
			t.Parallel()
			server := e.Server(t)
			db := server.Database(t).Open(t)
			exec(t, db, "CREATE TABLE notes (id INTEGER PRIMARY KEY)")

			for i, end := range []func() error{server.Kill, server.Stop, server.Kill} {
				exec(t, db, "INSERT INTO notes VALUES ("+string(rune('1'+i))+")")
				if err := end(); err != nil {
					t.Fatal(err)
				}
				if err := db.PingContext(t.Context()); err == nil {
					t.Fatal("the server answers after its end")
				}
				if err := server.Start(); err != nil {
					t.Fatal(err)
				}
				if got := count(t, db); got != i+1 {
					t.Fatalf("after restart %d there are %d notes, want all that were written", i+1, got)
				}
			}
		})
	}
}

func exec(t *testing.T, db *sql.DB, statement string) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func count(t *testing.T, db *sql.DB) (n int) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM notes").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

package settings

import (
	"io/fs"
	"strings"
	"sync"
	"testing"

	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
	"github.com/msgdelivery/delivery/sqlstore"
)

func TestManyInstancesMayMigrateAtOnce(t *testing.T) {
	stores.Each(t, func(t *testing.T, e engines.Engine) {
		database := e.Database(t)
		var wg sync.WaitGroup
		for range 8 {
			db := database.Open(t)
			wg.Go(func() {
				if err := sqlstore.Migrate(t.Context(), db, stores.Dialects[e.Kind]); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		db := database.Open(t)
		if err := sqlstore.Validate(t.Context(), db, stores.Dialects[e.Kind]); err != nil {
			t.Error(err)
		}
		var versions, applied int
		if err := db.QueryRow("SELECT COUNT(DISTINCT version), COUNT(*) FROM delivery_migrations").Scan(&versions, &applied); err != nil {
			t.Fatal(err)
		}
		if versions == 0 || versions != applied {
			t.Errorf("%d migrations are recorded %d times", versions, applied)
		}
	})
}

func TestValidateSaysWhatIsMissing(t *testing.T) {
	engines.Each(t, func(t *testing.T, e engines.Engine) {
		db := e.Open(t)
		want := func(what string) {
			t.Helper()
			if err := sqlstore.Validate(t.Context(), db, stores.Dialects[e.Kind]); err == nil || !strings.Contains(err.Error(), what) {
				t.Errorf("Validate says %v, which does not name %s", err, what)
			}
		}
		want("0001_initial.up.sql")
		if err := sqlstore.Migrate(t.Context(), db, stores.Dialects[e.Kind]); err != nil {
			t.Fatal(err)
		}
		if err := sqlstore.Validate(t.Context(), db, stores.Dialects[e.Kind]); err != nil {
			t.Errorf("after Migrate: %v", err)
		}
		if _, err := db.Exec("DROP TABLE delivery_outbox"); err != nil {
			t.Fatal(err)
		}
		want("delivery_outbox")
		if _, err := db.Exec("DELETE FROM delivery_migrations WHERE version = 1"); err != nil {
			t.Fatal(err)
		}
		want("0001_initial.up.sql")
		db.Close()
		if err := sqlstore.Validate(t.Context(), db, stores.Dialects[e.Kind]); err == nil || strings.Contains(err.Error(), "lacks") {
			t.Errorf("a database that does not answer is said to lack something: %v", err)
		}
	})
}

// A tool that keeps migrations in its own way can apply ours: they are plain SQL.
func TestMigrationsAppliedByOthersCount(t *testing.T) {
	engines.Each(t, func(t *testing.T, e engines.Engine) {
		db := e.Open(t)
		files := sqlstore.Migrations(stores.Dialects[e.Kind])
		names, err := fs.Glob(files, "*.sql")
		if err != nil || len(names) == 0 {
			t.Fatalf("the files are %q, %v", names, err)
		}
		for _, name := range names { // in order
			text, err := fs.ReadFile(files, name)
			if err != nil {
				t.Fatal(err)
			}
			for statement := range strings.SplitSeq(string(text), ";\n") {
				if strings.TrimSpace(statement) == "" {
					continue
				}
				if _, err := db.Exec(statement); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
			}
		}
		if err := sqlstore.Validate(t.Context(), db, stores.Dialects[e.Kind]); err != nil {
			t.Error(err)
		}
		if err := sqlstore.Migrate(t.Context(), db, stores.Dialects[e.Kind]); err != nil {
			t.Error(err)
		}
	})
}

package settings

import (
	"context"
	"database/sql"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/cutter"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
	"github.com/msgdelivery/delivery/sqlstore"
)

// refuses holds Migrate, Validate and a store's first call to an error with these words, before
// they change anything. What is amiss in bad is in order in good, if there is such a database.
func refuses(t *testing.T, bad, good engines.Database, words ...string) {
	t.Helper()
	dialect, pool := stores.Dialects[bad.Kind], bad.Open(t)
	want := func(call string, err error) {
		t.Helper()
		if err == nil {
			t.Fatalf("%s refuses nothing", call) // what follows might wait for the locks that it took
		}
		for _, word := range words {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%s does not name %s: %v", call, word, err)
			}
		}
	}
	want("Migrate", sqlstore.Migrate(t.Context(), pool, dialect))
	var there *sql.DB
	if good.DSN != "" {
		there = good.Open(t)
		if err := sqlstore.Validate(t.Context(), there, dialect); err == nil || !strings.Contains(err.Error(), "0001") {
			t.Errorf("Migrate made tables though it refused: %v", err)
		}
		stores.Migrate(t, good.Engine, there)
	}
	want("Validate", sqlstore.Validate(t.Context(), pool, dialect))

	store := stores.Open(t, bad.Engine, pool)
	for call, err := range firstCalls(t.Context(), store) {
		want(call, err)
	}
	tx, err := pool.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = store.InTx(tx).Create(t.Context(), hello("in-tx"), delivery.Lease{})
	want("Create in a transaction", err)
	tx.Rollback()
	if there == nil {
		return
	}
	if backlog, err := stores.Open(t, good.Engine, there).Backlog(t.Context()); err != nil || backlog.Waiting != 0 {
		t.Errorf("%d events of calls that were refused, %v", backlog.Waiting, err)
	}
}

func hello(id string) []delivery.NewMessage {
	return []delivery.NewMessage{{Header: delivery.Header{ID: id, Conversation: "c", Sender: "alice", Open: true, Quorum: 1, SentAt: time.Now()}}}
}

// firstCalls makes a call of each kind, and returns their errors.
func firstCalls(ctx context.Context, store delivery.Store) map[string]error {
	errs := map[string]error{}
	_, errs["Load"] = store.Load(ctx, []string{"m"})
	_, _, errs["Create"] = store.Create(ctx, hello("m"), delivery.Lease{})
	_, _, errs["Advance"] = store.Advance(ctx, []delivery.Mark{stores.MarkBy("bob", "m")}, delivery.Lease{})
	_, errs["Claim"] = store.Claim(ctx, 1, delivery.Lease{Token: 1, For: time.Second})
	_, errs["Backlog"] = store.Backlog(ctx)
	return errs
}

func TestMySQLSettingsThatLoseOrAlterDataAreRefused(t *testing.T) {
	e := engines.First(engines.MySQL)
	for setting, words := range map[string][]string{
		"charset=utf8":                {"utf8mb3", "charset=utf8mb4"},
		"charset=latin1":              {"latin1", "charset=utf8mb4"},
		"autocommit=0":                {"autocommit=0"},
		"sql_safe_updates=1":          {"sql_safe_updates"},
		"sql_mode=" + "%27ORACLE%27":  {"sql_mode", "ORACLE"},
		"charset=utf8&autocommit=0":   {"charset=utf8mb4", "autocommit"},
		"character_set_results=utf8":  {"charset=utf8mb4"},
		"collation=latin1_swedish_ci": {"latin1", "charset=utf8mb4"},
	} {
		t.Run(setting, func(t *testing.T) {
			good := e.Database(t)
			bad := good
			bad.DSN += "?" + setting
			refuses(t, bad, good, words...)
		})
	}
	t.Run("of the server", func(t *testing.T) {
		server := e.Server(t, "--log-bin=log", "--server-id=1", "--max-allowed-packet=1M")
		database := server.Database(t)
		refuses(t, database, engines.Database{}, "max_allowed_packet", "16777216")
		admin := database.Open(t)
		if _, err := admin.Exec("SET GLOBAL max_allowed_packet = 16777216"); err != nil {
			t.Fatal(err)
		}
		bad := database
		bad.DSN += "?binlog_format=%27STATEMENT%27"
		refuses(t, bad, database, "binlog_format", "ROW")
	})
}

func TestPostgresSettingsThatLoseOrAlterDataAreRefused(t *testing.T) {
	with := func(d engines.Database, name, value string) engines.Database {
		u, err := url.Parse(d.DSN)
		if err != nil {
			t.Fatal(err)
		}
		query := u.Query()
		query.Set(name, value)
		u.RawQuery = query.Encode()
		d.DSN = u.String()
		return d
	}
	e := engines.First(engines.Postgres)
	exec := func(t *testing.T, d engines.Database, statement string) {
		t.Helper()
		if _, err := d.Open(t).Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	name := func(d engines.Database) string {
		u, _ := url.Parse(d.DSN)
		return strings.TrimPrefix(u.Path, "/")
	}
	t.Run("a client's encoding", func(t *testing.T) {
		good := e.Database(t)
		refuses(t, with(good, "client_encoding", "LATIN1"), good, "client_encoding", "UTF8")
	})
	for _, e := range engines.All {
		if e.Kind != engines.Postgres {
			continue
		}
		t.Run(e.Name+", a database's encoding", func(t *testing.T) {
			other := e.Database(t)
			latin := name(other) + "_latin1"
			exec(t, other, "CREATE DATABASE "+latin+" TEMPLATE template0 ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C'")
			t.Cleanup(func() {
				db, err := sql.Open(other.Driver, other.DSN)
				if err == nil {
					_, err = db.Exec("DROP DATABASE " + latin + " WITH (FORCE)")
					db.Close()
				}
				if err != nil {
					t.Error(err)
				}
			})
			bad := other
			bad.DSN = strings.Replace(other.DSN, "/"+name(other), "/"+latin, 1)
			refuses(t, bad, engines.Database{}, "LATIN1", "ENCODING 'UTF8'")
		})
	}
	t.Run("a DateStyle that the driver cannot read in the simple protocol, and that it can in the other", func(t *testing.T) {
		good := e.Database(t)
		exec(t, good, "ALTER DATABASE "+name(good)+" SET DateStyle = 'SQL, DMY'")
		refuses(t, with(good, "default_query_exec_mode", "simple_protocol"), good, "DateStyle", "set it to ISO")
	})
}

func TestSQLiteThatIsTooOldIsRefused(t *testing.T) {
	run := exec.Command("go", "run", ".")
	run.Dir = "testdata/sqlite341"
	run.Env = append(os.Environ(), "GOWORK=off")
	var complaints strings.Builder // and modules that are downloaded
	run.Stderr = &complaints
	out, err := run.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, &complaints)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) != 3 {
		t.Errorf("%d of 3 calls were refused", len(lines))
	}
	for _, line := range lines {
		if !strings.Contains(line, "SQLite 3.41.2 is too old: use a driver with SQLite 3.42 or newer") {
			t.Errorf("a call says %s", line)
		}
	}
}

func TestACallBeforeMigrateSaysToRunIt(t *testing.T) {
	stores.Each(t, func(t *testing.T, e engines.Engine) {
		db := e.Open(t)
		store := stores.Open(t, e, db)
		errs := firstCalls(t.Context(), store)
		tx := stores.Begin(t, db)
		_, _, errs["Create in a transaction"] = store.InTx(tx).Create(t.Context(), hello("m"), delivery.Lease{})
		tx.Rollback()
		for call, err := range errs {
			if err == nil || !strings.Contains(err.Error(), "run Migrate") {
				t.Errorf("%s says %v", call, err)
			}
		}
		stores.Migrate(t, e, db)
		if _, _, err := store.Create(t.Context(), hello("m"), delivery.Lease{}); err != nil {
			t.Errorf("after Migrate: %v", err)
		}
	})
}

// The first call has no connection for itself, be it a plain one or in a caller's transaction that
// has the only one.
func TestTheFirstCallNeedsNoOtherConnection(t *testing.T) {
	stores.Each(t, func(t *testing.T, e engines.Engine) {
		db := e.Open(t)
		db.SetMaxOpenConns(1)
		stores.Migrate(t, e, db)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		if _, _, err := stores.Open(t, e, db).Create(ctx, hello("plain"), delivery.Lease{}); err != nil {
			t.Error(err)
		}
		if _, err := stores.Open(t, e, db).Load(ctx, []string{"plain"}); err != nil {
			t.Error(err)
		}
		tx := stores.Begin(t, db)
		if _, _, err := stores.Open(t, e, db).InTx(tx).Create(ctx, hello("in-tx"), delivery.Lease{}); err != nil {
			t.Error(err)
		}
		if err := tx.Commit(); err != nil {
			t.Error(err)
		}
		if there, err := stores.Open(t, e, db).Load(ctx, []string{"plain", "in-tx"}); err != nil || len(there) != 2 {
			t.Errorf("%d of 2 messages are there, %v", len(there), err)
		}
	})
}

// A connection that breaks while the settings are looked at says nothing about them, and nothing
// else was sent on it.
func TestSettingsAreLookedAtAgainAfterAConnectionBroke(t *testing.T) {
	engines.Each(t, func(t *testing.T, e engines.Engine) {
		db, cut := cutter.Open(t, e)
		store := stores.Open(t, e, db)
		for _, at := range []cutter.Moment{cutter.Before, cutter.After} {
			cut.Next("sqlite_version|max_allowed_packet|server_encoding", at)
			_, _, err := store.Create(t.Context(), hello("m"), delivery.Lease{})
			if err == nil && !cut.Pending() || err != nil && !strings.Contains(err.Error(), cutter.ErrCut.Error()) {
				t.Errorf("a call whose connection breaks says %v", err)
			}
		}
		cut.Cancel()
		for range 2 {
			if _, err := store.Load(t.Context(), []string{"m"}); err != nil {
				t.Error(err)
			}
		}
	})
}

package chaos

import (
	"crypto/rand"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
	"github.com/msgdelivery/delivery/sqlstore"
)

// In these scenarios administrators do something to a database, or forget to.
var upkeepScenarios = []Scenario{
	{
		Row: "M8", Name: "the database takes no writes", Timed: true, Engines: everyEngine, Setup: ownServer,
		Size: Size{World: small, Marks: 1_000, Nodes: 2, Times: 1},
		Full: always(Size{World: large, Marks: 100_000, Nodes: 3, Times: 20}),
		Run:  refuseWrites,
	},
	{
		Row: "M22", Name: "an old snapshot is held", Engines: everyEngine,
		Size: Size{World: small, Marks: 1_000, Nodes: 2},
		Full: func(engine string) Size {
			size := Size{World: large, Marks: 300_000, Nodes: 3}
			if engine == "postgres-pgx" {
				size.Marks = 1_000_000
			}
			return size
		},
		Run: holdSnapshot,
	},
	{
		Row: "M30", Name: "tables change under load", Engines: everyEngine,
		Size: Size{World: small, Marks: 1_000, Nodes: 2, Times: 1},
		Full: always(Size{World: large, Marks: 300_000, Nodes: 3, Times: 20}),
		Run:  changeTables,
	},
}

// refuseWrites has the database refuse all writes now and then: since it is read-only, or since its
// disk is full.
func refuseWrites(r *Run) {
	refuse, allow := r.readOnly()
	r.start()
	var longest time.Duration
	r.each(func(int) {
		r.note("writes are refused")
		before := r.failures()
		refuse()
		r.until("calls fail", func() bool {
			time.Sleep(200 * time.Millisecond)
			return r.failures() > before
		})
		if r.Full {
			time.Sleep(5 * time.Second)
		}
		allow()
		r.note("writes are allowed")
		began := time.Now()
		r.untilMarks(r.acknowledged() + 100)
		longest = max(longest, time.Since(began))
	})
	r.figure("slowest_recovery=%v", longest.Round(time.Millisecond))
	finish(r)
	r.within("marks were acknowledged after writes were allowed", longest, 2*time.Second+lenience)
}

// readOnly returns what has the database refuse writes, and what has it allow them again.
func (r *Run) readOnly() (refuse, allow func()) {
	execute := func(statements ...string) func() {
		return func() {
			for _, statement := range statements {
				if _, err := r.db.ExecContext(r.Context(), statement); err != nil {
					r.Fatalf("%s: %v", statement, err)
				}
			}
		}
	}
	switch r.Engine.Kind {
	case engines.Postgres:
		return execute(`ALTER SYSTEM SET default_transaction_read_only = on`, `SELECT pg_reload_conf()`),
			execute(`ALTER SYSTEM RESET default_transaction_read_only`, `SELECT pg_reload_conf()`)
	case engines.MySQL:
		// An administrator may write all the same, so the nodes must not be one.
		config, err := mysql.ParseDSN(r.Node.DSN)
		if err != nil {
			r.Fatal("not a DSN")
		}
		config.User, config.Passwd = "writer", rand.Text()
		execute(fmt.Sprintf(`CREATE USER writer@'127.0.0.1' IDENTIFIED BY '%s'`, config.Passwd),
			fmt.Sprintf(`GRANT ALL ON %s.* TO writer@'127.0.0.1'`, config.DBName))()
		r.Node.DSN = config.FormatDSN()
		return execute(`SET GLOBAL read_only = ON`), execute(`SET GLOBAL read_only = OFF`)
	}
	// A connection to SQLite takes the file for a full disk when it has so many pages.
	again := func(change func(*NodeConfig)) {
		for i, p := range slices.Clone(r.nodes) {
			if _, err := p.stop(); err != nil {
				r.Error(err)
			}
			r.startNode(i, change)
		}
	}
	return func() {
		var pages int
		if err := r.db.QueryRowContext(r.Context(), `PRAGMA page_count`).Scan(&pages); err != nil {
			r.Fatal(err)
		}
		again(func(c *NodeConfig) { c.First = fmt.Sprintf("PRAGMA max_page_count = %d", pages) })
	}, func() { again(nil) }
}

// holdSnapshot has a transaction of someone else look at the database as it was when the run began,
// so that what was deleted since can't be cleared away.
func holdSnapshot(r *Run) {
	var alone time.Duration
	if r.Full {
		other := newRun(r, r.Row, r.Engine, r.Size, r.Seed, nil)
		alone = markThrough(other)
		finish(other)
	}
	release := r.snapshot()
	took := markThrough(r)
	r.quiet()
	held := garbage(r)
	release()
	r.settle()
	v := r.verdict()
	r.expectKept(v, 0)
	if v.Failures > 0 {
		r.Errorf("%d calls failed: %v", v.Failures, v.failures)
	}
	if !r.Full {
		return
	}
	r.Logf("%v, and %v without the snapshot; %d old rows held", took, alone, held)
	if took > alone*10/6 {
		r.Errorf("it slowed marks down from %v to %v", alone, took)
	}
	if limit := 200 * time.Millisecond; time.Duration(v.ClaimP99)*time.Microsecond > limit {
		r.Errorf("of a hundred claims, one took longer than %v", limit)
	}
	began := time.Now()
	r.until("old rows are cleared away", func() bool { return garbage(r) <= held/10 })
	r.within("old rows were cleared away", time.Since(began), 2*time.Minute)
}

// snapshot begins a transaction that looks at the database as it is now, until it is released.
func (r *Run) snapshot() (release func()) {
	conn, err := r.db.Conn(r.Context())
	if err != nil {
		r.Fatal(err)
	}
	for _, statement := range []string{snapshots[r.Engine.Kind], `SELECT count(*) FROM delivery_messages`} {
		if _, err := conn.ExecContext(r.Context(), statement); err != nil {
			r.Fatal(err)
		}
	}
	return func() {
		defer conn.Close()
		if _, err := conn.ExecContext(r.Context(), `ROLLBACK`); err != nil {
			r.Error(err)
		}
	}
}

// snapshots begin a transaction that sees one moment. On SQLite and Postgres that is the moment of
// its first statement.
var snapshots = map[engines.Kind]string{
	engines.SQLite:   `BEGIN`,
	engines.Postgres: `BEGIN ISOLATION LEVEL REPEATABLE READ`,
	engines.MySQL:    `START TRANSACTION WITH CONSISTENT SNAPSHOT`,
}

// markThrough has the nodes make the marks of the run, and returns how long that takes.
func markThrough(r *Run) time.Duration {
	began := time.Now()
	r.start()
	r.untilMarks(r.Marks)
	return time.Since(began)
}

// garbage counts, as the server does, what is kept for the sake of old snapshots. SQLite does not.
func garbage(r *Run) (n int) {
	query := map[engines.Kind]string{
		engines.SQLite:   `SELECT 0`,
		engines.Postgres: `SELECT n_dead_tup FROM pg_stat_user_tables WHERE relname = 'delivery_outbox'`,
		engines.MySQL:    `SELECT count FROM information_schema.innodb_metrics WHERE name = 'trx_rseg_history_len'`,
	}[r.Engine.Kind]
	if err := r.db.QueryRowContext(r.Context(), query).Scan(&n); err != nil {
		r.Fatal(err)
	}
	return n
}

// changeTables changes tables and indexes as migrations do, and lets instances of an app start,
// which migrate.
func changeTables(r *Run) {
	conn, err := r.db.Conn(r.Context())
	if err != nil {
		r.Fatal(err)
	}
	defer conn.Close()
	r.start()
	r.each(func(int) {
		var starts sync.WaitGroup
		for range 3 {
			starts.Go(func() {
				if err := sqlstore.Migrate(r.Context(), r.db, stores.Dialects[r.Engine.Kind]); err != nil {
					r.Error(err)
				}
			})
		}
		for _, statement := range tableChanges[r.Engine.Kind] {
			if _, err := conn.ExecContext(r.Context(), statement); err != nil {
				r.Errorf("%s: %v", statement, err)
			}
		}
		starts.Wait()
	})
	if v := finish(r); v.Failures > 0 {
		r.Errorf("%d calls failed: %v", v.Failures, v.failures)
	}
}

var tableChanges = map[engines.Kind][]string{
	engines.SQLite: {
		`PRAGMA busy_timeout = 60000`, // the nodes leave little room for others
		`CREATE INDEX chaos_index ON delivery_receipts (reader, version)`,
		`ALTER TABLE delivery_messages ADD COLUMN chaos_column INTEGER NOT NULL DEFAULT 0`,
		`REINDEX delivery_states`,
		`ALTER TABLE delivery_messages DROP COLUMN chaos_column`,
		`DROP INDEX chaos_index`,
	},
	engines.Postgres: {
		`CREATE INDEX CONCURRENTLY chaos_index ON delivery_receipts (reader, version)`,
		`ALTER TABLE delivery_messages ADD COLUMN chaos_column integer NOT NULL DEFAULT 0`,
		`REINDEX TABLE CONCURRENTLY delivery_states`,
		`VACUUM FULL delivery_outbox`,
		`ALTER TABLE delivery_messages DROP COLUMN chaos_column`,
		`DROP INDEX CONCURRENTLY chaos_index`,
	},
	engines.MySQL: {
		`CREATE INDEX chaos_index ON delivery_receipts (reader, version)`,
		`ALTER TABLE delivery_messages ADD COLUMN chaos_column INT NOT NULL DEFAULT 0`,
		`ALTER TABLE delivery_states ENGINE = InnoDB`,
		`OPTIMIZE TABLE delivery_outbox`,
		`ALTER TABLE delivery_messages DROP COLUMN chaos_column`,
		`DROP INDEX chaos_index ON delivery_receipts`,
	},
}

// Package lab is where measurements are made: private database servers, tuned alike for all, and a
// stub of Pusher.
package lab

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/msgdelivery/delivery/internal/bench/stub"
	"github.com/msgdelivery/delivery/internal/integration/engines"
)

// Connections is how many each pool has, whoever uses it.
const Connections = 32

// Lab holds the servers. It is used by one goroutine.
type Lab struct {
	Stub *stub.Stub

	t       asTest
	servers map[engines.Kind]*engines.Server
}

// Open starts a stub; databases follow when they are asked for. The caller closes the lab.
func Open() (*Lab, error) {
	s, err := stub.Start()
	return &Lab{Stub: s, servers: map[engines.Kind]*engines.Server{}}, err
}

// Close ends all servers and removes what they kept.
func (l *Lab) Close() {
	l.t.end()
	l.Stub.Close()
}

// Database is a database with a pool.
type Database struct {
	Kind  engines.Kind
	DSN   string
	Pool  *sql.DB
	Tally *Tally // of the statements that went through the pool, with Postgres; else nil
}

// Database makes a fresh, empty database. The first of a kind starts the server. It goes away with
// the lab.
func (l *Lab) Database(ctx context.Context, kind engines.Kind) (db Database, err error) {
	engine := engineOf(kind)
	var d engines.Database
	err = l.t.do(func() {
		if kind == engines.SQLite {
			d = engine.Database(&l.t)
			return
		}
		if l.servers[kind] == nil {
			server := engine.Server(&l.t)
			if err := tune(ctx, kind, server, server.Database(&l.t)); err != nil {
				l.t.Fatal(err)
			}
			l.servers[kind] = server
		}
		d = l.servers[kind].Database(&l.t)
	})
	if err != nil {
		return db, err
	}
	db = Database{Kind: kind, DSN: d.DSN}
	if kind == engines.Postgres {
		config, err := pgx.ParseConfig(d.DSN)
		if err != nil {
			return db, err
		}
		db.Tally = new(Tally)
		config.Tracer = db.Tally
		db.Pool = stdlib.OpenDB(*config)
	} else if db.Pool, err = sql.Open(d.Driver, d.DSN); err != nil {
		return db, err
	}
	db.Pool.SetMaxOpenConns(Connections)
	db.Pool.SetMaxIdleConns(Connections)
	l.t.Cleanup(func() { db.Pool.Close() })
	return db, nil
}

// engineOf returns the engine of a kind with its first driver.
func engineOf(kind engines.Kind) engines.Engine {
	for _, e := range engines.All {
		if e.Kind == kind {
			return e
		}
	}
	panic("no engine of kind " + kind)
}

// tune gives a server room for what is measured. It leaves durability as the server's makers set
// it: a commit is on the disk.
func tune(ctx context.Context, kind engines.Kind, server *engines.Server, d engines.Database) error {
	db, err := sql.Open(d.Driver, d.DSN)
	if err != nil {
		return err
	}
	defer db.Close()
	settings := map[engines.Kind][]string{
		engines.Postgres: {
			"alter system set shared_buffers = '1GB'",
			"alter system set max_wal_size = '8GB'", // checkpoints come by time, not in the middle of someone's turn
			"alter system set checkpoint_timeout = '30min'",
			"alter system set maintenance_work_mem = '512MB'", // for the indexes of millions of rows
		},
		engines.MySQL: {"SET GLOBAL innodb_buffer_pool_size = 1 << 30"},
	}
	for _, setting := range settings[kind] {
		if _, err := db.ExecContext(ctx, setting); err != nil {
			return fmt.Errorf("%s: %w", setting, err)
		}
	}
	if kind != engines.Postgres {
		return nil
	}
	if err := server.Stop(); err != nil {
		return err
	}
	return server.Start()
}

// Version returns what a database says it is.
func (d Database) Version(ctx context.Context) (version string, err error) {
	query := map[engines.Kind]string{
		engines.Postgres: "show server_version", engines.MySQL: "SELECT version()", engines.SQLite: "SELECT sqlite_version()",
	}[d.Kind]
	err = d.Pool.QueryRowContext(ctx, query).Scan(&version)
	version, _, _ = strings.Cut(version, " (")
	return version, err
}

// WAL returns how many bytes the server has logged so far, 0 where it does not tell.
func (d Database) WAL(ctx context.Context) (bytes float64, err error) {
	if d.Kind == engines.Postgres {
		err = d.Pool.QueryRowContext(ctx, "select pg_current_wal_insert_lsn() - '0/0'").Scan(&bytes)
	}
	return bytes, err
}

// pgVacuum returns the statement that cleans the tables that hold something. Autovacuum leaves
// those that nobody wrote to alone too: a planner that was told that a table is empty would have it
// read from end to end as it grows.
const pgVacuum = `
select coalesce('vacuum analyze ' || string_agg(oid::regclass::text, ', '), 'select 1') from pg_class
where relkind = 'r' and relnamespace = current_schema()::regnamespace and pg_relation_size(oid) > 0`

// Settle has the server do now what it would do at some later time, in the middle of a measurement.
func (d Database) Settle(ctx context.Context) error {
	var statements []string
	switch d.Kind {
	case engines.Postgres:
		var vacuum string
		if err := d.Pool.QueryRowContext(ctx, pgVacuum).Scan(&vacuum); err != nil {
			return err
		}
		statements = []string{vacuum, "checkpoint"}
	case engines.SQLite:
		statements = []string{"ANALYZE", "PRAGMA wal_checkpoint(TRUNCATE)"}
	}
	for _, statement := range statements {
		if _, err := d.Pool.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}

// CPU is what processes have used so far.
type CPU struct {
	Client time.Duration // this one
	Server time.Duration // the database server; it is in Client with SQLite
}

// Sub returns what was used between two readings.
func (c CPU) Sub(earlier CPU) CPU { return CPU{c.Client - earlier.Client, c.Server - earlier.Server} }

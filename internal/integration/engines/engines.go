// Package engines gives tests a fresh, empty database on every engine and driver that the library
// supports.
//
// SQLite is always there. Postgres and MariaDB come from a server named by an environment variable
// (DELIVERY_TEST_POSTGRES, a postgres:// URL; DELIVERY_TEST_MYSQL, a DSN of go-sql-driver/mysql;
// the user must be allowed to create databases), else from server programs found on this machine:
// the first test that asks starts a private, throwaway server on loopback, which the other tests of
// the same binary share. With neither, the test is skipped, see package need.
//
// All drivers are there without the race detector, and with it one of each kind of database: it
// watches the library's own code, which is the same whatever the driver. For SQLite that is
// mattn/go-sqlite3, since the detector makes a driver that is written in Go ten times as slow.
// SQLite has four drivers, of which two call themselves "sqlite" and two "sqlite3", so that one
// binary can hold two of them: modernc.org/sqlite and mattn/go-sqlite3, which needs cgo, or, with
// the build tag sqlite2, glebarez/go-sqlite and ncruces/go-sqlite3 in their place. So to test with
// every driver takes two runs:
//
//	go test ./internal/integration/contract && go test -tags sqlite2 ./internal/integration/contract
//
// The shared server does not wait for the disk, unless benchmarks run: no test ends it before its
// time. A [Server] of a test's own does.
//
// The servers are stopped by [Main], which the TestMain of every package that uses this one must
// call:
//
//	func TestMain(m *testing.M) { engines.Main(m) }
package engines

import (
	"database/sql"
	"errors"
	"slices"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // driver "pgx"
)

// Kind is what decides the SQL dialect.
type Kind string

// The kinds of database.
const (
	SQLite   Kind = "sqlite"
	Postgres Kind = "postgres"
	MySQL    Kind = "mysql" // MariaDB too
)

// Engine is a kind of database and the driver that speaks to it.
type Engine struct {
	Name   string // of subtests
	Kind   Kind
	Driver string // for sql.Open

	settings func(dsn string) (string, error) // if not nil, changes a DSN
	busy     func(err error) bool             // of SQLite
}

// first has the first driver of each kind of database.
var first = []Engine{
	firstSQLite,
	{Name: "postgres-pgx", Kind: Postgres, Driver: "pgx"},
	{Name: "mysql", Kind: MySQL, Driver: "mysql"},
}

// All lists every engine with every driver, in the settings most apps use.
var All = slices.Concat(first, others)

// First returns the engine of this kind with its first driver.
func First(kind Kind) Engine {
	return first[slices.IndexFunc(first, func(e Engine) bool { return e.Kind == kind })]
}

// Each runs test once for each engine of [All], as subtests.
func Each(t *testing.T, test func(t *testing.T, e Engine)) {
	for _, e := range All {
		t.Run(e.Name, func(t *testing.T) { test(t, e) })
	}
}

// Open returns a pool on a fresh, empty database. Both go away at the end of the test.
func (e Engine) Open(t testing.TB) *sql.DB {
	t.Helper()
	return e.Database(t).Open(t)
}

// Database makes a fresh, empty database, which is dropped at the end of the test. For a test that
// needs several pools on it, or its address for another process; other tests use [Engine.Open].
func (e Engine) Database(t testing.TB) Database {
	t.Helper()
	if e.Kind == SQLite {
		return e.sqliteDatabase(t)
	}
	return share(t, e.Kind).database(t, e, "")
}

// Filled makes a database as [Engine.Database] does, with what fill puts into it. On Postgres,
// where that is 3 times as quick, it is a copy of the first one of the engine: fill has to be the
// same for all tests of a binary.
func (e Engine) Filled(t testing.TB, fill func(*sql.DB) error) Database {
	t.Helper()
	if e.Kind == Postgres {
		s := share(t, e.Kind)
		return s.database(t, e, s.template(t, e, fill))
	}
	d := e.Database(t)
	if err := d.fill(fill); err != nil {
		t.Fatal(err)
	}
	return d
}

// named returns a database of the administrator's server.
func (e Engine) named(t testing.TB, admin, name string) Database {
	t.Helper()
	p := products[e.Kind]
	dsn, err := p.dsn(admin, name)
	if err == nil && e.settings != nil {
		dsn, err = e.settings(dsn)
	}
	if err != nil {
		t.Fatalf("%s: %v", p.env, err)
	}
	return Database{Engine: e, DSN: dsn}
}

// Database is one database: its Driver and DSN are the arguments of sql.Open.
type Database struct {
	Engine
	DSN string
}

func (d Database) fill(fill func(*sql.DB) error) error {
	db, err := sql.Open(d.Driver, d.DSN)
	if err != nil {
		return err
	}
	return errors.Join(fill(db), db.Close())
}

// Open returns a pool, closed at the end of the test. It connects when first used.
func (d Database) Open(t testing.TB) *sql.DB {
	t.Helper()
	db, err := sql.Open(d.Driver, d.DSN)
	if err != nil {
		t.Fatalf("opening %s: %v", d.Name, err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

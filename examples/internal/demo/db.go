package demo

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	_ "github.com/go-sql-driver/mysql" // driver "mysql"
	_ "github.com/jackc/pgx/v5/stdlib" // driver "pgx"
	_ "modernc.org/sqlite"             // driver "sqlite"

	"github.com/msgdelivery/delivery/sqlstore"
)

// DB is the app's database. It has the app's tables and the library's.
type DB struct {
	*sql.DB
	Dialect sqlstore.Dialect
	Name    string // to show to people: a file, or what kind of server; never a password
}

// OpenDB opens the database that a -db flag names, and makes its tables. It also makes the folder
// of a SQLite file, which only this user can enter. The caller closes the database.
func OpenDB(ctx context.Context, dsn string) (_ *DB, err error) {
	db := &DB{}
	switch {
	case strings.HasPrefix(dsn, "postgres://"), strings.HasPrefix(dsn, "postgresql://"):
		db.Dialect, db.Name = sqlstore.Postgres, "a Postgres database"
		db.DB, err = sql.Open("pgx", dsn)
	case strings.HasPrefix(dsn, "mysql://"):
		db.Dialect, db.Name = sqlstore.MySQL, "a MySQL or MariaDB database"
		db.DB, err = sql.Open("mysql", strings.TrimPrefix(dsn, "mysql://"))
	default:
		db.Dialect, db.Name = sqlstore.SQLite, dsn
		if err := os.MkdirAll(filepath.Dir(dsn), 0o700); err != nil {
			return nil, err
		}
		db.DB, err = sql.Open("sqlite", sqliteDSN(dsn))
	}
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", db.Name, err)
	}
	db.SetMaxIdleConns(32) // the default of 2 has a busy server sign in anew for most requests
	if err := db.migrate(ctx); err != nil {
		db.Close()
		return nil, fmt.Errorf("preparing %s: %w", db.Name, err)
	}
	return db, nil
}

// sqliteDSN returns a DSN that makes SQLite fit for a server: readers do not wait for the writer,
// commits survive a power cut, writers wait for each other, and transactions take the write lock
// when they begin. A transaction that takes it later fails if another was faster.
func sqliteDSN(file string) string {
	return "file:" + (&url.URL{Path: filepath.ToSlash(file)}).EscapedPath() + "?" + url.Values{
		"_pragma": {"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(FULL)"},
		"_txlock": {"immediate"},
	}.Encode()
}

// migrate makes the library's tables, and the app's own.
func (db *DB) migrate(ctx context.Context) error {
	if err := sqlstore.Migrate(ctx, db.DB, db.Dialect); err != nil {
		return err
	}
	_, err := db.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS demo_sessions (
		token   VARCHAR(64) PRIMARY KEY,
		data    TEXT NOT NULL,
		expires BIGINT NOT NULL
	)`)
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS demo_hiding_reads (name VARCHAR(64) PRIMARY KEY)`)
	return err
}

// bind replaces a statement's question marks by the placeholders of the database.
func (db *DB) bind(query string) string {
	if db.Dialect != sqlstore.Postgres {
		return query
	}
	var out strings.Builder
	for i, part := range strings.Split(query, "?") {
		if i > 0 {
			out.WriteString("$" + strconv.Itoa(i))
		}
		out.WriteString(part)
	}
	return out.String()
}

package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
)

func TestNewRefusesWhatCannotWork(t *testing.T) {
	db := sql.OpenDB(&scripted{})
	defer db.Close()
	for name, test := range map[string]struct {
		db      *sql.DB
		dialect Dialect
	}{
		"no database":        {nil, SQLite},
		"no dialect":         {db, 0},
		"an unknown dialect": {db, SQLite + 1},
	} {
		t.Run(name, func(t *testing.T) {
			if store, err := New(test.db, test.dialect); err == nil || store != nil {
				t.Errorf("New returns %v, %v", store, err)
			}
		})
	}
	for _, dialect := range []Dialect{Postgres, MySQL, SQLite} {
		if _, err := New(db, dialect); err != nil {
			t.Errorf("%v: %v", dialect, err)
		}
	}
}

// mysqlError is shaped like that of go-sql-driver/mysql.
type mysqlError struct {
	Number   uint16
	SQLState [5]byte
	Message  string
}

func (*mysqlError) Error() string { return "mysql" }

// sqliteError is shaped like those of modernc.org/sqlite and glebarez/go-sqlite.
type sqliteError struct{ code int }

func (*sqliteError) Error() string { return "sqlite" }
func (e *sqliteError) Code() int   { return e.code }

// sqliteMattnError is shaped like that of mattn/go-sqlite3.
type sqliteMattnError struct {
	Code        mattnCode
	SystemErrno syscall.Errno
}

type mattnCode int

func (sqliteMattnError) Error() string { return "sqlite" }

// sqliteNcrucesError is shaped like one of those of ncruces/go-sqlite3: the error is the code.
type sqliteNcrucesError uint16

func (sqliteNcrucesError) Error() string       { return "sqlite" }
func (e sqliteNcrucesError) Code() ncrucesCode { return ncrucesCode(e) }

type ncrucesCode uint8

// postgresError is shaped like those of pgx and lib/pq.
type postgresError struct{ state string }

func (*postgresError) Error() string      { return "postgres" }
func (e *postgresError) SQLState() string { return e.state }

func TestErrorsAreToldApart(t *testing.T) {
	for _, test := range []struct {
		dialect *dialect
		err     error
		want    fate
	}{
		{&mysql, &mysqlError{Number: 1213}, conflict},
		{&mysql, &mysqlError{Number: 1205}, conflict},
		{&mysql, &mysqlError{Number: 1020}, conflict},
		{&mysql, &mysqlError{Number: 1467}, conflict}, // the lock of an AUTO_INCREMENT
		{&mysql, &mysqlError{Number: 1062}, refused},
		{&mysql, &mysqlError{Number: 1146}, refused},
		{&mysql, &mysqlError{Number: 1053}, ended},        // the server shuts down
		{&mysql, &mysqlError{Number: 1927}, ended},        // KILL
		{&mysql, &mysqlError{Number: 1317}, unknown},      // KILL QUERY
		{&mysql, errors.New("invalid connection"), ended}, // the driver says no more than that
		{&mysql, &mysqlError{Number: 1290}, readOnly},
		{&mysql, &mysqlError{Number: 1047}, readOnly}, // a node of Galera that left the cluster
		{&mysql, &mysqlError{Number: 1040}, away},     // too many connections
		{&mysql, &mysqlError{Number: 1021}, away},     // disk full
		{&mysql, &mysqlError{Number: 1114}, away},     // table full
		{&mysql, &mysqlError{Number: 1969}, away},     // max_statement_time
		{&mysql, &mysqlError{Number: 3024}, away},     // max_execution_time
		{&mysql, errors.New("Error 1213 in a text"), unknown},
		{&sqlite, &sqliteError{5}, conflict},
		{&sqlite, &sqliteError{5 | 1<<8}, conflict}, // SQLITE_BUSY_RECOVERY
		{&sqlite, &sqliteError{5 | 2<<8}, conflict}, // SQLITE_BUSY_SNAPSHOT
		{&sqlite, &sqliteError{6 | 1<<8}, conflict}, // SQLITE_LOCKED_SHAREDCACHE
		{&sqlite, &sqliteError{19}, refused},
		{&sqlite, &sqliteError{10 | 4<<8}, unknown}, // SQLITE_IOERR_FSYNC
		{&sqlite, sqliteMattnError{Code: 5}, conflict},
		{&sqlite, sqliteMattnError{Code: 19}, refused},
		{&sqlite, sqliteMattnError{Code: 10, SystemErrno: 5}, unknown},
		{&sqlite, sqliteNcrucesError(5 | 2<<8), conflict},
		{&sqlite, sqliteNcrucesError(19), refused},
		{&sqlite, syscall.Errno(5), unknown},    // an error of the system's, which is no code of SQLite
		{&sqlite, &sqliteError{13}, away},       // full
		{&sqlite, &sqliteError{8 | 2<<8}, away}, // SQLITE_READONLY_CANTLOCK
		{&sqlite, &sqliteError{14}, away},       // cannot be opened
		{&postgres, &postgresError{"25006"}, readOnly},
		{&postgres, &postgresError{"26000"}, pooled},
		{&postgres, &postgresError{"42P05"}, pooled},
		{&postgres, &postgresError{"53100"}, away}, // disk full
		{&postgres, &postgresError{"53300"}, away}, // too many connections
		{&postgres, &postgresError{"57P03"}, away}, // starting up
		{&postgres, &postgresError{"57014"}, away}, // statement_timeout
		{&postgres, &postgresError{"25P04"}, away}, // transaction_timeout
		{&postgres, &postgresError{"40001"}, conflict},
		{&postgres, &postgresError{"40P01"}, conflict},
		{&postgres, &postgresError{"55P03"}, conflict},
		{&postgres, &postgresError{"42P01"}, refused},
		{&postgres, &postgresError{"57P01"}, ended},
		{&postgres, &postgresError{"57P05"}, ended}, // idle for too long
		{&postgres, &postgresError{"08006"}, ended},
		{&postgres, &postgresError{"08P01"}, ended}, // all that pgbouncer has to say
		{&postgres, &postgresError{"40003"}, unknown},
	} {
		for _, err := range []error{test.err, fmt.Errorf("wrapped: %w", test.err), errors.Join(context.Canceled, test.err)} {
			if got := test.dialect.classify(err); got != test.want {
				t.Errorf("%s: %#v is of fate %d, want %d", test.dialect.name, err, got, test.want)
			}
		}
	}
}

func TestMigrationsAreWellFormed(t *testing.T) {
	for _, dialect := range []Dialect{Postgres, MySQL, SQLite} {
		t.Run(dialect.String(), func(t *testing.T) {
			all, err := migrationsIn(Migrations(dialect))
			if err != nil {
				t.Fatal(err)
			}
			if len(all) == 0 {
				t.Fatal("there is none")
			}
			for i, m := range all {
				if m.version != i+1 {
					t.Errorf("%s stands at place %d", m.name, i+1)
				}
				last := strings.ToLower(m.statements[len(m.statements)-1])
				if !strings.Contains(last, "into "+migrationsTable) || !strings.Contains(last, fmt.Sprintf("values (%d,", m.version)) {
					t.Errorf("%s does not record itself at its end, but says %q", m.name, last)
				}
				if !strings.HasSuffix(m.name, ".up.sql") || !strings.HasPrefix(m.statements[0], "-- +goose Up\n") {
					t.Errorf("%s is not named and marked as tools want it", m.name)
				}
				for _, statement := range m.statements {
					if strings.Contains(statement, ";") {
						t.Errorf("%s: a semicolon within a statement: %q", m.name, statement)
					}
				}
			}
		})
	}
	if all, err := migrationsIn(Migrations(0)); err != nil || len(all) != 0 {
		t.Errorf("no dialect has migrations %v, %v", all, err)
	}
}

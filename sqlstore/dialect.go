package sqlstore

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/msgdelivery/delivery"
)

// Dialect says which SQL a database speaks. The zero Dialect is none of them.
type Dialect uint8

const (
	// Postgres is PostgreSQL 12 or newer, through jackc/pgx/v5/stdlib or lib/pq.
	Postgres Dialect = iota + 1
	// MySQL is MariaDB 10.6 or newer, or MySQL 8.0.1 or newer, through go-sql-driver/mysql.
	MySQL
	// SQLite is SQLite 3.42 or newer, through modernc.org/sqlite, mattn/go-sqlite3,
	// ncruces/go-sqlite3, or v1.23 or newer of glebarez/go-sqlite.
	SQLite
)

var dialects = [...]*dialect{Postgres: &postgres, MySQL: &mysql, SQLite: &sqlite}

// String returns the name of the dialect's folder of migrations: "postgres", "mysql" or "sqlite".
func (d Dialect) String() string {
	impl, err := d.impl()
	if err != nil {
		return fmt.Sprintf("Dialect(%d)", uint8(d))
	}
	return impl.name
}

func (d Dialect) impl() (*dialect, error) {
	if d == 0 || int(d) >= len(dialects) {
		return nil, fmt.Errorf("sqlstore: the dialect is none of Postgres, MySQL and SQLite")
	}
	return dialects[d], nil
}

// dialect is what the package knows of a kind of database. Each has a file of its own.
type dialect struct {
	name string

	// begin starts a transaction of the store's own.
	begin func(ctx context.Context, conn *sql.Conn) error

	// inTx guards the writes in callers' transactions.
	inTx guard

	// numbered says that the arguments of statements are $1, $2, … and not all ?.
	numbered bool

	// ids turns a batch of ids, an argument, into a table.
	ids string

	// ifFree, behind a SELECT, locks its rows, and passes over those that are locked.
	ifFree string

	// tell puts an event into the outbox, due at once: its payload is the one argument.
	tell string

	// clock is the time of the database, in microseconds since 1970.
	clock string

	// keep, behind an INSERT … SELECT, leaves a row as it is that is there already. The column is
	// the first one of the key.
	keep func(column string) string

	// dropRedundant drops the receipts that are the same without their rows: key, seqs.
	dropRedundant []string

	// serial says that the database lets in one writer at a time.
	serial bool

	// turns, if set, returns what has a store's own writers take turns: who enters leaves.
	turns func() (enter func(ctx context.Context) (leave func(), err error))

	// classify tells the fate of what failed with an error from the database.
	classify func(err error) fate

	// settings looks at the settings of a connection. The tables may not be there yet.
	settings func(ctx context.Context, q delivery.DBTX) (findings, error)

	// unmigrated reports whether a statement failed because a table or a column is missing.
	unmigrated func(err error) bool

	// tables lists the names of tables, ours among them.
	tables string

	// rights, if set, lists the rights that whoever asks lacks, beside those on the tables.
	rights string

	// migrate runs apply while no other process does.
	migrate func(ctx context.Context, s *session, apply func(q delivery.DBTX) error) error

	reads reads
	own   own

	// writes returns the writing operations of a store, with what they keep between calls.
	writes func() writes
}

// writes is a dialect's way to do the writing operations of a [delivery.Store]. The arguments are
// never empty, and a lease's token is zero inside a caller's transaction.
//
// An implementation runs its statements by the session, which makes the transactions, repeats them
// after conflicts and tells unknown outcomes: a function it hands to the session may run several
// times, and must set its results anew each time.
type writes interface {
	create(ctx context.Context, s *session, messages []delivery.NewMessage, lease delivery.Lease) ([]delivery.Created, []delivery.Claimed, error)
	advance(ctx context.Context, s *session, marks []delivery.Mark, lease delivery.Lease) ([]delivery.Marked, []delivery.Claimed, error)
	advanceUpTo(ctx context.Context, s *session, upTo []delivery.UpTo, limit int, lease delivery.Lease) ([]delivery.MarkedUpTo, []delivery.Claimed, error)
	delete(ctx context.Context, s *session, deletions []delivery.Deletion, lease delivery.Lease) ([]delivery.Deleted, []delivery.Claimed, error)
	announce(ctx context.Context, q delivery.DBTX, events []delivery.Event, lease delivery.Lease) ([]delivery.Claimed, error)
	claim(ctx context.Context, s *session, limit int, lease delivery.Lease) ([]delivery.Claimed, error)
	settle(ctx context.Context, s *session, settlements []delivery.Settlement) (held int, err error)
}

// begin returns the way to start a transaction that takes these statements.
func begin(statements ...string) func(ctx context.Context, conn *sql.Conn) error {
	return func(ctx context.Context, conn *sql.Conn) error {
		for _, statement := range statements {
			if _, err := conn.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	}
}

package integration

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"regexp"
	"sync/atomic"
	"testing"

	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/sqlstore"
)

// breakable returns a pool on a migrated database, whose connections break when cutter says so.
func breakable(t *testing.T, e engines.Engine) (*sql.DB, *cutter) {
	t.Helper()
	database := e.Database(t)
	plain := database.Open(t)
	if err := sqlstore.Migrate(t.Context(), plain, dialects[e.Kind]); err != nil {
		t.Fatal(err)
	}
	cut := &cutter{driver: plain.Driver(), dsn: database.DSN}
	db := sql.OpenDB(cut)
	t.Cleanup(func() { db.Close() })
	return db, cut
}

var errCut = errors.New("the connection was cut")

// moment is when a connection breaks.
type moment uint8

const (
	before moment = iota + 1 // the database sees the statement
	after                    // it carried the statement out
)

// cutter opens connections one of which breaks, at the next statement of a kind.
type cutter struct {
	driver driver.Driver
	dsn    string
	plan   atomic.Pointer[plan]
	seen   atomic.Int64 // statements
}

type plan struct {
	statement *regexp.Regexp
	at        moment
}

func (c *cutter) next(statement string, at moment) {
	c.plan.Store(&plan{regexp.MustCompile(statement), at})
}

// due returns the moment to break the connection at, if the statement is the one.
func (c *cutter) due(statement string) moment {
	c.seen.Add(1)
	p := c.plan.Load()
	if p == nil || !p.statement.MatchString(statement) || !c.plan.CompareAndSwap(p, nil) {
		return 0
	}
	return p.at
}

func (c *cutter) Driver() driver.Driver { return c.driver }

func (c *cutter) Connect(context.Context) (driver.Conn, error) {
	conn, err := c.driver.Open(c.dsn)
	return &cutConn{Conn: conn, cutter: c}, err
}

// cutConn is one connection. Statements pass it as a whole, and it sees them all.
type cutConn struct {
	driver.Conn
	cutter *cutter
	broken bool
}

func (c *cutConn) IsValid() bool { return !c.broken }

func (c *cutConn) CheckNamedValue(v *driver.NamedValue) error {
	if checker, ok := c.Conn.(driver.NamedValueChecker); ok {
		return checker.CheckNamedValue(v)
	}
	return driver.ErrSkip
}

func (c *cutConn) cut() error {
	c.broken = true
	c.Conn.Close()
	return errCut
}

func (c *cutConn) ExecContext(ctx context.Context, statement string, args []driver.NamedValue) (driver.Result, error) {
	if c.broken {
		return nil, driver.ErrBadConn
	}
	at := c.cutter.due(statement)
	if at == before {
		return nil, c.cut()
	}
	result, err := c.Conn.(driver.ExecerContext).ExecContext(ctx, statement, args)
	if err == driver.ErrSkip { // it must be prepared, and is not one to break at
		return nil, err
	}
	if at == after {
		return nil, c.cut()
	}
	return result, err
}

func (c *cutConn) QueryContext(ctx context.Context, statement string, args []driver.NamedValue) (driver.Rows, error) {
	if c.broken {
		return nil, driver.ErrBadConn
	}
	queryer, ok := c.Conn.(driver.QueryerContext)
	if !ok { // it must be prepared, and is not one to break at
		return nil, driver.ErrSkip
	}
	at := c.cutter.due(statement)
	if at == before {
		return nil, c.cut()
	}
	rows, err := queryer.QueryContext(ctx, statement, args)
	if at != after || err != nil {
		return rows, err
	}
	values := make([]driver.Value, len(rows.Columns()))
	for err == nil {
		err = rows.Next(values)
	}
	if err != io.EOF {
		return nil, err
	}
	rows.Close()
	return nil, c.cut()
}

// Package cutter breaks the connections of a pool at chosen statements, or has something done at
// them, and counts the statements.
package cutter

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
	"github.com/msgdelivery/delivery/internal/integration/stores"
)

// Open returns a pool on a migrated database, and a Cutter that says when its connections break.
func Open(t testing.TB, e engines.Engine) (*sql.DB, *Cutter) {
	t.Helper()
	database := stores.Database(t, e)
	plain := database.Open(t)
	cut := &Cutter{Database: database, driver: plain.Driver()}
	db := sql.OpenDB(cut)
	t.Cleanup(func() { db.Close() })
	return db, cut
}

// ErrCut is what the call gets whose connection was cut.
var ErrCut = errors.New("the connection was cut")

// Moment is when a connection breaks.
type Moment uint8

// The moments.
const (
	Before Moment = iota + 1 // the database sees the statement
	After                    // it carried the statement out
)

// Cutter opens connections, one of which breaks at the next statement of a kind.
type Cutter struct {
	Database engines.Database

	driver driver.Driver
	plan   atomic.Pointer[plan]
	seen   atomic.Int64
}

type plan struct {
	statement *regexp.Regexp
	at        Moment
	do        func()
}

// Next has the connection break that is first to carry a statement which matches.
func (c *Cutter) Next(statement string, at Moment) {
	c.plan.Store(&plan{statement: regexp.MustCompile(statement), at: at})
}

// Meanwhile has something done before the database sees the first statement that matches. No
// connection breaks.
func (c *Cutter) Meanwhile(statement string, do func()) {
	c.plan.Store(&plan{statement: regexp.MustCompile(statement), do: do})
}

// Pending reports whether what Next or Meanwhile asked for is still to come.
func (c *Cutter) Pending() bool { return c.plan.Load() != nil }

// Cancel takes back what Next asked for.
func (c *Cutter) Cancel() { c.plan.Store(nil) }

// Seen returns how many statements were sent so far.
func (c *Cutter) Seen() int64 { return c.seen.Load() }

// due returns the moment to break the connection at, if the statement is the one.
func (c *Cutter) due(statement string) Moment {
	c.seen.Add(1)
	p := c.plan.Load()
	if p == nil || !p.statement.MatchString(statement) || !c.plan.CompareAndSwap(p, nil) {
		return 0
	}
	if p.do != nil {
		p.do()
	}
	return p.at
}

// prepared is what due is for a statement that the driver wants to be prepared. No connection
// breaks at it.
func (c *Cutter) prepared(statement string) {
	if p := c.plan.Load(); p != nil && p.do != nil {
		c.due(statement)
	}
}

// Driver returns the driver below.
func (c *Cutter) Driver() driver.Driver { return c.driver }

// Connect opens a connection.
func (c *Cutter) Connect(context.Context) (driver.Conn, error) {
	conn, err := c.driver.Open(c.Database.DSN)
	return &Conn{Conn: conn, cutter: c}, err
}

// Conn is one connection. Statements pass it as a whole, and it sees them all.
type Conn struct {
	driver.Conn
	cutter *Cutter
	broken bool
}

// Whole returns a Conn that never breaks.
func Whole(conn driver.Conn) *Conn { return &Conn{Conn: conn, cutter: new(Cutter)} }

// IsValid tells database/sql whether to keep the connection.
func (c *Conn) IsValid() bool { return !c.broken }

// CheckNamedValue leaves arguments to the driver.
func (c *Conn) CheckNamedValue(v *driver.NamedValue) error {
	if checker, ok := c.Conn.(driver.NamedValueChecker); ok {
		return checker.CheckNamedValue(v)
	}
	return driver.ErrSkip
}

func (c *Conn) cut() error {
	c.broken = true
	c.Conn.Close()
	return ErrCut
}

// ExecContext passes a statement on, or breaks the connection before or after it.
func (c *Conn) ExecContext(ctx context.Context, statement string, args []driver.NamedValue) (driver.Result, error) {
	if c.broken {
		return nil, driver.ErrBadConn
	}
	at := c.cutter.due(statement)
	if at == Before {
		return nil, c.cut()
	}
	result, err := c.Conn.(driver.ExecerContext).ExecContext(ctx, statement, args)
	if err == driver.ErrSkip { // it must be prepared, and is not one to break at
		return nil, err
	}
	if at == After {
		return nil, c.cut()
	}
	return result, err
}

// QueryContext does what ExecContext does for a query. A connection that breaks after it has read
// all rows.
func (c *Conn) QueryContext(ctx context.Context, statement string, args []driver.NamedValue) (driver.Rows, error) {
	if c.broken {
		return nil, driver.ErrBadConn
	}
	queryer, ok := c.Conn.(driver.QueryerContext)
	if !ok {
		c.cutter.prepared(statement)
		return nil, driver.ErrSkip
	}
	at := c.cutter.due(statement)
	if at == Before {
		return nil, c.cut()
	}
	rows, err := queryer.QueryContext(ctx, statement, args)
	if at != After || err != nil {
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

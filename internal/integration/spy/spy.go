// Package spy opens pools that take down every statement they send.
package spy

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"slices"
	"sync"
	"testing"

	"github.com/msgdelivery/delivery/internal/integration/engines"
)

// Spy opens connections and takes down every statement they send.
type Spy struct {
	driver driver.Driver
	dsn    string

	mu   sync.Mutex
	sent []string
}

// Open returns a pool of one connection, closed at the end of the test, and its spy.
func Open(d engines.Database, t testing.TB) (*sql.DB, *Spy) {
	t.Helper()
	s := &Spy{driver: d.Open(t).Driver(), dsn: d.DSN}
	db := sql.OpenDB(s)
	db.SetMaxOpenConns(1) // each connection prepares for itself
	t.Cleanup(func() { db.Close() })
	return db, s
}

// Driver implements [driver.Connector].
func (s *Spy) Driver() driver.Driver { return s.driver }

// Connect implements [driver.Connector].
func (s *Spy) Connect(context.Context) (driver.Conn, error) {
	inner, err := s.driver.Open(s.dsn)
	return &conn{inner, s}, err
}

func (s *Spy) saw(statement string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent = append(s.sent, statement)
}

// Take returns the statements since the last time.
func (s *Spy) Take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	sent := slices.Clone(s.sent)
	s.sent = nil
	return sent
}

type conn struct {
	driver.Conn
	spy *Spy
}

func (c *conn) CheckNamedValue(v *driver.NamedValue) error {
	if checker, ok := c.Conn.(driver.NamedValueChecker); ok {
		return checker.CheckNamedValue(v)
	}
	return driver.ErrSkip
}

func (c *conn) Prepare(statement string) (driver.Stmt, error) {
	c.spy.saw(statement)
	return c.Conn.Prepare(statement)
}

func (c *conn) ExecContext(ctx context.Context, statement string, args []driver.NamedValue) (driver.Result, error) {
	result, err := c.Conn.(driver.ExecerContext).ExecContext(ctx, statement, args)
	if err != driver.ErrSkip { // else it will be prepared
		c.spy.saw(statement)
	}
	return result, err
}

func (c *conn) QueryContext(ctx context.Context, statement string, args []driver.NamedValue) (driver.Rows, error) {
	rows, err := c.Conn.(driver.QueryerContext).QueryContext(ctx, statement, args)
	if err != driver.ErrSkip {
		c.spy.saw(statement)
	}
	return rows, err
}

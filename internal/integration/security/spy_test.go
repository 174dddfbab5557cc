package security

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"slices"
	"sync"
	"testing"

	"github.com/msgdelivery/delivery/internal/integration/engines"
)

// spy opens connections and takes down every statement they send.
type spy struct {
	driver driver.Driver
	dsn    string

	mu   sync.Mutex
	sent []string
}

func newSpy(d engines.Database, t *testing.T) (*sql.DB, *spy) {
	s := &spy{driver: d.Open(t).Driver(), dsn: d.DSN}
	db := sql.OpenDB(s)
	db.SetMaxOpenConns(1) // each connection prepares for itself
	t.Cleanup(func() { db.Close() })
	return db, s
}

func (s *spy) Driver() driver.Driver { return s.driver }

func (s *spy) Connect(context.Context) (driver.Conn, error) {
	conn, err := s.driver.Open(s.dsn)
	return &spyConn{conn, s}, err
}

func (s *spy) saw(statement string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent = append(s.sent, statement)
}

// take returns the statements since the last time.
func (s *spy) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	sent := slices.Clone(s.sent)
	s.sent = nil
	return sent
}

type spyConn struct {
	driver.Conn
	spy *spy
}

func (c *spyConn) CheckNamedValue(v *driver.NamedValue) error {
	if checker, ok := c.Conn.(driver.NamedValueChecker); ok {
		return checker.CheckNamedValue(v)
	}
	return driver.ErrSkip
}

func (c *spyConn) Prepare(statement string) (driver.Stmt, error) {
	c.spy.saw(statement)
	return c.Conn.Prepare(statement)
}

func (c *spyConn) ExecContext(ctx context.Context, statement string, args []driver.NamedValue) (driver.Result, error) {
	result, err := c.Conn.(driver.ExecerContext).ExecContext(ctx, statement, args)
	if err != driver.ErrSkip { // else it will be prepared
		c.spy.saw(statement)
	}
	return result, err
}

func (c *spyConn) QueryContext(ctx context.Context, statement string, args []driver.NamedValue) (driver.Rows, error) {
	rows, err := c.Conn.(driver.QueryerContext).QueryContext(ctx, statement, args)
	if err != driver.ErrSkip {
		c.spy.saw(statement)
	}
	return rows, err
}

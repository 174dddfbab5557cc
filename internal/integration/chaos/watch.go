package chaos

import (
	"context"
	"database/sql/driver"
	"fmt"
)

// watch is what is done at the statements of a connection.
type watch struct {
	first         string // if not empty, a statement that comes before all others
	before, after func(query string)
	retry         func(error) bool // if not nil, a statement that fails so is run once more
	leaveOut      string           // a statement that the connection says it ran
}

// watchedConnector makes connections of another driver, whose statements are watched.
type watchedConnector struct {
	driver driver.Driver
	dsn    string
	watch  watch
}

func (c *watchedConnector) Driver() driver.Driver { return c.driver }

func (c *watchedConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.driver.Open(c.dsn)
	if err != nil {
		return nil, err
	}
	full, ok := conn.(fullConn)
	if !ok {
		conn.Close()
		return nil, fmt.Errorf("%T can't be watched", conn)
	}
	if c.watch.first != "" {
		if _, err := full.ExecContext(ctx, c.watch.first, nil); err != nil {
			full.Close()
			return nil, err
		}
	}
	return &watchedConn{full, c.watch}, nil
}

// fullConn is what the connections of all drivers in use can do.
type fullConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
}

type watchedConn struct {
	fullConn
	watch watch
}

// CheckNamedValue implements [driver.NamedValueChecker] as far as the driver does.
func (c *watchedConn) CheckNamedValue(v *driver.NamedValue) error {
	if checker, ok := c.fullConn.(driver.NamedValueChecker); ok {
		return checker.CheckNamedValue(v)
	}
	return driver.ErrSkip
}

// ResetSession implements [driver.SessionResetter] as far as the driver does.
func (c *watchedConn) ResetSession(ctx context.Context) error {
	if resetter, ok := c.fullConn.(driver.SessionResetter); ok {
		return resetter.ResetSession(ctx)
	}
	return nil
}

// IsValid implements [driver.Validator] as far as the driver does.
func (c *watchedConn) IsValid() bool {
	validator, ok := c.fullConn.(driver.Validator)
	return !ok || validator.IsValid()
}

func (c *watchedConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	return watched(c, query, func() (driver.Result, error) { return c.exec(ctx, query, args) })
}

func (c *watchedConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	return watched(c, query, func() (driver.Rows, error) { return c.query(ctx, query, args) })
}

func watched[T any](c *watchedConn, query string, run func() (T, error)) (T, error) {
	c.watch.before(query)
	result, err := run()
	if err != nil && c.watch.retry != nil && c.watch.retry(err) {
		result, err = run()
	}
	c.watch.after(query)
	return result, err
}

// exec runs a statement, prepared if the driver wants that.
func (c *watchedConn) exec(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if query == c.watch.leaveOut {
		return driver.ResultNoRows, nil
	}
	result, err := c.fullConn.ExecContext(ctx, query, args)
	if err != driver.ErrSkip {
		return result, err
	}
	stmt, err := c.Prepare(query)
	if err != nil {
		return nil, err
	}
	defer stmt.Close()
	return stmt.(driver.StmtExecContext).ExecContext(ctx, args)
}

// query is exec for statements with rows. Prepared statements end with the connection.
func (c *watchedConn) query(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	rows, err := c.fullConn.QueryContext(ctx, query, args)
	if err != driver.ErrSkip {
		return rows, err
	}
	stmt, err := c.Prepare(query)
	if err != nil {
		return nil, err
	}
	return stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
}

package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"sync/atomic"
	"testing"
)

// asked is a driver whose connections count how often they had to answer.
type asked struct{ conns []*askedConn }

func (a *asked) Connect(context.Context) (driver.Conn, error) {
	a.conns = append(a.conns, new(askedConn))
	return a.conns[len(a.conns)-1], nil
}

func (a *asked) Driver() driver.Driver { return nil }

type askedConn struct{ pings atomic.Int32 }

func (c *askedConn) Ping(context.Context) error {
	c.pings.Add(1)
	return nil
}

func (*askedConn) Prepare(string) (driver.Stmt, error) { return nil, errors.ErrUnsupported }
func (*askedConn) Begin() (driver.Tx, error)           { return nil, errors.ErrUnsupported }
func (*askedConn) Close() error                        { return nil }

func TestAfterASilenceEachIdleConnectionHasToAnswerOnce(t *testing.T) {
	const n = 100
	var server asked
	db := sql.OpenDB(&server)
	defer db.Close()
	db.SetMaxIdleConns(n)
	p := &pool{DB: db}
	var ends []func()
	for range n {
		_, done, err := p.take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ends = append(ends, done)
	}
	for _, done := range ends {
		done()
	}
	p.suspect()
	_, done, err := p.take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	if len(server.conns) != n {
		t.Errorf("%d connections were opened", len(server.conns))
	}
	for i, c := range server.conns {
		if asked := c.pings.Load(); asked != 1 {
			t.Errorf("connection %d was asked %d times", i, asked)
		}
	}
}

package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
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
	p := newPool(db, false)
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
	p.suspected = true
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

func TestIdleConnectionsAreAskedWhen(t *testing.T) {
	for name, c := range map[string]struct {
		again time.Duration // between the first call that has no answer and the second one
		ends  bool          // the ctx of the second ends
		times int32         // that they are asked
	}{
		"a call has had no answer for a second":          {times: 1},
		"another has had none 10 seconds later":          {again: 10 * time.Second, times: 2},
		"and no earlier, since most such calls are slow": {again: 9 * time.Second, times: 1},
		"unless its ctx has ended":                       {again: 2 * time.Second, ends: true, times: 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var server asked
				db := sql.OpenDB(&server)
				defer db.Close()
				db.SetMaxIdleConns(3)
				p := newPool(db, false)
				take := func(ctx context.Context) (done func()) {
					_, done, err := p.take(ctx)
					if err != nil {
						t.Fatal(err)
					}
					return done
				}
				idle, busy, another := take(t.Context()), take(t.Context()), take(t.Context())
				idle()
				busy()
				another()
				defer take(t.Context())()
				if c.again > 0 {
					time.Sleep(c.again)
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					defer take(ctx)()
					if c.ends {
						time.AfterFunc(silence, cancel)
					}
				}
				for range 15 { // others get answers, always on the connection that was returned last
					time.Sleep(silence / 10)
					take(t.Context())()
				}
				if times := server.conns[0].pings.Load(); times != c.times {
					t.Errorf("an idle connection was asked %d times, want %d", times, c.times)
				}
			})
		})
	}
}

func TestACallTakesNoConnectionThatIsAboutToBeAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := silent{asked: make(chan bool, 1), answer: make(chan bool)}
		db := sql.OpenDB(server)
		defer db.Close()
		p := newPool(db, false)
		_, done, err := p.take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		done()
		p.suspected = true
		go func() {
			if _, done, err := p.take(t.Context()); err == nil {
				done()
			}
		}()
		<-server.asked
		began := time.Now()
		_, done, err = p.take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		done()
		if waited := time.Since(began); waited != answerTime {
			t.Errorf("it waited for %v, want the %v that a connection has to answer", waited, answerTime)
		}
		close(server.answer)
	})
}

func TestACallWaitsNoLongerThanItsTimeForConnectionsToBeAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(nil, false)
		p.sifting <- struct{}{}
		ctx, cancel := context.WithTimeout(t.Context(), answerTime/2)
		defer cancel()
		if _, _, err := p.take(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

// silent is a driver whose connections answer when they are told to.
type silent struct{ asked, answer chan bool }

func (s silent) Connect(context.Context) (driver.Conn, error) { return silentConn{s}, nil }
func (s silent) Driver() driver.Driver                        { return nil }

type silentConn struct{ silent }

func (c silentConn) Ping(context.Context) error {
	c.asked <- true
	<-c.answer
	return nil
}

func (silentConn) Prepare(string) (driver.Stmt, error) { return nil, errors.ErrUnsupported }
func (silentConn) Begin() (driver.Tx, error)           { return nil, errors.ErrUnsupported }
func (silentConn) Close() error                        { return nil }

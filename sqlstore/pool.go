package sqlstore

import (
	"container/list"
	"context"
	"database/sql"
	"sync"
	"time"
)

// pool is the app's pool, and remembers that connections fell silent.
//
// A network can drop a connection without telling either end. Such a connection looks like any
// other until it is used, and then takes all the time that the call has. Such connections seldom
// come alone. So when a call has had no answer for a second, the pool asks all idle connections at
// the same time, before any other call takes one, and closes those that do not answer. It does so
// without waiting for another call: the calls that follow may all wait for this one.
//
// Most calls that take a second are only slow. So the pool asks once in a while, unless ctx of a
// call has ended. That others get answers says nothing: they may all have them on one connection.
type pool struct {
	*sql.DB
	local   bool          // no network is in between
	sifting chan struct{} // has room for the one call that asks

	mu        sync.Mutex
	calls     list.List // under way, in the order in which they began
	asked     time.Time // when a slow call last made the pool ask
	suspected bool      // a connection fell silent
}

// call has a connection, or waits for one.
type call struct {
	ctx   context.Context
	began time.Time
	told  bool // that it met a silent connection
}

const (
	silence    = time.Second            // at least, without an answer
	answerTime = 500 * time.Millisecond // for an idle connection: two round trips with some drivers
	patience   = 10 * time.Second       // with calls that are slow, until the pool asks again
)

// old reports whether the call began so long ago that it can have met a silent connection.
func (c *call) old() bool { return time.Since(c.began) >= silence }

func newPool(db *sql.DB, local bool) *pool {
	return &pool{DB: db, local: local, sifting: make(chan struct{}, 1)}
}

// take returns a connection, and done, which the caller calls when the connection is no longer
// needed.
func (p *pool) take(ctx context.Context) (conn *sql.Conn, done func(), err error) {
	if p.local {
		if conn, err = p.Conn(ctx); err != nil {
			return nil, nil, err
		}
		return conn, func() { conn.Close() }, nil
	}
	if err = p.sift(ctx); err != nil {
		return nil, nil, err
	}
	end := p.begin(ctx)
	if conn, err = p.Conn(ctx); err != nil {
		end()
		return nil, nil, err
	}
	return conn, func() {
		end()
		conn.Close()
	}, nil
}

// opensNext reports whether the pool has to open a connection for the next call.
func (p *pool) opensNext() bool {
	stats := p.Stats()
	return stats.Idle == 0 && (stats.MaxOpenConnections == 0 || stats.OpenConnections < stats.MaxOpenConnections)
}

// begin notes a call until it ends.
func (p *pool) begin(ctx context.Context) (end func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := &call{ctx: ctx, began: time.Now()}
	at := p.calls.PushBack(c)
	looks := time.AfterFunc(silence, func() { p.sift(ctx) })
	return func() {
		looks.Stop()
		p.mu.Lock()
		defer p.mu.Unlock()
		p.suspected = p.suspects(c) || p.suspected
		p.calls.Remove(at)
	}
}

// suspects reports, once, that the call seems to have met a silent connection.
func (p *pool) suspects(c *call) bool {
	if c.told || !c.old() || c.ctx.Err() == nil && time.Since(p.asked) < patience {
		return false
	}
	c.told = true
	if c.ctx.Err() == nil {
		p.asked = time.Now()
	}
	return true
}

// suspicious reports, once, whether a connection fell silent. It looks at the calls under way
// itself, since the next call may begin at the moment at which the ctx of one ends, and some
// drivers wait on.
func (p *pool) suspicious() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	suspected := p.suspected
	p.suspected = false
	for at := p.calls.Front(); at != nil && at.Value.(*call).old(); at = at.Next() {
		suspected = p.suspects(at.Value.(*call)) || suspected
	}
	return suspected
}

// sift closes the idle connections that do not answer, if a connection fell silent. Calls that come
// meanwhile wait for it: they would take the connections that are about to be asked.
func (p *pool) sift(ctx context.Context) error {
	select {
	case p.sifting <- struct{}{}:
		defer func() { <-p.sifting }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if p.suspicious() {
		p.askIdle()
	}
	return nil
}

// askIdle closes the idle connections that do not answer in time.
func (p *pool) askIdle() {
	ctx, cancel := context.WithTimeout(context.Background(), answerTime)
	defer cancel()
	idle := p.Stats().Idle
	answers := make(chan *sql.Conn, idle)
	for range idle {
		go func() {
			conn, err := p.Conn(ctx)
			if err == nil && conn.PingContext(ctx) != nil {
				drop(conn)
			}
			answers <- conn
		}()
	}
	// A connection that has answered is kept until all have: the pool would hand it out for another
	// one.
	giveBack := func(conn *sql.Conn) {
		if conn != nil {
			conn.Close()
		}
	}
	for left := idle; left > 0; left-- {
		select {
		case conn := <-answers:
			defer giveBack(conn)
		case <-ctx.Done():
			go func() { // some drivers wait on
				for range left {
					giveBack(<-answers)
				}
			}()
			return
		}
	}
}

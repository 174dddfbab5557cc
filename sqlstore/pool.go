package sqlstore

import (
	"context"
	"database/sql"
	"sync"
	"time"
)

// pool is the app's pool, and remembers that connections fell silent.
//
// A network can drop a connection without telling either end. Such a connection looks like any
// other until it is used, and then takes all the time that the call has. Such connections seldom
// come alone. So after a call had no answer for a second until its ctx ended, all idle connections
// are asked at the same time before the next call. Those that do not answer are closed.
type pool struct {
	*sql.DB
	local bool // no network is in between

	mu        sync.Mutex
	calls     map[*call]bool // under way
	suspected bool           // a connection fell silent
}

// call has a connection, or waits for one.
type call struct {
	ctx   context.Context
	began time.Time
}

const (
	silence    = time.Second            // at least, without an answer until ctx ended
	answerTime = 200 * time.Millisecond // that an idle connection has to answer
)

func (c *call) silent() bool { return c.ctx.Err() != nil && time.Since(c.began) >= silence }

// take takes a connection. Whoever has it calls done.
func (p *pool) take(ctx context.Context) (conn *sql.Conn, done func(), err error) {
	if p.local {
		if conn, err = p.Conn(ctx); err != nil {
			return nil, nil, err
		}
		return conn, func() { conn.Close() }, nil
	}
	p.sift()
	c := &call{ctx, time.Now()}
	p.begin(c)
	if conn, err = p.Conn(ctx); err != nil {
		p.end(c)
		return nil, nil, err
	}
	return conn, func() {
		p.end(c)
		conn.Close()
	}, nil
}

func (p *pool) begin(c *call) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.calls == nil {
		p.calls = make(map[*call]bool)
	}
	p.calls[c] = true
}

func (p *pool) end(c *call) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.calls[c] && c.silent() {
		p.suspected = true
	}
	delete(p.calls, c)
}

// suspects reports, once, whether a connection fell silent. It looks at the calls under way itself,
// since the next call may begin at the moment at which the ctx of one ends, and some drivers wait
// on.
func (p *pool) suspects() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	suspected := p.suspected
	p.suspected = false
	for c := range p.calls {
		if c.silent() {
			suspected = true
			delete(p.calls, c)
		}
	}
	return suspected
}

// sift closes the idle connections that do not answer, if a connection fell silent. Calls that come
// meanwhile do not wait for it.
func (p *pool) sift() {
	if !p.suspects() {
		return
	}
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

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
	suspected bool // a connection fell silent
}

const (
	silence    = time.Second            // at least, without an answer until ctx ended
	answerTime = 200 * time.Millisecond // that an idle connection has to answer
)

// take takes a connection. Whoever has it calls done.
func (p *pool) take(ctx context.Context) (conn *sql.Conn, done func(), err error) {
	p.sift()
	began := time.Now()
	note := func() {
		if time.Since(began) >= silence {
			p.suspect()
		}
	}
	stop := context.AfterFunc(ctx, note) // some drivers wait on
	ended := func() {
		if !stop() {
			note()
		}
	}
	if conn, err = p.Conn(ctx); err != nil {
		ended()
		return nil, nil, err
	}
	return conn, func() {
		ended()
		conn.Close()
	}, nil
}

func (p *pool) suspect() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.suspected = !p.local
}

// sift closes the idle connections that do not answer, if a connection fell silent. Calls that come
// meanwhile do not wait for it.
func (p *pool) sift() {
	p.mu.Lock()
	suspected := p.suspected
	p.suspected = false
	p.mu.Unlock()
	if !suspected {
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

package broken

import (
	"database/sql"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"

	"github.com/go-sql-driver/mysql"

	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
	"github.com/msgdelivery/delivery/sqlstore"
)

// wire is a TCP proxy in front of a database server, on which bytes get lost.
type wire struct {
	listener net.Listener
	target   string
	serving  sync.WaitGroup

	mu     sync.Mutex
	links  map[*link]struct{}
	trace  []piece       // what passed since it was last cleared
	cutAt  *piece        // where the next connection breaks: after that many bytes in that direction
	broken chan struct{} // closed when it has, and the server has seen it
}

// direction is where bytes go.
type direction bool

const (
	toServer direction = true
	toClient direction = false
)

// piece is a number of bytes that passed in one direction.
type piece struct {
	to    direction
	bytes int
}

// link is a client's connection and the one to the server.
type link struct {
	client, server net.Conn
	hole           bool // all that comes disappears
	cut            bool
}

// wired returns a pool on a migrated database whose connections go over a wire, and one whose do
// not.
func wired(t *testing.T, e engines.Engine) (over, beside *sql.DB, w *wire) {
	t.Helper()
	database := e.Database(t)
	beside = database.Open(t)
	if err := sqlstore.Migrate(t.Context(), beside, stores.Dialects[e.Kind]); err != nil {
		t.Fatal(err)
	}
	w = &wire{links: map[*link]struct{}{}}
	var err error
	if w.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.close)
	here := w.listener.Addr().String()
	switch e.Kind {
	case engines.Postgres:
		u, err := url.Parse(database.DSN)
		if err != nil {
			t.Fatal("not a URL")
		}
		w.target, u.Host = u.Host, here
		database.DSN = u.String()
	case engines.MySQL:
		config, err := mysql.ParseDSN(database.DSN)
		if err != nil {
			t.Fatal("not a DSN")
		}
		w.target, config.Net, config.Addr = config.Addr, "tcp", here
		database.DSN = config.FormatDSN()
	default:
		t.Fatalf("%s has no connections", e.Name)
	}
	w.serving.Go(w.serve)
	over = database.Open(t)
	return over, beside, w
}

func (w *wire) serve() {
	for {
		client, err := w.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", w.target)
		if err != nil {
			client.Close()
			continue
		}
		l := &link{client: client, server: server}
		w.mu.Lock()
		w.links[l] = struct{}{}
		w.mu.Unlock()
		w.serving.Go(func() { w.pass(l, toServer) })
		w.serving.Go(func() { w.pass(l, toClient) })
	}
}

// pass copies what goes in one direction.
func (w *wire) pass(l *link, to direction) {
	from, into := l.client, l.server
	if to == toClient {
		from, into = l.server, l.client
	}
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		pass, cut, hole := w.admit(l, to, n)
		if hole {
			io.Copy(io.Discard, from) // and no end of it is seen on the other side
			return
		}
		if pass > 0 {
			if _, err := into.Write(buffer[:pass]); err != nil {
				return
			}
		}
		switch {
		case cut:
			l.server.(*net.TCPConn).CloseWrite()
			l.client.Close()
			if to == toServer { // the other goroutine reads what the server says to that
				return
			}
			io.Copy(io.Discard, l.server)
			w.brokeOff()
			return
		case err != nil:
			into.(*net.TCPConn).CloseWrite()
			if to == toClient && w.wasCut(l) {
				w.brokeOff()
			}
			return
		}
	}
}

// admit says what becomes of bytes that came.
func (w *wire) admit(l *link, to direction, n int) (pass int, cut, hole bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if l.hole {
		return 0, false, true
	}
	if l.cut {
		return 0, false, false
	}
	if n > 0 {
		w.trace = append(w.trace, piece{to, n})
	}
	if w.cutAt == nil || w.cutAt.to != to || w.cutAt.bytes > n {
		if w.cutAt != nil && w.cutAt.to == to {
			w.cutAt.bytes -= n
		}
		return n, false, false
	}
	pass = w.cutAt.bytes
	w.cutAt = nil
	l.cut = true
	return pass, true, false
}

func (w *wire) wasCut(l *link) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return l.cut
}

func (w *wire) brokeOff() {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.broken)
}

// swallow lets all that comes on the present connections disappear from now on, without telling
// anyone. New ones work.
func (w *wire) swallow() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for l := range w.links {
		l.hole = true
	}
}

// breakAt has the next connection break after that many more bytes in that direction, and returns a
// channel that is closed when the server has seen it.
func (w *wire) breakAt(at piece) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cutAt, w.broken = &at, make(chan struct{})
	return w.broken
}

// passed returns what has passed since it was asked last: neighbours go in different directions.
func (w *wire) passed() (pieces []piece) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.trace {
		if n := len(pieces); n > 0 && pieces[n-1].to == p.to {
			pieces[n-1].bytes += p.bytes
		} else {
			pieces = append(pieces, p)
		}
	}
	w.trace = nil
	return pieces
}

func (w *wire) close() {
	w.listener.Close()
	w.mu.Lock()
	for l := range w.links {
		l.client.Close()
		l.server.Close()
	}
	w.mu.Unlock()
	w.serving.Wait()
}

package chaos

import (
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"
)

// Proxy stands between the nodes and a server and does harm to what passes.
type Proxy struct {
	listener net.Listener
	target   string

	mu      sync.Mutex
	random  *rand.Rand
	harm    Harm
	conns   map[net.Conn]struct{}
	cuts    int
	closed  bool
	serving sync.WaitGroup
}

// Harm is what a proxy does. A request is what a client sent in one piece, and mostly is one
// statement.
type Harm struct {
	// Cut is the share of requests at which the connection is cut: half of them before the request
	// reaches the server, the others after the server has answered and before the answer reaches
	// the client.
	Cut   func(request []byte) float64
	Delay time.Duration // of every answer
}

// newProxy returns a proxy in front of the server at that address. It is closed when the test ends.
func newProxy(t testing.TB, target string, seed uint64) *Proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{listener: listener, target: target, random: rand.New(rand.NewPCG(seed, 2)), conns: map[net.Conn]struct{}{}}
	p.serving.Go(p.serve)
	t.Cleanup(p.close)
	return p
}

func (p *Proxy) addr() string { return p.listener.Addr().String() }

// do sets the harm that is done from now on.
func (p *Proxy) do(harm Harm) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.harm = harm
}

// count returns how many connections were cut.
func (p *Proxy) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cuts
}

func (p *Proxy) close() {
	p.mu.Lock()
	p.closed = true
	for conn := range p.conns {
		conn.Close()
	}
	p.mu.Unlock()
	p.listener.Close()
	p.serving.Wait()
}

func (p *Proxy) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			client.Close()
			continue
		}
		if !p.keep(client, server) {
			return
		}
		link := &link{proxy: p, client: client, server: server}
		p.serving.Go(link.requests)
		p.serving.Go(link.answers)
	}
}

// keep notes connections for close, and reports whether the proxy is still open.
func (p *Proxy) keep(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range conns {
		if p.closed {
			conn.Close()
		}
		p.conns[conn] = struct{}{}
	}
	return !p.closed
}

// decide says what is done to a request.
func (p *Proxy) decide(request []byte) (cutBefore, cutAfter bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.harm.Cut == nil || p.random.Float64() >= p.harm.Cut(request) {
		return false, false
	}
	p.cuts++
	before := p.random.IntN(2) == 0
	return before, !before
}

func (p *Proxy) delay() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.harm.Delay
}

// link is a client's connection and the one to the server.
type link struct {
	proxy          *Proxy
	client, server net.Conn

	mu  sync.Mutex
	cut bool // at the next answer
}

func (l *link) close() {
	l.client.Close()
	l.server.Close()
	l.proxy.mu.Lock()
	defer l.proxy.mu.Unlock()
	delete(l.proxy.conns, l.client)
	delete(l.proxy.conns, l.server)
}

func (l *link) requests() {
	defer l.close()
	pass(l.client, l.server, func(request []byte) bool {
		before, after := l.proxy.decide(request)
		l.mu.Lock()
		l.cut = l.cut || after
		l.mu.Unlock()
		return !before
	})
}

func (l *link) answers() {
	defer l.close()
	pass(l.server, l.client, func([]byte) bool {
		time.Sleep(l.proxy.delay())
		l.mu.Lock()
		defer l.mu.Unlock()
		return !l.cut
	})
}

// pass copies from one connection to the other as long as each piece may.
func pass(from io.Reader, to io.Writer, may func(piece []byte) bool) {
	piece := make([]byte, 64<<10)
	for {
		n, err := from.Read(piece)
		if n > 0 {
			if !may(piece[:n]) {
				return
			}
			if _, err := to.Write(piece[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

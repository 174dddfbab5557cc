package natsadapter_test

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/msgdelivery/delivery/natsadapter"
)

// broker is a NATS server in this process. It keeps its address and its streams over restarts.
type broker struct {
	t    testing.TB
	opts server.Options

	mu     sync.Mutex
	server *server.Server
}

// newBroker starts a server, which is ended at the end of the test. set, if not nil, changes its
// options.
func newBroker(t testing.TB, set func(*server.Options)) *broker {
	t.Helper()
	b := &broker{t: t, opts: server.Options{
		Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true, WriteDeadline: 10 * time.Second,
	}}
	if set != nil {
		set(&b.opts)
	}
	b.start()
	b.opts.Port = b.server.Addr().(*net.TCPAddr).Port
	t.Cleanup(b.stop)
	return b
}

func (b *broker) start() {
	b.mu.Lock()
	defer b.mu.Unlock()
	opts := b.opts
	s, err := server.NewServer(&opts)
	if err != nil {
		b.t.Error(err)
		return
	}
	go s.Start()
	if !s.ReadyForConnections(30 * time.Second) {
		b.t.Error("the server does not start")
	}
	b.server = s
}

func (b *broker) stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.server.Shutdown()
	b.server.WaitForShutdown()
}

func (b *broker) restart() {
	b.stop()
	b.start()
}

// reload changes options of the server that it takes in while it runs.
func (b *broker) reload(set func(*server.Options)) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	set(&b.opts)
	opts := b.opts
	if err := b.server.ReloadOptions(&opts); err != nil {
		b.t.Fatal(err)
	}
}

// connect returns a connection of one process.
func (b *broker) connect(opts ...nats.Option) *nats.Conn {
	return connect(b.t, b.server.Addr().String(), opts...)
}

func connect(t testing.TB, addr string, opts ...nats.Option) *nats.Conn {
	t.Helper()
	opts = append([]nats.Option{nats.MaxReconnects(-1), nats.ReconnectWait(20 * time.Millisecond), nats.ReconnectJitter(0, 0)}, opts...)
	conn, err := nats.Connect("nats://"+addr, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

func newStream(t testing.TB, conn *nats.Conn) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// addStream makes the stream of a bus, or another with the changes that set makes.
func addStream(t testing.TB, js jetstream.JetStream, set func(*jetstream.StreamConfig)) jetstream.Stream {
	t.Helper()
	config := jetstream.StreamConfig{Name: "DELIVERY", Subjects: []string{natsadapter.DefaultSubject}, MaxAge: 10 * time.Minute}
	if set != nil {
		set(&config)
	}
	s, err := js.CreateOrUpdateStream(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// link is a TCP proxy to a broker, which can be cut and hung.
type link struct {
	addr, to string
	hung     chan struct{} // closed once nothing passes

	mu     sync.Mutex
	conns  []net.Conn
	closed bool // to new connections
}

func newLink(t *testing.T, b *broker) *link {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &link{addr: listener.Addr().String(), to: b.server.Addr().String(), hung: make(chan struct{})}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() { l.pass(client) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		l.cut()
		running.Wait()
	})
	return l
}

func (l *link) pass(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", l.to)
	if err != nil {
		return
	}
	defer server.Close()
	l.mu.Lock()
	closed := l.closed
	l.conns = append(l.conns, client, server)
	l.mu.Unlock()
	if closed {
		return
	}
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{client, server}, {server, client}} {
		both.Go(func() {
			_, _ = io.Copy(way[0], gate{way[1], l.hung})
			way[0].Close()
			way[1].Close()
		})
	}
	both.Wait()
}

// gate reads nothing once it is hung, until the connection is closed.
type gate struct {
	net.Conn
	hung chan struct{}
}

func (g gate) Read(b []byte) (int, error) {
	n, err := g.Conn.Read(b)
	select {
	case <-g.hung:
		for err == nil {
			_, err = g.Conn.Read(b)
		}
		return 0, err
	default:
		return n, err
	}
}

// hang makes the server give no answer. Connections stay open.
func (l *link) hang() { close(l.hung) }

// cut breaks every connection once.
func (l *link) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.conns {
		c.Close()
	}
	l.conns = nil
}

// close breaks every connection, and takes no new ones until it is opened.
func (l *link) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.cut()
}

func (l *link) open() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = false
}

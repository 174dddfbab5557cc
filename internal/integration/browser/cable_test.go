package browser

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// cable is the way of a browser to a server. Unplugged, it breaks connections, and lets new ones
// wait until it is plugged in again, as a network does that is gone.
type cable struct {
	url      string // to use in place of the server's
	listener net.Listener
	target   string

	mu    sync.Mutex
	whole chan struct{} // closed while it is plugged in
	conns map[net.Conn]struct{}
}

func newCable(t testing.TB, url string) *cable {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{
		url: "http://" + listener.Addr().String(), listener: listener, target: strings.TrimPrefix(url, "http://"),
		whole: make(chan struct{}), conns: map[net.Conn]struct{}{},
	}
	c.plug()
	var carrying sync.WaitGroup
	carrying.Go(func() {
		for {
			browser, err := listener.Accept()
			if err != nil {
				return
			}
			carrying.Go(func() { c.carry(browser) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		c.unplug()
		c.plug()
		carrying.Wait()
	})
	return c
}

func (c *cable) plug() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.plugged() {
		close(c.whole)
	}
}

func (c *cable) unplug() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.plugged() {
		c.whole = make(chan struct{})
	}
	for conn := range c.conns {
		conn.Close()
	}
	clear(c.conns)
}

// plugged says whether it is plugged in. The caller holds c.mu.
func (c *cable) plugged() bool {
	select {
	case <-c.whole:
		return true
	default:
		return false
	}
}

// carry carries a connection from the browser on to the server, and ends with it.
func (c *cable) carry(browser net.Conn) {
	defer browser.Close()
	for !c.add(browser) {
		c.mu.Lock()
		whole := c.whole
		c.mu.Unlock()
		<-whole
	}
	server, err := net.Dial("tcp", c.target)
	if err != nil {
		return
	}
	defer server.Close()
	go func() {
		io.Copy(server, browser)
		server.Close()
	}()
	io.Copy(browser, server)
}

// add adds a connection to those that unplug breaks, if the cable is plugged in.
func (c *cable) add(conn net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.plugged() {
		c.conns[conn] = struct{}{}
	}
	return c.plugged()
}

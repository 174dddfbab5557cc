package engines

import (
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"testing"

	"github.com/msgdelivery/delivery/internal/integration/need"
)

// Main runs the tests, then removes the servers they shared. An interrupt removes all servers too.
func Main(m *testing.M) {
	called = true
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-interrupted
		signal.Stop(interrupted)
		removeAll()
		os.Exit(1)
	}()
	defer removeAll()
	m.Run()
}

var called bool // Main

// servers holds every *Server that has something to remove.
var servers sync.Map

func removeAll() {
	for s := range servers.Range {
		if err := s.(*Server).remove(); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
}

// shared holds the server of each kind that all tests of this binary use.
var shared = map[Kind]*sharedServer{Postgres: {}, MySQL: {}}

type sharedServer struct {
	once  sync.Once
	admin string // the administrator's DSN, "" if there is no server
	err   error  // of starting it
}

// sharedAdmin returns the DSN of the administrator of the shared server, which it starts if need
// be.
func sharedAdmin(t testing.TB, kind Kind) string {
	t.Helper()
	if !called {
		t.Fatal("no engines without: func TestMain(m *testing.M) { engines.Main(m) }")
	}
	p, s := products[kind], shared[kind]
	s.once.Do(func() {
		if s.admin = os.Getenv(p.env); s.admin != "" {
			return
		}
		if programs := p.find(); programs != nil {
			var own *Server
			if own, s.err = newServer(p, programs); s.err == nil {
				s.admin = p.admin(own)
			}
		}
	})
	if s.err != nil {
		t.Fatal(s.err)
	}
	if s.admin == "" {
		need.Missing(t, p.name, fmt.Sprintf("apt-get install %s, or set %s", p.pkg, p.env))
	}
	return s.admin
}

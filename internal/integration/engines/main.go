package engines

import (
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/msgdelivery/delivery/internal/integration/need"
)

// Main runs the tests, then stops the servers they shared.
func Main(m *testing.M) {
	called = true
	defer func() {
		for _, s := range shared {
			if s.own != nil {
				if err := s.own.remove(); err != nil {
					fmt.Fprintln(os.Stderr, err)
				}
			}
		}
	}()
	m.Run()
}

var called bool // Main

// shared holds the server of each kind that all tests of this binary use.
var shared = map[Kind]*sharedServer{Postgres: {}, MySQL: {}}

type sharedServer struct {
	once  sync.Once
	own   *Server // nil if we did not start it
	admin string  // the administrator's DSN, "" if there is no server
	err   error   // of starting it
}

// sharedAdmin returns the DSN of the administrator of the shared server, which it starts if need be.
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
			if s.own, s.err = newServer(p, programs); s.err == nil {
				s.admin = p.admin(s.own)
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

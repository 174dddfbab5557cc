package engines

import (
	"database/sql"
	"flag"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/msgdelivery/delivery/internal/integration/need"
)

// sharedServer is the server of its kind that all tests of this binary use.
type sharedServer struct {
	*product
	once sync.Once
	dsn  string  // the administrator's, "" if there is no server
	db   *sql.DB // stays open: the first database that a session of Postgres makes takes 60 ms more
	err  error   // of starting it

	mu        sync.Mutex
	templates map[string]string // databases to copy, by the engine's name
}

var shared = map[Kind]*sharedServer{
	Postgres: {product: &postgres, templates: map[string]string{}},
	MySQL:    {product: &mariadb, templates: map[string]string{}},
}

// share returns the shared server, which it starts if need be.
func share(t testing.TB, kind Kind) *sharedServer {
	t.Helper()
	if !called {
		t.Fatal("no engines without: func TestMain(m *testing.M) { engines.Main(m) }")
	}
	s := shared[kind]
	s.once.Do(func() { s.err = s.start() })
	if s.err != nil {
		t.Fatal(s.err)
	}
	if s.dsn == "" {
		need.Missing(t, s.name, fmt.Sprintf("apt-get install %s, or set %s", s.pkg, s.env))
	}
	return s
}

func (s *sharedServer) start() (err error) {
	if s.dsn = os.Getenv(s.env); s.dsn == "" {
		programs := s.find()
		if programs == nil {
			return nil
		}
		var flags []string
		if flag.Lookup("test.bench").Value.String() == "" { // a benchmark measures what apps have
			flags = s.unsynced
		}
		own, err := newServer(s.product, programs, flags...)
		if err != nil {
			return err
		}
		s.dsn = s.admin(own)
	}
	s.db, err = sql.Open(s.driver, s.dsn)
	return err
}

// database makes an empty database, or a copy of the template, which is dropped at the end of the
// test.
func (s *sharedServer) database(t testing.TB, e Engine, template string) Database {
	t.Helper()
	name := newName()
	statement := "CREATE DATABASE " + name
	if template != "" {
		statement += " TEMPLATE " + template + " STRATEGY FILE_COPY"
	}
	if _, err := s.db.Exec(statement); err != nil {
		t.Fatalf("%s: %s: %v", s.name, statement, err)
	}
	t.Cleanup(func() {
		if _, err := s.db.Exec(fmt.Sprintf(s.drop, name)); err != nil {
			t.Errorf("%s: dropping a database: %v", s.name, err)
		}
	})
	return e.named(t, s.dsn, name)
}

// template returns the name of the engine's template, which it makes with fill if there is none.
func (s *sharedServer) template(t testing.TB, e Engine, fill func(*sql.DB) error) string {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	name, ok := s.templates[e.Name]
	if !ok {
		name = s.create(t, s.dsn)
		if err := e.named(t, s.dsn, name).fill(fill); err != nil {
			t.Fatal(err)
		}
		s.templates[e.Name] = name
	}
	return name
}

// dropTemplates leaves no template on a server that does not end with the tests.
func dropTemplates() {
	for _, s := range shared {
		for _, name := range s.templates {
			if _, err := s.db.Exec(fmt.Sprintf(s.drop, name)); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		}
	}
}

package engines

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/msgdelivery/delivery/internal/integration/need"
)

// patience is how long a server may take to start, to recover or to stop on a busy machine.
const patience = 60 * time.Second

// restarts is how often Start tries again when the server ends by itself.
const restarts = 50

// Server is a private, throwaway database server on loopback, for tests that stop, kill and restart
// one. It keeps its address and its data over all of that. Its methods may be called from any
// goroutine.
type Server struct {
	engine   Engine
	product  *product
	programs map[string]string // paths by name
	dir      string            // holds all of it; short, since the path of a socket must be
	port     int
	flags    []string
	password string
	env      []string // of its programs, beside what all have

	mu      sync.Mutex
	process *process // the latest
}

// Server starts a server of t's own, with these flags beside the usual ones. It is removed at the
// end of the test. It is an error to ask for one of SQLite.
func (e Engine) Server(t testing.TB, flags ...string) *Server {
	t.Helper()
	p := products[e.Kind]
	if p == nil {
		t.Fatalf("%s has no server", e.Name)
	}
	programs := p.find()
	if programs == nil {
		need.Missing(t, p.name, "apt-get install "+p.pkg)
	}
	return e.server(t, p, programs, flags...)
}

func (e Engine) server(t testing.TB, p *product, programs map[string]string, flags ...string) *Server {
	t.Helper()
	s, err := newServer(p, programs, flags...)
	if err != nil {
		t.Fatal(err)
	}
	s.engine = e
	t.Cleanup(func() {
		if err := s.remove(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Database makes a fresh, empty database. The server must be running.
func (s *Server) Database(t testing.TB) Database {
	t.Helper()
	admin := s.product.admin(s)
	return s.engine.named(t, admin, s.product.create(t, admin))
}

// newServer sets up a server and starts it. The programs are what find returned.
func newServer(p *product, programs map[string]string, flags ...string) (*Server, error) {
	s, err := prepare(p, programs)
	if err != nil {
		return nil, err
	}
	s.flags = flags
	if err := s.boot(); err != nil {
		s.remove()
		return nil, err
	}
	return s, nil
}

// prepare makes the directory, the address and the password of a server.
func prepare(p *product, programs map[string]string) (*Server, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "delivery-")
	if err != nil {
		return nil, err
	}
	s := &Server{product: p, programs: programs, dir: dir, port: port, password: rand.Text()}
	servers.Store(s, nil)
	return s, nil
}

// boot fills the server's directory and starts it for the first time.
func (s *Server) boot() error {
	err := s.setup()
	if err == nil {
		err = s.Start()
	}
	if err != nil {
		return fmt.Errorf("starting %s: %w\n%s", s.product.name, err, s.logTail())
	}
	return nil
}

func (s *Server) path(name string) string { return filepath.Join(s.dir, name) }

func (s *Server) setup() error {
	if err := giveAway(s.dir, s.product.account); err != nil {
		return err
	}
	for name, text := range s.product.files(s) {
		if err := os.WriteFile(s.path(name), []byte(text), 0o600); err != nil {
			return err
		}
		if err := giveAway(s.path(name), s.product.account); err != nil {
			return err
		}
	}
	if s.product.setup == nil {
		return nil
	}
	p, err := s.run(s.product.setup(s))
	if err != nil {
		return err
	}
	<-p.done
	return p.err
}

// run starts a program of the server in its directory, as its account, writing to its log.
func (s *Server) run(cmd *exec.Cmd) (*process, error) {
	log, err := os.OpenFile(s.path("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, log, log
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir, "TMPDIR=" + s.dir}, s.env...) // nothing of this process's
	cmd.SysProcAttr = childOf(s.product.account, s.product.abort)
	return start(cmd)
}

// Start starts a server that was stopped or killed, and waits until it has recovered and accepts
// connections.
func (s *Server) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil && !s.process.ended() {
		return errors.New("the server runs already")
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	db, err := sql.Open(s.product.driver, s.product.admin(s))
	if err != nil {
		return err
	}
	defer db.Close()

	for range restarts {
		command := s.product.command(s)
		command.Args = append(command.Args, s.flags...)
		if s.process, err = s.run(command); err != nil {
			return err
		}
		for !s.process.ended() {
			if err = db.PingContext(ctx); err == nil {
				return nil
			}
			if ctx.Err() != nil {
				return err
			}
			time.Sleep(20 * time.Millisecond)
		}
		// Remains of a killed server may stop its successor for a moment.
		time.Sleep(100 * time.Millisecond)
	}
	return fmt.Errorf("it ends by itself: %w", s.process.err)
}

// Stop ends the server politely: connections are cut, then it writes everything down. A server that
// is not running is left so.
func (s *Server) Stop() error { return s.end(s.product.polite) }

// Kill ends all processes of the server with SIGKILL, as a crash would. A server that is not
// running is left so.
func (s *Server) Kill() error { return s.end(syscall.SIGKILL) }

// end sends the server a deadly signal and waits until it is gone.
func (s *Server) end(signal syscall.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil || s.process.ended() {
		return nil
	}
	if signal == syscall.SIGKILL {
		killFamily(s.process.cmd.Process)
	} else {
		s.process.cmd.Process.Signal(signal) // an error means that it has ended just now
	}
	select {
	case <-s.process.done:
		return nil
	case <-time.After(patience):
		return fmt.Errorf("%s did not end within %v of %v", s.product.name, patience, signal)
	}
}

// remove ends the server and deletes all it had.
func (s *Server) remove() error {
	err := errors.Join(s.end(s.product.abort), os.RemoveAll(s.dir))
	servers.Delete(s) // not before: the process lives as long as there is something to remove
	return err
}

// logTail returns the last lines of the log, for error messages.
func (s *Server) logTail() []byte {
	log, _ := os.ReadFile(s.path("log"))
	return log[max(0, len(log)-2000):]
}

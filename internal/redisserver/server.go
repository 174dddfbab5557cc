// Package redisserver starts private, throwaway Redis servers on loopback, for tests.
package redisserver

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long a server may take to start or to stop on a busy machine.
const patience = 30 * time.Second

// Server is a Redis server without any data on disk. It keeps its address over restarts. Its
// methods may be called from any goroutine.
type Server struct {
	Addr string // host:port

	program string
	args    []string

	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan struct{} // closed when cmd has ended
}

// Start starts a server with these settings beside the usual ones, such as "--maxclients", "50". It
// is removed at the end of the test. A test is skipped where redis-server is not installed, or
// fails where skips are forbidden.
func Start(t testing.TB, settings ...string) *Server {
	t.Helper()
	program, err := exec.LookPath("redis-server")
	if err != nil {
		if os.Getenv("DELIVERY_FORBID_SKIPS") == "1" {
			t.Fatal("redis-server is missing and DELIVERY_FORBID_SKIPS=1 forbids to skip: apt-get install redis-server")
		}
		t.Skip("SKIPPED, redis-server is missing: apt-get install redis-server, then run again with -count=1")
	}
	s := &Server{program: program}
	dir := t.TempDir()
	for range 20 { // somebody else may take the port first
		port, err := freePort()
		if err != nil {
			t.Fatal(err)
		}
		s.Addr = fmt.Sprint("127.0.0.1:", port)
		s.args = append([]string{"--port", fmt.Sprint(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", dir}, settings...)
		if err = s.start(); err == nil {
			t.Cleanup(s.Kill)
			return s
		}
		t.Logf("redis-server: %v", err)
	}
	t.Fatal("redis-server does not start")
	return nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

// start starts the server and waits until it answers.
func (s *Server) start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	cmd, done := exec.Command(s.program, s.args...), make(chan struct{}) // #nosec G204 -- redis-server with the settings of a test
	cmd.SysProcAttr = diesWithParent()
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // whose death ends the child
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // it may have been killed
			close(done)
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	s.cmd, s.done = cmd, done
	for limit := time.Now().Add(patience); ; {
		err := s.ping()
		if err == nil {
			return nil
		}
		select {
		case <-done:
			return fmt.Errorf("ended with %v", cmd.ProcessState)
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(limit) {
			_ = cmd.Process.Kill()
			return err
		}
	}
}

func (s *Server) ping() error {
	conn, err := net.DialTimeout("tcp", s.Addr, time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	if _, err := fmt.Fprint(conn, "PING\r\n"); err != nil {
		return err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err == nil && !strings.HasPrefix(line, "+PONG") {
		err = fmt.Errorf("it answers %q", line)
	}
	return err
}

// Kill ends the server at once. It does nothing to one that has ended.
func (s *Server) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.cmd.Process.Kill()
	<-s.done
}

// Restart starts the server again after a Kill.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	if err := s.start(); err != nil {
		t.Errorf("redis-server does not start again: %v", err)
	}
}

// Hang stops the server without ending it: connections stay open, and nothing answers.
func (s *Server) Hang() {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.cmd.Process.Signal(syscall.SIGSTOP)
}

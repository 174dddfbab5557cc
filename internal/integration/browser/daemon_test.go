package browser

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// startDaemon starts a server and waits until it answers at a URL. It is ended by the signal at the
// end of the test.
func startDaemon(t *testing.T, url string, end syscall.Signal, command *exec.Cmd) {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	said := func() string {
		text, _ := os.ReadFile(log.Name())
		return string(text)
	}
	command.Stdout, command.Stderr = log, log
	if command.SysProcAttr == nil {
		command.SysProcAttr = childOf()
	}
	started, ended := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread() // whose end would be the process's
		defer runtime.UnlockOSThread()
		err := command.Start()
		started <- err
		if err == nil {
			command.Wait()
		}
		close(ended)
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		command.Process.Signal(end)
		<-ended
		if t.Failed() {
			t.Logf("%s said:\n%s", command.Path, said())
		}
	})
	for limit := time.Now().Add(patience); ; {
		answer, err := http.Get(url)
		if err == nil {
			answer.Body.Close()
			return
		}
		select {
		case <-ended:
			t.Fatalf("%s has ended: %s", command.Path, said())
		case <-time.After(pause):
		}
		if time.Now().After(limit) {
			t.Fatalf("%s does not answer: %v\n%s", command.Path, err, said())
		}
	}
}

// freePort returns a port of 127.0.0.1 that nothing listens at.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// loopback is the URL of a port of 127.0.0.1.
func loopback(port int) string { return fmt.Sprintf("http://127.0.0.1:%d", port) }

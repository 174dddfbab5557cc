package browser

import (
	"bufio"
	"bytes"
	"fmt"
	"net/url"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
)

// program is an example that runs as a process of its own, with a database of its own.
type program struct {
	t    testing.TB
	url  string // with the port that it got at its first start, and keeps
	path string
	args []string

	process *exec.Cmd
	ended   chan struct{}
	log     bytes.Buffer // its standard error, to be read when it has ended
}

// runExample builds and starts the example with this name. It is killed at the end of the test.
func runExample(t testing.TB, name string, flags ...string) *program {
	t.Helper()
	p := &program{t: t, path: build(t, name), args: append(flags, "-db", filepath.Join(t.TempDir(), name+".db"))}
	p.start("127.0.0.1:0")
	t.Cleanup(func() {
		p.kill()
		if t.Failed() && p.log.Len() > 0 {
			t.Logf("%s said:\n%s", name, &p.log)
		}
	})
	return p
}

// database returns the file that the program keeps its database in.
func (p *program) database() string { return p.args[len(p.args)-1] }

// restart starts the program again, after a kill, at the same address and with the same database.
func (p *program) restart() {
	p.t.Helper()
	address, err := url.Parse(p.url)
	if err != nil {
		p.t.Fatal(err)
	}
	p.start(address.Host)
}

// start starts the program and waits until it says where it listens.
func (p *program) start(address string) {
	p.t.Helper()
	process := exec.Command(p.path, append([]string{"-addr", address}, p.args...)...)
	process.Stderr = &p.log
	process.SysProcAttr = childOf()
	out, err := process.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	started, ended, lines := make(chan error), make(chan struct{}), make(chan string, 1)
	go func() {
		runtime.LockOSThread() // whose end would be the process's
		defer runtime.UnlockOSThread()
		err := process.Start()
		started <- err
		if err != nil {
			return
		}
		all := bufio.NewReader(out)
		line, _ := all.ReadString('\n')
		lines <- line
		all.WriteTo(&bytes.Buffer{})
		process.Wait()
		close(ended)
	}()
	if err := <-started; err != nil {
		p.t.Fatal(err)
	}
	p.process, p.ended = process, ended
	line := <-lines
	listensAt, ok := strings.CutPrefix(strings.TrimSpace(line), "Listening on ")
	if !ok {
		p.kill()
		p.t.Fatalf("%s said %q: %s", p.path, line, &p.log)
	}
	p.url = listensAt
}

// kill ends the program as a crash does. Killing it again does nothing.
func (p *program) kill() {
	if p.process != nil {
		p.process.Process.Kill()
		<-p.ended
		p.process = nil
	}
}

// raced tells whether the race detector watches the tests.
func raced() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

var builds sync.Map // of functions that build an example once

// build returns the path of the example's program.
func build(t testing.TB, name string) string {
	t.Helper()
	once, _ := builds.LoadOrStore(name, sync.OnceValues(func() (string, error) {
		path := filepath.Join(temporary, name)
		args := []string{"build", "-o", path}
		if name == "centrifuge" && raced() { // its modules are built for the detector already, and take long
			args = append(args, "-race")
		}
		command := exec.Command("go", append(args, "github.com/msgdelivery/delivery/examples/"+name)...)
		command.Dir = root(t) // where go.work is, which knows the module of the examples
		if out, err := command.CombinedOutput(); err != nil {
			return "", fmt.Errorf("%s: %w\n%s", command, err, out)
		}
		return path, nil
	}))
	path, err := once.(func() (string, error))()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

package chaos

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Process is a node that runs.
type Process struct {
	config     NodeConfig
	cmd        *exec.Cmd
	words      io.WriteCloser // its standard input
	marks      atomic.Int64   // that it says were acknowledged
	goroutines atomic.Int64   // that it says it has
	silent     atomic.Bool    // it says that it marks no more
	up         chan struct{}  // closed when it says its first word, from when on SIGTERM ends it cleanly
	ending     chan struct{}  // closed when it says that it has got SIGTERM
	done       chan struct{}  // closed when it has ended
	err        error          // of that, set when done is closed
	sentEnd    atomic.Bool    // we killed it, or it was to kill itself
}

// startProcess starts a node.
func startProcess(config NodeConfig) (*Process, error) {
	text, err := json.Marshal(config)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	stderr, err := os.OpenFile(filepath.Join(config.Dir, fmt.Sprintf("node-%d.log", config.Index)), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer stderr.Close()
	p := &Process{config: config, cmd: exec.Command(self), up: make(chan struct{}), ending: make(chan struct{}), done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), nodeEnv+"="+string(text), "GORACE=atexit_sleep_ms=0") // an end is timed
	p.cmd.Stderr = stderr
	p.cmd.SysProcAttr = childOf()
	if p.words, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	says, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // whose end would be the node's
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err != nil {
			return
		}
		p.listen(says)
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, <-started
}

func (p *Process) listen(says io.Reader) {
	var marks, goroutines int64
	isUp := sync.OnceFunc(func() { close(p.up) })
	for lines := bufio.NewScanner(says); lines.Scan(); {
		isUp()
		switch lines.Text() {
		case isQuiet:
			p.silent.Store(true)
		case isEnding:
			close(p.ending)
		default:
			if n, err := fmt.Sscan(lines.Text(), &marks, &goroutines); n == 2 && err == nil {
				p.marks.Store(marks)
				p.goroutines.Store(goroutines)
			}
		}
	}
}

func (p *Process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// killed reports whether SIGKILL is what ended the process.
func (p *Process) killed() bool {
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// quiet has the node stop marking. It goes on publishing.
func (p *Process) quiet() { io.WriteString(p.words, "quiet\n") }

// kill ends the node as a crash does.
func (p *Process) kill() {
	p.sentEnd.Store(true)
	p.cmd.Process.Kill()
	<-p.done
}

func (p *Process) signal(s syscall.Signal) { p.cmd.Process.Signal(s) }

// stop ends the node cleanly, as soon as it is up, and returns how long that took. A node that does
// not end leaves the stacks of its goroutines in its log.
func (p *Process) stop() (time.Duration, error) {
	select {
	case <-p.up:
	case <-p.done:
	}
	began := time.Now()
	p.signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(forever):
		p.sentEnd.Store(true)
		p.signal(syscall.SIGQUIT)
		<-p.done
		return time.Since(began), fmt.Errorf("node %d did not end within %v of SIGTERM", p.config.Index, forever)
	}
	if p.err != nil {
		return time.Since(began), fmt.Errorf("node %d ended: %w", p.config.Index, p.err)
	}
	return time.Since(began), nil
}

package browser

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/msgdelivery/delivery/internal/integration/need"
)

// pusherJS returns the path of a file of the npm package pusher-js.
func pusherJS(t testing.TB, file string) string {
	t.Helper()
	return npmFile(t, "pusher-js", "dist/"+file)
}

// npmFile returns the path of a file of an npm package, which it installs if need be.
func npmFile(t testing.TB, name, file string) string {
	t.Helper()
	js := filepath.Join(root(t), "internal", "integration", "js")
	path := filepath.Join(js, "node_modules", name, file)
	if _, err := os.Stat(path); err == nil {
		return path
	}
	if err := install(js); err != nil {
		need.Missing(t, fmt.Sprintf("%s (%v)", name, err), "apt-get install npm, and npm ci in "+js)
	}
	return path
}

var installed struct {
	once sync.Once
	err  error
}

func install(js string) error {
	installed.once.Do(func() {
		command := exec.Command("npm", "ci")
		command.Dir = js
		_, installed.err = command.Output()
	})
	return installed.err
}

// node is a process of Node.js with clients of pusher-js in it.
type node struct {
	mu       sync.Mutex
	commands io.Writer
	heard    map[string][]heard // by client
	more     chan struct{}      // closed and replaced when something is heard
	gone     bool
}

// heard is an event that pusher-js emitted. Its source is the name of a channel, "connection" or
// "user".
type heard struct {
	Client, Source, Event string
	Data                  json.RawMessage
}

func startNode(t *testing.T) *node {
	t.Helper()
	path, err := exec.LookPath("node")
	if err != nil {
		need.Missing(t, "Node.js", "apt-get install nodejs")
	}
	process := exec.Command(path, "testdata/pusher.cjs", pusherJS(t, "node/pusher.js"))
	process.Stderr = os.Stderr
	commands, err := process.StdinPipe() // whose end is the process's
	if err != nil {
		t.Fatal(err)
	}
	out, err := process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	n := &node{commands: commands, heard: map[string][]heard{}, more: make(chan struct{})}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		n.listen(out)
		process.Wait()
	}()
	t.Cleanup(func() {
		commands.Close()
		<-ended
	})
	return n
}

func (n *node) listen(out io.Reader) {
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var h heard
		err := json.Unmarshal(lines.Bytes(), &h)
		n.mu.Lock()
		if err == nil {
			n.heard[h.Client] = append(n.heard[h.Client], h)
		}
		close(n.more)
		n.more = make(chan struct{})
		n.mu.Unlock()
	}
	n.mu.Lock()
	n.gone = true
	close(n.more)
	n.mu.Unlock()
}

// jsClient is a client of pusher-js.
type jsClient struct {
	t    *testing.T
	node *node
	name string
}

// do gives a command of testdata/pusher.cjs.
func (c *jsClient) do(verb string, args ...any) {
	c.t.Helper()
	line, err := json.Marshal(append([]any{verb, c.name}, args...))
	if err != nil {
		c.t.Fatal(err)
	}
	c.node.mu.Lock()
	defer c.node.mu.Unlock()
	if _, err := c.node.commands.Write(append(line, '\n')); err != nil {
		c.t.Fatal(err)
	}
}

// next waits for an event, and forgets it and what the source emitted before. Event "" is any.
func (c *jsClient) next(source, event string) heard {
	c.t.Helper()
	before := c.upTo(source, event)
	return before[len(before)-1]
}

// upTo waits for an event of a source and returns it, last, with what the source emitted before.
// They are forgotten then.
func (c *jsClient) upTo(source, event string) (events []heard) {
	c.t.Helper()
	timeout := time.After(patience)
	for {
		c.node.mu.Lock()
		all, more, gone := c.node.heard[c.name], c.node.more, c.node.gone
		end := slices.IndexFunc(all, func(h heard) bool { return h.Source == source && (h.Event == event || event == "") })
		if end >= 0 {
			var rest []heard
			for i, h := range all {
				if i <= end && h.Source == source {
					events = append(events, h)
				} else {
					rest = append(rest, h)
				}
			}
			c.node.heard[c.name] = rest
		}
		c.node.mu.Unlock()
		switch {
		case end >= 0:
			return events
		case gone:
			c.t.Fatal("the process of Node.js is gone")
		}
		select {
		case <-more:
		case <-timeout:
			c.t.Fatalf("%s: no %q from %q, only %s", c.name, event, source, all)
		}
	}
}

func (h heard) String() string { return fmt.Sprintf("%s %s %s", h.Source, h.Event, h.Data) }

// into decodes the event's data.
func (h heard) into(t *testing.T, v any) {
	t.Helper()
	if err := json.Unmarshal(h.Data, v); err != nil {
		t.Fatalf("%s: %v", h, err)
	}
}

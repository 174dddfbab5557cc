// Package fleet tests what docs/operations.md says of many machines: examples/fleet/run.sh, three
// processes of the chat behind nginx, over one Postgres.
package fleet

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/msgdelivery/delivery/deliverywire"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/need"
	"github.com/msgdelivery/delivery/pusheradapter"
	"github.com/msgdelivery/delivery/pusheradapter/pushertest"
)

const (
	patience     = time.Minute
	conversation = "direct:alice:bob"
)

func TestMain(m *testing.M) { engines.Main(m) }

// TestThreeProcessesBehindNginx sends and reads messages while one of three processes is killed:
// every message is stored and read, and all of that is told.
func TestThreeProcessesBehindNginx(t *testing.T) {
	srv := pushertest.NewServer(t)
	site, processes, end := run(t, engines.First(engines.Postgres).Database(t).DSN,
		fmt.Sprintf("http://%s:%s@%s/apps/%s", srv.Key, srv.Secret, srv.Host(), srv.AppID))
	alice, bob := signIn(t, site, "alice"), signIn(t, site, "bob")
	channel, err := pusheradapter.PrivateChannel(conversation)
	if err != nil {
		t.Fatal(err)
	}
	listener := srv.Dial(t)
	listener.Authorize = func(socket, channel string) (answer pushertest.Authorization, err error) {
		return answer, json.Unmarshal(alice.post("/pusher/auth", map[string]any{"socket_id": socket, "channel_name": channel}), &answer)
	}
	listener.Subscribe(channel)

	const messages = 30
	for i := range messages {
		id := fmt.Sprint("m", i)
		alice.post("/api/messages", map[string]any{"conversation": conversation, "id": id, "body": "hello"})
		if i == messages/3 {
			victim, err := os.FindProcess(processes[rand.IntN(len(processes))])
			if err != nil {
				t.Fatal(err)
			}
			if err := victim.Kill(); err != nil {
				t.Fatal(err)
			}
		}
		bob.post("/api/marks", map[string]any{"message": id, "status": "read"})
	}
	read := map[string]bool{}
	for len(read) < messages {
		var told deliverywire.Payload
		if err := json.Unmarshal([]byte(listener.Next(t.Context()).Data), &told); err != nil {
			t.Fatal(err)
		}
		for _, u := range told.Expand() {
			if u.Status.String() == "read" {
				read[u.Message] = true
			}
		}
	}
	var page struct {
		Messages []struct{ ID, Status string }
	}
	if err := json.Unmarshal(bob.get("/api/messages?conversation="+url.QueryEscape(conversation)), &page); err != nil || len(page.Messages) != messages {
		t.Errorf("%d messages are stored, %v", len(page.Messages), err)
	}
	for _, m := range page.Messages {
		if m.Status != "read" {
			t.Errorf("%s is %s", m.ID, m.Status)
		}
	}
	end()
	if left, err := net.Dial("tcp", strings.TrimPrefix(site, "http://")); err == nil {
		left.Close()
		t.Error("nginx is left when the script has ended")
	}
}

// run runs the script, and returns the site and the ids of its processes.
func run(t *testing.T, db, pusher string) (site string, processes []int, end func()) {
	t.Helper()
	if _, err := exec.LookPath("nginx"); err != nil {
		if _, err := os.Stat("/usr/sbin/nginx"); err != nil {
			need.Missing(t, "nginx", "apt-get install nginx-light")
		}
	}
	script := exec.Command("../../../examples/fleet/run.sh", fmt.Sprint(freePorts(t, 4)))
	script.Env = append(os.Environ(), "DELIVERY_DB="+db, "DELIVERY_PUSHER="+pusher)
	script.Stderr = os.Stderr
	script.SysProcAttr = childOf()
	out, err := script.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread() // whose end would be the script's
	if err := script.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	end = func() {
		if !ended {
			ended = true
			script.Process.Signal(syscall.SIGTERM)
			io.Copy(io.Discard, out)
			script.Wait()
			runtime.UnlockOSThread()
		}
	}
	t.Cleanup(end)
	lines := bufio.NewReader(out)
	for _, into := range []func(string) error{
		func(line string) error { _, err := fmt.Sscanf(line, "Listening on %s", &site); return err },
		func(line string) error {
			processes = make([]int, 3)
			_, err := fmt.Sscanf(line, "Processes %d %d %d", &processes[0], &processes[1], &processes[2])
			return err
		},
	} {
		line, err := lines.ReadString('\n')
		if err == nil {
			err = into(line)
		}
		if err != nil {
			t.Fatalf("the script says %q: %v", line, err)
		}
	}
	return site, processes, end
}

// freePorts returns the first of so many ports of 127.0.0.1 in a row at which nothing listens.
func freePorts(t *testing.T, n int) int {
	t.Helper()
search:
	for range 100 {
		first := 10000 + rand.IntN(20000)
		for port := first; port < first+n; port++ {
			l, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", port))
			if err != nil {
				continue search
			}
			l.Close()
		}
		return first
	}
	t.Fatal("no free ports")
	return 0
}

// user is somebody who is signed in.
type user struct {
	t      *testing.T
	site   string
	client *http.Client
}

func signIn(t *testing.T, site, name string) *user {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	u := &user{t, site, &http.Client{Jar: jar, Timeout: patience}}
	answer, err := u.client.PostForm(site+"/login", url.Values{"username": {name}, "password": {"password"}})
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("signing in: %d", answer.StatusCode)
	}
	return u
}

func (u *user) get(path string) []byte {
	u.t.Helper()
	return u.do(http.MethodGet, path, nil)
}

// post posts JSON, and returns the answer of a 2xx.
func (u *user) post(path string, body any) []byte {
	u.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		u.t.Fatal(err)
	}
	return u.do(http.MethodPost, path, text)
}

// do repeats a request until its answer is a 2xx, as clients do: a process that is killed may leave
// it without one.
func (u *user) do(method, path string, body []byte) []byte {
	u.t.Helper()
	for limit := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		r, err := http.NewRequest(method, u.site+path, strings.NewReader(string(body)))
		if err != nil {
			u.t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		answer, err := u.client.Do(r)
		if err != nil {
			u.t.Fatal(err)
		}
		text, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err == nil && answer.StatusCode/100 == 2 {
			return text
		}
		if answer.StatusCode < 500 || time.Now().After(limit) {
			u.t.Fatalf("%s %s: %d %s, %v", method, path, answer.StatusCode, text, err)
		}
	}
}

package browser

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliveryhttp"
	"github.com/msgdelivery/delivery/internal/integration/need"
	"github.com/msgdelivery/delivery/memstore"
	"github.com/msgdelivery/delivery/sseadapter"
)

// startNginx starts nginx with what its http block holds, as a user without rights, and returns the
// URL of the server that listens at 127.0.0.1:8080 there. The app is that at 127.0.0.1:3000.
func startNginx(t *testing.T, http string, app int) string {
	t.Helper()
	program, err := exec.LookPath("nginx")
	if err != nil {
		if program = "/usr/sbin/nginx"; exec.Command(program, "-v").Run() != nil {
			need.Missing(t, "nginx", "apt-get install nginx-light")
		}
	}
	dir, err := os.MkdirTemp("", "delivery-nginx-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	port := freePort(t)
	http = strings.NewReplacer("127.0.0.1:8080", fmt.Sprint("127.0.0.1:", port), "127.0.0.1:3000", fmt.Sprint("127.0.0.1:", app)).Replace(http)
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		http = fmt.Sprintf("%s_temp_path %s;\n", kind, kind) + http
	}
	config := "daemon off;\nmaster_process off;\npid pid;\nerror_log stderr;\nevents {}\nhttp {\naccess_log off;\n" + http + "}\n"
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	command := exec.Command(program, "-p", dir, "-c", file, "-e", "stderr")
	startDaemon(t, loopback(port)+"/ready", syscall.SIGTERM, unprivileged(t, command, dir))
	return loopback(port)
}

// restartable is a server that can be stopped, and started again at the same port.
type restartable struct {
	t       *testing.T
	port    int
	handler http.Handler
	server  *http.Server
}

func startRestartable(t *testing.T, handler http.Handler) *restartable {
	r := &restartable{t: t, port: freePort(t), handler: handler}
	r.start()
	t.Cleanup(func() { r.stop() })
	return r
}

func (r *restartable) start() {
	r.t.Helper()
	l, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", r.port))
	if err != nil {
		r.t.Fatal(err)
	}
	r.server = &http.Server{Handler: r.handler}
	go r.server.Serve(l)
}

func (r *restartable) stop() { r.server.Close() }

// streamingApp is an app with an API at /api/, streams at /events and a page at /, in which the
// cookie "session" is the user's name.
type streamingApp struct {
	http.Handler
	tracker *delivery.Tracker
}

func newStreamingApp(t *testing.T, heartbeat time.Duration) *streamingApp {
	t.Helper()
	bus := new(delivery.LocalBus)
	tracker, err := delivery.New(memstore.New(), delivery.NotifierFunc(bus.Publish), &delivery.Options{OpenConversations: true})
	if err != nil {
		t.Fatal(err)
	}
	streams, err := sseadapter.New(tracker, bus, signedIn, &sseadapter.Options{Heartbeat: heartbeat})
	if err != nil {
		t.Fatal(err)
	}
	background(t, func(ctx context.Context) { _ = streams.Run(ctx) })
	audience := func(context.Context, delivery.Draft) (delivery.Audience, error) {
		return delivery.Audience{Recipients: []string{"alice", "bob"}}, nil
	}
	api, err := deliveryhttp.New(tracker, signedIn, &deliveryhttp.Options{Audience: audience})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/events", streams)
	mux.Handle("/api/", http.StripPrefix("/api", api))
	mux.HandleFunc("GET /ready", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "session", Value: r.FormValue("user"), HttpOnly: true})
		fmt.Fprint(w, eventSourcePage)
	})
	return &streamingApp{mux, tracker}
}

// send sends a message to a conversation, and publishes it.
func (a *streamingApp) send(t *testing.T, conversation, id string) {
	t.Helper()
	draft := delivery.Draft{ID: id, Conversation: conversation, Sender: "alice", Audience: delivery.Audience{Recipients: []string{"bob"}}}
	if _, err := a.tracker.Send(t.Context(), draft); err != nil {
		t.Fatal(err)
	}
	flush(t, a.tracker)
}

// TestOneProxyPassIsEnough has streams and requests go through nginx as the first block of
// docs/guides/nginx.md has it, and through one that caches what it may, as a CDN does.
func TestOneProxyPassIsEnough(t *testing.T) {
	t.Parallel()
	app := newStreamingApp(t, 300*time.Millisecond)
	backend := startRestartable(t, app)
	simple := openGuide(t, "nginx.md").blocks("nginx")[0]
	impatient := strings.Replace(simple, "proxy_pass", "proxy_read_timeout 1s;\nproxy_pass", 1)
	caching := "proxy_cache_path cache keys_zone=all:1m;\n" + strings.Replace(simple, "proxy_pass", "proxy_cache all;\nproxy_pass", 1)
	for name, config := range map[string]string{"as the guide has it": simple, "with a timeout of 1 s": impatient, "with a cache": caching} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			site := startNginx(t, config, backend.port)
			conversation := name

			r, err := http.NewRequestWithContext(t.Context(), "GET", site+"/events?conversation="+url.QueryEscape(conversation), nil)
			if err != nil {
				t.Fatal(err)
			}
			r.AddCookie(&http.Cookie{Name: "session", Value: "bob"})
			stream, err := http.DefaultClient.Do(r)
			if err != nil || stream.StatusCode != 200 {
				t.Fatalf("%v, %v", stream, err)
			}
			defer stream.Body.Close()
			lines := bufio.NewReader(stream.Body)
			next := func(event string) {
				t.Helper()
				for {
					line, err := lines.ReadString('\n')
					if err != nil {
						t.Fatalf("the stream ended before %q: %v", event, err)
					}
					if line == "event: "+event+"\n" {
						return
					}
				}
			}
			next("hello") // nginx holds nothing back, or this would wait for minutes
			app.send(t, conversation, "m1 "+name)
			next("message")
			for range 5 { // 1.5 s, which are more than nginx waits for
				next("ping")
			}
			app.send(t, conversation, "m2 "+name)
			next("message")

			for range 2 {
				for user, count := range map[string]string{"bob": `"count":2`, "carol": `"count":0`} {
					answer := get(t, site, user, "/api/unread?conversation="+url.QueryEscape(conversation))
					if !strings.Contains(answer, count) {
						t.Errorf("%s gets %s", user, answer)
					}
				}
			}
		})
	}
}

// get makes a request of a user's, and returns the answer.
func get(t *testing.T, site, user, path string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", site+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.AddCookie(&http.Cookie{Name: "session", Value: user})
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestAnEventSourceOutlivesARestartBehindNginx has Chromium hear, by the second block of the guide,
// what was sent while the app was away; and a browser without Sec-Fetch-Site mark.
func TestAnEventSourceOutlivesARestartBehindNginx(t *testing.T) {
	t.Parallel()
	app := newStreamingApp(t, 0)
	backend := startRestartable(t, app)
	config := openGuide(t, "nginx.md").blocks("nginx")[1]
	if !strings.Contains(config, "retry: 2000") {
		t.Fatal("the guide has clients come again after another time")
	}
	site := startNginx(t, strings.Replace(config, "retry: 2000", "retry: 200", 1), backend.port)

	page := newUser(t, "bob").newTab(site)
	page.pardon("EventSource", "Failed to load resource", "ERR_INCOMPLETE_CHUNKED_ENCODING")
	page.visit(site + "/?user=bob")
	page.wait("sockets.length == 1")
	app.send(t, "c1", "m1")
	page.wait("told.length == 1")
	eval[int](page, "window.ends = 0, events.addEventListener('error', () => ends++), 0")
	backend.stop()
	app.send(t, "c1", "m2")
	eval[string](page, `fetch('/ready').then((answer) => window.away = String(answer.status))`)
	if away := eval[string](page, `away`); away != "502" {
		t.Errorf("while the app is away, nginx answers %s", away)
	}
	page.wait("ends >= 3 || events.readyState == EventSource.CLOSED") // it has come again in vain
	backend.start()
	page.wait("told.length == 2")
	app.send(t, "c1", "m3")
	page.wait("told.length == 3")
	if got := eval[string](page, "told.join()"); got != "message m1,message m2,message m3" {
		t.Errorf("the page was told %s", got)
	}

	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	old := &http.Client{Jar: jar}
	if _, err := old.Get(site + "/?user=bob"); err != nil {
		t.Fatal(err)
	}
	for origin, want := range map[string]int{site: 200, "http://127.0.0.1:1": 403} {
		r, err := http.NewRequest("POST", site+"/api/marks", strings.NewReader(`{"message": "m1", "status": "read"}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Origin", origin)
		answer, err := old.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("a mark of %s, without Sec-Fetch-Site: %d, want %d", origin, answer.StatusCode, want)
		}
	}
}

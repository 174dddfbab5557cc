package browser

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliveryhttp"
	"github.com/msgdelivery/delivery/internal/integration/need"
	"github.com/msgdelivery/delivery/memstore"
	"github.com/msgdelivery/delivery/pusheradapter"
)

// currentUser returns the user of a request by its bearer token, or "" if the token is not valid.
func currentUser(r *http.Request) (string, error) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return "", nil
	}
	return userOfToken(r.Context(), token)
}

func userOfToken(_ context.Context, token string) (string, error) {
	user, _ := strings.CutPrefix(token, "token-of-")
	return user, nil
}

// mobileScript runs the code for React Native with the same library in Node.js.
const mobileScript = `
const [, , library, api, key, port] = process.argv
const Pusher = require(library)
const AppState = { addEventListener: (_, listener) => { AppState.change = listener } }
%s
const say = (...words) => console.log(words.join(' '))
const client = connect({ api, key, token: () => 'token-of-bob',
  options: { cluster: 'unused', wsHost: '127.0.0.1', wsPort: Number(port), forceTLS: false, enabledTransports: ['ws'] } })
client.open('private-conv-c1', { catchUp: () => say('catch up'), apply: (payload) => say('told', JSON.stringify(payload)) })
const verbs = {
  background: () => { AppState.change('background'); say('asleep') },
  active: () => AppState.change('active'),
  read: async (message) => say('marked', (await client.markRead(message)).status),
}
require('node:readline').createInterface({ input: process.stdin })
  .on('line', (line) => { const [verb, argument] = line.split(' '); verbs[verb](argument) })
  .on('close', () => process.exit())
`

// TestMobileApps runs what docs/guides/mobile.md shows for React Native, and makes the request that
// it shows for Flutter.
func TestMobileApps(t *testing.T) {
	t.Parallel()
	guide := openGuide(t, "mobile.md")
	guide.isIn("mobile_test.go")
	a := newPusherApp(t, nil)
	notifier, err := pusheradapter.New(pusheradapter.Config{AppID: a.AppID, Key: a.Key, Secret: a.Secret, Host: a.Host}, nil)
	if err != nil {
		t.Fatal(err)
	}
	tracker, err := delivery.New(memstore.New(), notifier, &delivery.Options{
		Authorize: func(_ context.Context, user string, _ delivery.Action, _ string) (bool, error) {
			return user == "bob", nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	auth, err := notifier.AuthHandler(tracker, currentUser, nil)
	if err != nil {
		t.Fatal(err)
	}
	audience := func(context.Context, delivery.Draft) (delivery.Audience, error) {
		return delivery.Audience{Open: true}, nil
	}
	api, err := deliveryhttp.New(tracker, currentUser, &deliveryhttp.Options{Audience: audience})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/pusher/auth", auth)
	mux.Handle("/api/", http.StripPrefix("/api", api))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	send := func(t *testing.T, id string) {
		t.Helper()
		draft := delivery.Draft{ID: id, Conversation: "c1", Sender: "alice", Audience: delivery.Audience{Recipients: []string{"bob"}}}
		if _, err := tracker.Send(t.Context(), draft); err != nil {
			t.Fatal(err)
		}
		flush(t, tracker)
	}

	t.Run("React Native", func(t *testing.T) {
		say, next := runMobile(t, guide, server.URL, a.Key, port(a.http.URL))
		next("catch up")
		send(t, "m1")
		if told := next("told "); !strings.Contains(told, `"m1"`) {
			t.Errorf("the app was told %s", told)
		}
		say("read m1")
		next("marked 200")
		flush(t, tracker)
		if m, err := tracker.Message(t.Context(), "m1"); err != nil || m.Status != delivery.Read {
			t.Errorf("the message is %v, %v", m.Status, err)
		}
		say("background")
		next("asleep")
		send(t, "m2")
		say("active")
		next("catch up") // which reads m2
		send(t, "m3")
		if told := next("told "); !strings.Contains(told, `"m3"`) {
			t.Errorf("after a rest the app was told %s", told)
		}
	})

	t.Run("Flutter", func(t *testing.T) {
		code := strings.Join(guide.blocks("dart"), "\n")
		part := func(pattern string) string {
			match := regexp.MustCompile(pattern).FindStringSubmatch(code)
			if match == nil {
				t.Fatalf("the guide has no %s", pattern)
			}
			return match[1]
		}
		values := strings.NewReplacer("$token", "token-of-bob", "socketId", `"123.456"`, "channelName", `"private-conv-c1"`, "'", `"`)
		var header, body map[string]string
		for text, into := range map[string]*map[string]string{
			part(`headers: (\{.*?\})`): &header, part(`jsonEncode\((\{.*?\})\)`): &body,
		} {
			if err := json.Unmarshal([]byte(values.Replace(text)), into); err != nil {
				t.Fatalf("%s: %v", text, err)
			}
		}
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.NewRequest("POST", server.URL+part(`\$api(/[a-z/]+)`), strings.NewReader(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range header {
			r.Header.Set(name, value)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		var signed struct{ Auth string }
		if err := json.NewDecoder(answer.Body).Decode(&signed); err != nil || answer.StatusCode != 200 || !strings.HasPrefix(signed.Auth, a.Key+":") {
			t.Errorf("%d %+v, %v", answer.StatusCode, signed, err)
		}
	})
}

// runMobile runs the guide's code for React Native. Say gives it a command, and next waits for a
// line with a prefix.
func runMobile(t *testing.T, guide *guide, api, key, port string) (say func(string), next func(string) string) {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		need.Missing(t, "Node.js", "apt-get install nodejs")
	}
	file := filepath.Join(t.TempDir(), "app.cjs")
	if err := os.WriteFile(file, fmt.Appendf(nil, mobileScript, strings.Join(guide.blocks("js"), "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	process := exec.CommandContext(t.Context(), node, file, pusherJS(t, "node/pusher.js"), api, key, port)
	process.Stderr = os.Stderr
	in, err := process.StdinPipe()
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
	t.Cleanup(func() {
		in.Close()
		process.Wait()
	})
	lines := bufio.NewScanner(out)
	return func(command string) { io.WriteString(in, command+"\n") }, func(prefix string) string {
		t.Helper()
		for lines.Scan() {
			if strings.HasPrefix(lines.Text(), prefix) {
				return lines.Text()
			}
		}
		t.Fatalf("the app ended before it said %q: %v", prefix, lines.Err())
		return ""
	}
}

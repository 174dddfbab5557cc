package browser

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"testing"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"

	"github.com/msgdelivery/delivery/internal/integration/need"
)

// firefoxSettings take back what Firefox sets for programs that drive it: a window that never loses
// the focus would have every test of reading pass.
const firefoxSettings = `user_pref("remote.prefs.recommended", false);
user_pref("focusmanager.testmode", false);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("app.update.enabled", false);
user_pref("browser.aboutwelcome.enabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("extensions.getAddons.cache.enabled", false);
user_pref("browser.safebrowsing.malware.enabled", false);
user_pref("browser.safebrowsing.phishing.enabled", false);
user_pref("services.settings.server", "http://127.0.0.1:9");
`

// firefox is a Firefox with a page, driven by WebDriver BiDi.
type firefox struct {
	t    *testing.T
	conn *websocket.Conn
	page string
	last int
}

func openFirefox(t *testing.T) *firefox {
	t.Helper()
	path, err := exec.LookPath("firefox-esr")
	if err != nil {
		need.Missing(t, "Firefox", "apt-get install firefox-esr")
	}
	profile := t.TempDir()
	if err := os.WriteFile(filepath.Join(profile, "user.js"), []byte(firefoxSettings), 0o600); err != nil {
		t.Fatal(err)
	}
	process := exec.Command(path, "--headless", "--remote-debugging-port=0", "--no-remote", "--profile", profile)
	process.Env = append(os.Environ(), "HOME="+profile, "MOZ_DISABLE_CONTENT_SANDBOX=1")
	said, err := process.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	addresses, ended := make(chan string, 1), make(chan struct{})
	go func() {
		defer close(ended)
		defer close(addresses)
		listening := regexp.MustCompile(`WebDriver BiDi listening on (ws://\S+)`)
		var once sync.Once
		for lines := bufio.NewScanner(said); lines.Scan(); {
			if found := listening.FindStringSubmatch(lines.Text()); found != nil {
				once.Do(func() { addresses <- found[1] })
			}
		}
		process.Wait()
	}()
	t.Cleanup(func() {
		process.Process.Kill()
		<-ended
	})
	address, ok := <-addresses
	if !ok {
		t.Fatal("Firefox ended at once")
	}
	conn, _, err := websocket.Dial(t.Context(), address+"/session", nil)
	if err != nil {
		t.Fatal(err)
	}
	conn.SetReadLimit(-1)
	f := &firefox{t: t, conn: conn}
	t.Cleanup(func() { conn.CloseNow() })
	f.call("session.new", map[string]any{"capabilities": map[string]any{"alwaysMatch": map[string]any{"acceptInsecureCerts": true}}}, nil)
	var tree struct{ Contexts []struct{ Context string } }
	f.call("browsingContext.getTree", map[string]any{}, &tree)
	f.page = tree.Contexts[0].Context
	return f
}

// call makes a call of the protocol.
func (f *firefox) call(method string, params map[string]any, result any) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	f.last++
	if err := wsjson.Write(ctx, f.conn, map[string]any{"id": f.last, "method": method, "params": params}); err != nil {
		f.t.Fatal(err)
	}
	for {
		var answer struct {
			ID      int
			Type    string
			Error   string
			Message string
			Result  json.RawMessage
		}
		if err := wsjson.Read(ctx, f.conn, &answer); err != nil {
			f.t.Fatalf("%s: %v", method, err)
		}
		if answer.ID != f.last {
			continue
		}
		if answer.Type != "success" {
			f.t.Fatalf("%s: %s: %s", method, answer.Error, answer.Message)
		}
		if result != nil {
			if err := json.Unmarshal(answer.Result, result); err != nil {
				f.t.Fatalf("%s: %s: %v", method, answer.Result, err)
			}
		}
		return
	}
}

func (f *firefox) visit(url string) {
	f.t.Helper()
	f.call("browsingContext.navigate", map[string]any{"context": f.page, "url": url, "wait": "complete"}, nil)
	f.call("browsingContext.activate", map[string]any{"context": f.page}, nil)
}

// eval returns what an expression, or the promise that it is, becomes on the page, as text.
func (f *firefox) eval(expression string, args ...any) string {
	f.t.Helper()
	var result struct {
		Result           struct{ Value any }
		ExceptionDetails struct{ Text string }
	}
	f.call("script.evaluate", map[string]any{
		"expression": "(async () => String(await (" + script(expression, args...) + ")))()", "awaitPromise": true, "target": map[string]any{"context": f.page},
	}, &result)
	if result.ExceptionDetails.Text != "" {
		f.t.Fatalf("%s: %s", expression, result.ExceptionDetails.Text)
	}
	return fmt.Sprint(result.Result.Value)
}

// press types a text into the element that has the focus.
func (f *firefox) press(text string) {
	f.t.Helper()
	var keys []map[string]any
	for _, r := range text {
		keys = append(keys, map[string]any{"type": "keyDown", "value": string(r)}, map[string]any{"type": "keyUp", "value": string(r)})
	}
	f.call("input.performActions", map[string]any{"context": f.page, "actions": []any{map[string]any{"type": "key", "id": "keys", "actions": keys}}}, nil)
}

// cover opens another tab, or a window, in front of the page.
func (f *firefox) cover(with string) (uncover func()) {
	f.t.Helper()
	var other struct{ Context string }
	f.call("browsingContext.create", map[string]any{"type": with}, &other)
	f.call("browsingContext.activate", map[string]any{"context": other.Context}, nil)
	return func() {
		f.call("browsingContext.close", map[string]any{"context": other.Context}, nil)
		f.call("browsingContext.activate", map[string]any{"context": f.page}, nil)
	}
}

func (f *firefox) hide() (show func()) { return f.cover("tab") }

func (f *firefox) size(width, height int) {
	f.t.Helper()
	f.call("browsingContext.setViewport", map[string]any{"context": f.page, "viewport": map[string]any{"width": width, "height": height}}, nil)
}

func (f *firefox) back() {
	f.call("browsingContext.traverseHistory", map[string]any{"context": f.page, "delta": -1}, nil)
}

func (f *firefox) leave() { f.call("browsingContext.close", map[string]any{"context": f.page}, nil) }

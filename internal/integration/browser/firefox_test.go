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
	"strings"
	"sync"
	"testing"
	"time"

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
	f.call("session.new", map[string]any{"capabilities": map[string]any{}}, nil)
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

// wait waits until a condition holds on the page.
func (f *firefox) wait(condition string, args ...any) {
	f.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(pause) {
		if f.eval("Boolean("+condition+")", args...) == "true" {
			return
		}
		if time.Now().After(end) {
			f.t.Fatalf("no %s; the page shows\n%s", script(condition, args...), f.eval("document.body.innerText"))
		}
	}
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

const enterKey = "\uE007" // as WebDriver calls it

// TestFirefox has bob use the chat in Firefox, and alice in Chromium.
func TestFirefox(t *testing.T) {
	t.Parallel()
	f := openFirefox(t)
	chat := runExample(t, "chat")
	alice := openChat(t, chat, "alice")
	alice.choose(direct)
	f.visit(chat.url)
	f.eval(`document.querySelector('input[name=username]').focus()`)
	f.press("bob")
	f.eval(`document.querySelector('input[name=password]').focus()`)
	f.press("password" + enterKey)
	f.wait(`document.title.endsWith('Chat') && document.body.dataset.connection === 'connected'`)
	f.wait(`document.hasFocus()`)

	alice.write("hello, Firefox")
	f.wait(`document.querySelector('.log:not([hidden]) .message[data-own=read]')`)
	alice.waitTicks("hello, Firefox", "read")
	f.eval(`document.querySelector('#composer textarea').focus()`)
	f.press("hello, Chromium" + enterKey)
	alice.wait(`watch.message('hello, Chromium')`)
	f.wait(`document.querySelector('.message.own').dataset.status === 'read'`)

	// Another tab in front: the page is hidden.
	page := f.page
	var tab struct{ Context string }
	f.call("browsingContext.create", map[string]any{"type": "tab"}, &tab)
	f.call("browsingContext.activate", map[string]any{"context": tab.Context}, nil)
	f.wait(`document.visibilityState === 'hidden'`)
	alice.write("not seen yet")
	alice.waitTicks("not seen yet", "delivered")
	f.wait(`document.title === '(1) Chat'`)
	f.call("browsingContext.activate", map[string]any{"context": page}, nil)
	alice.waitTicks("not seen yet", "read")

	// Back from another page, which Firefox loads afresh.
	f.visit(chat.url + "/healthz")
	alice.write("while you were away")
	alice.waitTicks("while you were away", "sent")
	f.call("browsingContext.traverseHistory", map[string]any{"context": page, "delta": -1}, nil)
	alice.waitTicks("while you were away", "read")

	// The last mark, of a page that ends.
	alice.write("the last")
	f.wait(`[...document.querySelectorAll('.message')].find((m) => m.querySelector('.body').textContent === 'the last')?.dataset.own === 'read'`)
	f.call("browsingContext.close", map[string]any{"context": page}, nil)
	alice.waitTicks("the last", "read")
	if got := strings.Join(eval[[]string](alice, `watch.turns('the last')`), " "); !strings.HasPrefix(got, "sending sent") {
		t.Errorf("alice saw %s", got)
	}
}

package browser

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/msgdelivery/delivery/internal/integration/need"
)

// webKit is the browser of WebKitGTK, with a page, driven by WebDriver.
type webKit struct {
	t       *testing.T
	session string // its URL
	window  string // of the page
}

func openWebKit(t *testing.T) *webKit {
	t.Helper()
	driver, err := exec.LookPath("WebKitWebDriver")
	if err != nil {
		need.Missing(t, "WebKitGTK", "apt-get install webkit2gtk-driver")
	}
	browsers, err := filepath.Glob("/usr/lib/*/webkit2gtk-4.*/MiniBrowser")
	if err != nil || len(browsers) == 0 {
		t.Fatal("WebKitGTK has a driver and no browser")
	}
	home, port := t.TempDir(), freePort(t)
	command := exec.Command(driver, "--host=127.0.0.1", fmt.Sprintf("--port=%d", port))
	command.Env = append(os.Environ(), "DISPLAY="+startDisplay(t), "HOME="+home, "XDG_RUNTIME_DIR="+home, "LIBGL_ALWAYS_SOFTWARE=1")
	startDaemon(t, loopback(port)+"/status", syscall.SIGTERM, command)

	w := &webKit{t: t, session: loopback(port) + "/session"}
	options := map[string]any{"binary": browsers[0], "args": []string{"--automation"}}
	var session struct{ SessionID string }
	w.call("POST", "", map[string]any{"capabilities": map[string]any{"alwaysMatch": map[string]any{"webkitgtk:browserOptions": options, "acceptInsecureCerts": true}}}, &session)
	w.session += "/" + session.SessionID
	t.Cleanup(func() { w.call("DELETE", "", nil, nil) })
	w.call("GET", "/window", nil, &w.window)
	return w
}

// startDisplay starts an X server that shows nothing, and returns the name of its display.
func startDisplay(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("Xvfb")
	if err != nil {
		need.Missing(t, "Xvfb", "apt-get install xvfb")
	}
	command := exec.Command(path, "-displayfd", "1", "-screen", "0", "1280x800x24", "-nolisten", "tcp")
	says, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		command.Process.Kill()
		command.Wait()
	})
	var number int
	if _, err := fmt.Fscan(says, &number); err != nil {
		t.Fatalf("Xvfb: %v", err)
	}
	return fmt.Sprintf(":%d", number)
}

// call makes a call of the protocol.
func (w *webKit) call(method, path string, params, result any) {
	w.t.Helper()
	var body io.Reader
	if method == "POST" {
		if params == nil {
			params = struct{}{}
		}
		text, err := json.Marshal(params)
		if err != nil {
			w.t.Fatal(err)
		}
		body = bytes.NewReader(text)
	}
	request, err := http.NewRequest(method, w.session+path, body)
	if err != nil {
		w.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	client := http.Client{Timeout: patience}
	answer, err := client.Do(request)
	if err != nil {
		w.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	if answer.StatusCode != http.StatusOK {
		w.t.Fatalf("%s %s: %s", method, path, text)
	}
	if result == nil {
		return
	}
	if err := json.Unmarshal(text, &struct{ Value any }{result}); err != nil {
		w.t.Fatalf("%s %s: %s: %v", method, path, text, err)
	}
}

func (w *webKit) visit(url string) {
	w.t.Helper()
	w.call("POST", "/url", map[string]any{"url": url}, nil)
}

func (w *webKit) eval(expression string, args ...any) string {
	w.t.Helper()
	var result struct{ Value, Error string }
	w.call("POST", "/execute/async", map[string]any{"args": []any{}, "script": `const answer = arguments[0];
		(async () => (` + script(expression, args...) + `))().then((v) => answer({ value: String(v) }), (e) => answer({ error: String(e) }));`}, &result)
	if result.Error != "" {
		w.t.Fatalf("%s: %s", expression, result.Error)
	}
	return result.Value
}

func (w *webKit) press(text string) {
	w.t.Helper()
	var keys []map[string]any
	for _, key := range strings.Split(text, "") {
		keys = append(keys, map[string]any{"type": "keyDown", "value": key}, map[string]any{"type": "keyUp", "value": key})
	}
	w.call("POST", "/actions", map[string]any{"actions": []any{map[string]any{"type": "key", "id": "keys", "actions": keys}}}, nil)
}

// hide minimizes the window. A tab that the driver opens stays behind the page.
func (w *webKit) hide() (show func()) {
	w.t.Helper()
	w.call("POST", "/window/minimize", nil, nil)
	return func() { w.call("POST", "/window/maximize", nil, nil) }
}

func (w *webKit) cover(with string) (uncover func()) {
	w.t.Helper()
	var other struct{ Handle string }
	w.call("POST", "/window/new", map[string]any{"type": with}, &other)
	return func() {
		w.call("POST", "/window", map[string]any{"handle": other.Handle}, nil)
		w.call("DELETE", "/window", nil, nil)
		w.call("POST", "/window", map[string]any{"handle": w.window}, nil)
	}
}

func (w *webKit) size(width, height int) {
	w.t.Helper()
	w.call("POST", "/window/rect", map[string]any{"width": width, "height": height}, nil)
}

func (w *webKit) back() { w.call("POST", "/back", nil, nil) }

// leave ends the page, but not the browser, which would end with its last window.
func (w *webKit) leave() {
	w.t.Helper()
	var other struct{ Handle string }
	w.call("POST", "/window/new", map[string]any{"type": "window"}, &other)
	w.call("DELETE", "/window", nil, nil)
	w.call("POST", "/window", map[string]any{"handle": other.Handle}, nil)
}

package browser

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/msgdelivery/delivery/internal/integration/need"
)

// pusherJS returns the path of a file of the npm package pusher-js, which it installs if need be.
func pusherJS(t testing.TB, file string) string {
	t.Helper()
	js := filepath.Join(root(t), "internal", "integration", "js")
	path := filepath.Join(js, "node_modules", "pusher-js", "dist", file)
	if _, err := os.Stat(path); err == nil {
		return path
	}
	if err := install(js); err != nil {
		need.Missing(t, fmt.Sprintf("pusher-js (%v)", err), "apt-get install npm, and npm ci in "+js)
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

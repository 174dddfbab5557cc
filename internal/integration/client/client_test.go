package client

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/msgdelivery/delivery/internal/integration/need"
	"github.com/msgdelivery/delivery/pusheradapter"
)

// TestClient runs the files of tests in testdata, each in a process of its own.
func TestClient(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		need.Missing(t, "Node.js", "apt-get install nodejs")
	}
	files, err := filepath.Glob("testdata/*.test.mjs")
	if err != nil || len(files) == 0 {
		t.Fatalf("no tests, %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".test.mjs"), func(t *testing.T) {
			t.Parallel()
			command := exec.CommandContext(t.Context(), node, file)
			command.Env = append(os.Environ(), "CHANNELS="+channels(t))
			if out, err := command.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// channels returns ids with the channels that pusheradapter has for conversations and users of that
// id, as JSON.
func channels(t *testing.T) string {
	t.Helper()
	names := map[string][2]string{}
	for _, id := range []string{"lunch", "team:42", "a-b_c@d.e", "a,b;c=d", "Zoë", "\U0001F468 é", "%2F/..", "\t~!*'()"} {
		channel, err := pusheradapter.PrivateChannel(id)
		if err != nil {
			t.Fatal(err)
		}
		user, err := pusheradapter.UserChannel(id)
		if err != nil {
			t.Fatal(err)
		}
		names[id] = [2]string{channel, user}
	}
	text, err := json.Marshal(names)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

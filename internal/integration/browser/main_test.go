package browser

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// temporary is a directory for what all tests share. It goes away with the test binary.
var temporary string

func TestMain(m *testing.M) {
	var err error
	if temporary, err = os.MkdirTemp("", "delivery-browser-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer os.RemoveAll(temporary)
	defer closeChromium()
	m.Run()
}

// root returns the directory of the root module.
func root(t testing.TB) string {
	t.Helper()
	dir, err := filepath.Abs("../../..") // tests run in the directory of their package
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

package delivery_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestREADME runs the program in the README and compares what it prints with what the README says.
func TestREADME(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(readme), "```go\npackage main\n")
	program, rest, ok2 := strings.Cut(rest, "```\n")
	if !ok || !ok2 {
		t.Fatal("the README holds no program")
	}
	var want strings.Builder
	for line := range strings.Lines(strings.TrimLeft(rest, "\n")) {
		printed, ok := strings.CutPrefix(line, "    ")
		if !ok {
			break
		}
		want.WriteString(printed)
	}
	file := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(file, []byte("package main\n"+program), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := exec.CommandContext(t.Context(), "go", "run", file).CombinedOutput()
	if err != nil || string(got) != want.String() || want.Len() == 0 {
		t.Errorf("got %v:\n%s\nwant:\n%s", err, got, want.String())
	}
}

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
	_, rest, ok := strings.Cut(readme(t), "```go\npackage main\n")
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
	run := exec.CommandContext(t.Context(), "go", "run", file)
	var complaints strings.Builder
	run.Stderr = &complaints
	got, err := run.Output()
	if err != nil || string(got) != want.String() || want.Len() == 0 {
		t.Errorf("got %v:\n%s%s\nwant:\n%s", err, got, &complaints, want.String())
	}
}

// TestREADMEStartsAnApp runs the commands by which the README starts an app of one's own, with
// either example, up to the last, which would serve it.
func TestREADMEStartsAnApp(t *testing.T) {
	_, rest, _ := strings.Cut(readme(t), "Start an app of your own")
	var commands []string
	for line := range strings.Lines(rest) {
		if command, ok := strings.CutPrefix(line, "    "); ok {
			commands = append(commands, strings.TrimSpace(command))
		} else if len(commands) > 0 {
			break
		}
	}
	last := len(commands) - 1
	if last < 1 || commands[last] != "go run ." {
		t.Fatalf("the README says %q", commands)
	}
	commands[last] = "go build -o " + os.DevNull + " ."
	repository, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	modules, err := os.ReadFile("examples/go.mod")
	if err != nil {
		t.Fatal(err)
	}
	var pins string // of the modules that the apps need, and not the newest ones, which are the network's to say
	for _, module := range []string{"modernc.org/sqlite", "github.com/coder/websocket"} {
		_, version, _ := strings.Cut(string(modules), module+" ")
		version, _, _ = strings.Cut(version, "\n")
		pins += "go mod edit -require " + module + "@" + version + " && "
	}
	for _, example := range []string{"examples/sse", "examples/pusher"} {
		script := strings.NewReplacer(
			"git clone https://github.com/msgdelivery/delivery", "ln -s "+repository+" delivery", "examples/sse", example, "go mod tidy", pins+"go mod tidy",
		).Replace(strings.Join(commands, "\n"))
		shell := exec.CommandContext(t.Context(), "sh", "-ec", script)
		shell.Dir = t.TempDir()
		shell.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-buildvcs=false")
		if out, err := shell.CombinedOutput(); err != nil {
			t.Errorf("%s: %v:\n%s", example, err, out)
		}
	}
}

// TestREADMEAddsTheLibraryToAnApp compiles the lines that an app needs beside the file that it
// copies from an example.
func TestREADMEAddsTheLibraryToAnApp(t *testing.T) {
	_, rest, ok := strings.Cut(readme(t), "```go\nfunc currentUser")
	function, rest, ok2 := strings.Cut(rest, "\n\n")
	lines, _, ok3 := strings.Cut(rest, "```\n")
	if !ok || !ok2 || !ok3 {
		t.Fatal("the README adds the library to no app")
	}
	copied, err := os.ReadFile("examples/sse/delivery.go")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"delivery.go": string(copied), "main.go": `package main

import (
	"context"
	"database/sql"
	"net/http"
)

var members []string

func main() {}

func userOf(*http.Request) string { return "" }

func check(error) {}

func currentUser` + function + `

func serve(ctx context.Context, mux *http.ServeMux) {
	` + lines + `
}
`} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", os.DevNull, filepath.Join(dir, "main.go"), filepath.Join(dir, "delivery.go"))
	build.Dir = "examples" // whose module has the driver
	if out, err := build.CombinedOutput(); err != nil {
		t.Errorf("%v:\n%s", err, out)
	}
}

// TestREADMEInARealApp compiles what the README shows of a real app.
func TestREADMEInARealApp(t *testing.T) {
	_, rest, ok := strings.Cut(readme(t), "```go\nerr := sqlstore.Migrate")
	snippet, rest, ok2 := strings.Cut(rest, "```\n")
	_, rest, ok3 := strings.Cut(rest, "```go\n")
	signatures, _, ok4 := strings.Cut(rest, "```\n")
	if !ok || !ok2 || !ok3 || !ok4 {
		t.Fatal("the README shows no real app")
	}
	var functions strings.Builder
	for line := range strings.Lines(signatures) {
		signature, _, _ := strings.Cut(strings.TrimSpace(line), "//")
		functions.WriteString(signature + " { panic(0) }\n")
	}
	file := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(file, []byte(`package main

import (
	"context"
	"database/sql"
	"net/http"
	"os"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliveryhttp"
	"github.com/msgdelivery/delivery/pusheradapter"
	"github.com/msgdelivery/delivery/sqlstore"
)

func main() { _ = serve }

`+functions.String()+`
func serve(ctx context.Context, db *sql.DB, mux *http.ServeMux) error {
	err := sqlstore.Migrate`+snippet+`
	return err
}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", os.DevNull, file).CombinedOutput(); err != nil {
		t.Errorf("%v:\n%s", err, out)
	}
}

func readme(t *testing.T) string {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

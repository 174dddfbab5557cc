package typescript

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliveryhttp"
	"github.com/msgdelivery/delivery/deliverytest"
	"github.com/msgdelivery/delivery/internal/integration/need"
	"github.com/msgdelivery/delivery/memstore"
)

func TestClientsMadeFromTheDescription(t *testing.T) {
	desk, dir := open(t), project(t)
	dir.write(t, "client.ts", read(t, "testdata/client.ts"))
	_, guide, _ := strings.Cut(read(t, "../../../docs/guides/typescript.md"), "```ts\n")
	guide, _, _ = strings.Cut(guide, "```\n")
	dir.write(t, "guide.ts", guide)
	for name, w := range wrong {
		dir.write(t, file(name), "import createClient from 'openapi-fetch'\nimport type { paths } from './delivery.js'\n"+
			"const api = createClient<paths>({ baseUrl: '' })\n"+w.line+"\n")
	}
	if out, err := dir.node(t, "openapi-typescript/bin/cli.js", desk.URL+"/openapi.json", "--output", "delivery.d.ts").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	said, err := dir.node(t, "typescript/bin/tsc", "--project", ".").Output() // which fails for the wrong lines
	if err == nil {
		t.Fatal("the compiler says nothing")
	}

	t.Run("a program that calls each route compiles", func(t *testing.T) {
		for complaint := range strings.Lines(string(said)) {
			if !strings.HasPrefix(complaint, "wrong-") && !strings.HasPrefix(complaint, " ") {
				t.Error(complaint)
			}
		}
		if guide == "" {
			t.Error("the guide shows no TypeScript")
		}
	})

	t.Run("its calls do what they say", func(t *testing.T) {
		command := dir.node(t, "../client.js")
		command.Env = append(os.Environ(), "API="+desk.URL)
		if out, err := command.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if called, routes := desk.routes(), described(t); !slices.Equal(called, routes) {
			t.Errorf("the program called\n%s\nwant\n%s", strings.Join(called, "\n"), strings.Join(routes, "\n"))
		}
		receipts, err := desk.tracker.Receipts(t.Context(), delivery.ReceiptQuery{Message: "m1"})
		if err != nil || len(receipts.Receipts) != 1 || receipts.Receipts[0].Status != delivery.Read {
			t.Errorf("the receipts of m1 are %+v, %v; want bob's, read", receipts, err)
		}
		if err := desk.tracker.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		sockets := map[string]bool{}
		for _, event := range desk.told.Events() {
			sockets[event.Except] = true
		}
		if !sockets["1.1"] || !sockets["2.2"] {
			t.Errorf("the sockets of events are %v, want those of the program among them", sockets)
		}
	})

	for name, w := range wrong {
		t.Run(name+" does not compile", func(t *testing.T) {
			_, complaint, _ := strings.Cut("\n"+string(said), "\n"+file(name)+"(4,")
			complaint, _, _ = strings.Cut(complaint, "\nwrong-")
			if !strings.Contains(complaint, w.want) {
				t.Errorf("the compiler says %q, want %q", complaint, w.want)
			}
		})
	}
}

// wrong are lines of which the compiler has to say something.
var wrong = map[string]struct{ line, want string }{
	"a status that is no claim": {
		"await api.POST('/marks', { body: { message: 'm1', status: 'sent' } })",
		`Type '"sent"' is not assignable to type '"delivered" | "read"'`,
	},
	"a field that the request has not": {
		"await api.POST('/marks', { body: { message: 'm1', status: 'read', user: 'bob' } })",
		"'user' does not exist in type",
	},
	"a field that is missing": {
		"await api.POST('/marks/up-to', { body: { message: 'm1', status: 'read' } })",
		"Property 'conversation' is missing in type",
	},
	"a seq that is a text": {
		"await api.GET('/messages', { params: { query: { conversation: 'c', after: '3' } } })",
		"Type 'string' is not assignable to type 'number'",
	},
	"a path that is not there": {
		"await api.POST('/mark', { body: { message: 'm1', status: 'read' } })",
		`Argument of type '"/mark"' is not assignable`,
	},
	"a method that the path has not": {
		"await api.GET('/dismiss', {})",
		`Argument of type '"/dismiss"' is not assignable`,
	},
	"a field that the answer has not": {
		";(await api.GET('/receipts', { params: { query: { message: 'm1' } } })).data?.receipts[0]?.seen_at",
		"Property 'seen_at' does not exist on type",
	},
	"a time that may be missing": {
		";(await api.GET('/receipts', { params: { query: { message: 'm1' } } })).data!.receipts[0]!.read_at.length",
		"is possibly 'undefined'",
	},
	"a code that the route never answers": {
		"if ((await api.POST('/marks', { body: { message: 'm1', status: 'read' } })).error?.code === 'gone') {}",
		"This comparison appears to be unintentional",
	},
}

func file(name string) string { return "wrong-" + strings.ReplaceAll(name, " ", "-") + ".ts" }

// described returns the routes of the description, in order of name.
func described(t *testing.T) (routes []string) {
	t.Helper()
	var description struct{ Paths map[string]map[string]any }
	if err := json.Unmarshal([]byte(deliveryhttp.OpenAPI), &description); err != nil {
		t.Fatal(err)
	}
	for path, methods := range description.Paths {
		for method := range methods {
			routes = append(routes, strings.ToUpper(method)+" "+path)
		}
	}
	slices.Sort(routes)
	return routes
}

// desk is a handler over memory, and what it is asked.
type desk struct {
	*httptest.Server
	tracker *delivery.Tracker
	told    deliverytest.Recorder

	mu    sync.Mutex
	asked map[string]bool
}

// open serves a handler that believes a header. Alice writes to Bob.
func open(t *testing.T) *desk {
	t.Helper()
	d := &desk{asked: map[string]bool{}}
	var err error
	if d.tracker, err = delivery.New(memstore.New(), &d.told, &delivery.Options{OpenConversations: true}); err != nil {
		t.Fatal(err)
	}
	identify := func(r *http.Request) (string, error) { return r.Header.Get("X-User"), nil }
	api, err := deliveryhttp.New(d.tracker, identify, &deliveryhttp.Options{
		OpenAPI: true,
		Audience: func(context.Context, delivery.Draft) (delivery.Audience, error) {
			return delivery.Audience{Recipients: []string{"bob"}}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	d.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-User") != "" {
			d.mu.Lock()
			d.asked[r.Method+" "+r.URL.Path] = true
			d.mu.Unlock()
		}
		api.ServeHTTP(w, r)
	}))
	t.Cleanup(d.Close)
	return d
}

// routes returns what was called, in order of name.
func (d *desk) routes() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Sorted(maps.Keys(d.asked))
}

// folder is a folder for a TypeScript program, with the packages of internal/integration/js.
type folder string

func project(t *testing.T) folder {
	t.Helper()
	js, err := filepath.Abs("../js/node_modules")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"typescript", "openapi-typescript", "openapi-fetch"} {
		if _, err := os.Stat(filepath.Join(js, name)); err != nil {
			need.Missing(t, "the npm package "+name, "npm ci in internal/integration/js")
		}
	}
	dir := folder(t.TempDir())
	if err := os.Symlink(js, filepath.Join(string(dir), "node_modules")); err != nil {
		t.Fatal(err)
	}
	dir.write(t, "package.json", `{"type": "module"}`)
	dir.write(t, "tsconfig.json", `{"compilerOptions": {"strict": true, "noUncheckedIndexedAccess": true, "exactOptionalPropertyTypes": true,
		"target": "es2023", "module": "nodenext", "lib": ["es2023", "dom", "dom.iterable"], "types": []}, "include": ["*.ts"]}`)
	return dir
}

func (f folder) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(string(f), name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// node returns a command that runs a script of a package.
func (f folder) node(t *testing.T, script string, args ...string) *exec.Cmd {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		need.Missing(t, "Node.js", "apt-get install nodejs")
	}
	command := exec.CommandContext(t.Context(), node, append([]string{filepath.Join("node_modules", script)}, args...)...)
	command.Dir = string(f)
	return command
}

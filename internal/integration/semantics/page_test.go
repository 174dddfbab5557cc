package semantics

import (
	_ "embed"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
	"github.com/msgdelivery/delivery/memstore"
)

var update = flag.Bool("update", false, "write docs/semantics.md anew")

const file = "../../../docs/semantics.md"

//go:embed intro.md
var intro string

func TestThePageSaysWhatEveryStoreDoes(t *testing.T) {
	page := write(t, memstore.New())
	if *update {
		if err := os.WriteFile(file, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("memory", func(t *testing.T) {
		there, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if string(there) != page {
			t.Errorf("docs/semantics.md is not what the stores do: go test ./internal/integration/semantics -update\n%s", difference(string(there), page))
		}
	})
	for _, kind := range []engines.Kind{engines.Postgres, engines.MySQL, engines.SQLite} {
		t.Run(string(kind), func(t *testing.T) {
			_, store := stores.Migrated(t, engines.First(kind))
			if got := write(t, store); got != page {
				t.Errorf("it does not do what memstore does:\n%s", difference(page, got))
			}
		})
	}
}

// write returns the page as a store makes it.
func write(t *testing.T, store keeper) string {
	t.Helper()
	var b strings.Builder
	b.WriteString(intro)
	runs := 0
	for _, o := range operations {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n", o.name, o.says)
		b.WriteString("| who | others see | the user sees | version | sent | answer |\n|---|---|---|---|---|---|\n")
		for _, a := range cast {
			if o.leavesOut(a) {
				continue
			}
			runs++
			w := newWorld(t, store, fmt.Sprintf("%d/", runs))
			fmt.Fprintf(&b, "| %s | %s |\n", a.name, strings.Join(w.row(a, o), " | "))
		}
	}
	return b.String()
}

// difference returns the lines in which two pages differ.
func difference(want, got string) string {
	var b strings.Builder
	wants, gots := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(wants), len(gots)) {
		line := func(lines []string) string {
			if i < len(lines) {
				return lines[i]
			}
			return ""
		}
		if line(wants) != line(gots) {
			fmt.Fprintf(&b, "line %d:\n-%s\n+%s\n", i+1, line(wants), line(gots))
		}
	}
	return b.String()
}

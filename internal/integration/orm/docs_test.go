//go:build !race

package orm

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// docs returns the section of the docs on transactions.
func docs(t *testing.T) string {
	t.Helper()
	_, section, ok := strings.Cut(read(t, "../../../docs/support.md"), "\n## Transactions of query builders and ORMs\n")
	if !ok {
		t.Fatal("there is no such section")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	return section
}

func TestTheDocsHandOverWhatTheTestsDo(t *testing.T) {
	files, err := filepath.Glob("*_test.go")
	must(t, err)
	var sources strings.Builder
	for _, file := range files {
		sources.WriteString(read(t, file))
	}
	calls := regexp.MustCompile(`SendTx\(ctx, (.+), draft\)`).FindAllStringSubmatch(docs(t), -1)
	if len(calls) == 0 {
		t.Fatal("no calls")
	}
	for _, call := range calls {
		if !regexp.MustCompile(`inside\{\s*tx:\s+` + regexp.QuoteMeta(call[1]) + ",").MatchString(sources.String()) {
			t.Errorf("no test does %s", call[0])
		}
	}
}

func TestTheDocsNameTheVersionsThatAreTested(t *testing.T) {
	modules := read(t, "go.mod")
	versions := regexp.MustCompile(`\bv\d+\.\d+\.\d+\b`).FindAllString(docs(t), -1)
	if len(versions) == 0 {
		t.Fatal("no versions")
	}
	for _, version := range versions {
		if !strings.Contains(modules, " "+version+"\n") {
			t.Errorf("%s is tested in no module", version)
		}
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	must(t, err)
	return string(data)
}

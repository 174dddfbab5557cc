package browser

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// guide is a page of docs/guides, whose code the tests run.
type guide struct {
	t    testing.TB
	name string
	text string
}

func openGuide(t testing.TB, name string) *guide {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root(t), "docs", "guides", name))
	if err != nil {
		t.Fatal(err)
	}
	return &guide{t, name, string(text)}
}

// blocks returns the code blocks of a language, in their order.
func (g *guide) blocks(language string) (all []string) {
	rest := g.text
	for {
		_, after, ok := strings.Cut(rest, "```"+language+"\n")
		if !ok {
			return all
		}
		var block string
		block, rest, _ = strings.Cut(after, "```\n")
		all = append(all, block)
	}
}

// isIn fails the test unless each Go block of the guide is a part of a file of this directory, up
// to the indentation. So what the guide shows is compiled, and does what the tests say.
func (g *guide) isIn(file string) {
	g.t.Helper()
	source, err := os.ReadFile(file)
	if err != nil {
		g.t.Fatal(err)
	}
	blocks := g.blocks("go")
	for _, block := range blocks {
		if !strings.Contains(flat(string(source)), flat(block)) {
			g.t.Errorf("%s shows code that %s has not:\n%s", g.name, file, block)
		}
	}
	if len(blocks) == 0 {
		g.t.Errorf("%s shows no Go", g.name)
	}
}

// flat is a text with each line's indentation removed.
func flat(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimSpace(line)
	}
	return strings.Join(lines, "\n")
}

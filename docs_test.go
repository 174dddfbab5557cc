package delivery_test

import (
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	dropped = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
	named   = regexp.MustCompile("`(?:[a-z]+\\.)?((?:Test|Benchmark)[A-Z]\\w+)`")
	tested  = regexp.MustCompile(`(?m)^func ((?:Test|Benchmark)\w+)\(`)
)

// TestLinks follows every link between the Markdown files, to the heading that it names.
func TestLinks(t *testing.T) {
	links := 0
	for name, text := range files(t, ".md") {
		for _, match := range link.FindAllStringSubmatch(text, -1) {
			target, anchor, _ := strings.Cut(match[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			links++
			file := name
			if target != "" {
				file = path.Join(path.Dir(name), target)
			}
			linked, err := fs.ReadFile(os.DirFS("."), file)
			if err != nil {
				t.Errorf("%s links to %s: %v", name, match[1], err)
			} else if anchor != "" && !slices.Contains(anchors(string(linked)), anchor) {
				t.Errorf("%s links to %s, and %s has no such heading", name, match[1], file)
			}
		}
	}
	if links == 0 {
		t.Error("found no links")
	}
}

// TestDocsNameTestsThatExist looks for every test that a Markdown file names.
func TestDocsNameTestsThatExist(t *testing.T) {
	there := map[string]bool{}
	for _, text := range files(t, ".go") {
		for _, match := range tested.FindAllStringSubmatch(text, -1) {
			there[match[1]] = true
		}
	}
	names := 0
	for name, text := range files(t, ".md") {
		for _, match := range named.FindAllStringSubmatch(text, -1) {
			if names++; !there[match[1]] {
				t.Errorf("%s names %s, which does not exist", name, match[1])
			}
		}
	}
	if names == 0 {
		t.Error("no test is named")
	}
}

// files returns the text of each file of the repository with that extension.
func files(t *testing.T, ext string) map[string]string {
	t.Helper()
	root, all := os.DirFS("."), map[string]string{}
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (entry.Name() == "node_modules" || entry.Name() == ".git") {
			return fs.SkipDir
		}
		if path.Ext(name) == ext {
			text, err := fs.ReadFile(root, name)
			all[name] = string(text)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// anchors returns the names by which links reach a file's headings.
func anchors(markdown string) (all []string) {
	for _, match := range heading.FindAllStringSubmatch(markdown, -1) {
		words := dropped.ReplaceAllString(strings.ToLower(match[1]), "")
		all = append(all, strings.ReplaceAll(words, " ", "-"))
	}
	return all
}

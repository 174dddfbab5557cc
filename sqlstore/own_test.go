package sqlstore

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/msgdelivery/delivery"
)

// Private state of a user shows in nothing that others are told, as long as no statement that
// answers them reads it.
func TestNoStatementThatAnswersOthersNamesTheTableOfPrivateMarks(t *testing.T) {
	const table = "delivery_own"
	for _, d := range dialects[1:] {
		texts := reflect.ValueOf(d.reads)
		for i := range texts.NumField() {
			name, field := texts.Type().Field(i).Name, texts.Field(i)
			if field.Kind() == reflect.String && strings.Contains(field.String(), table) != (name == "unread") {
				t.Errorf("%s: the statement of %s: %.40q", d.name, name, field.String())
			}
		}
	}
	for _, d := range dialects[1:] {
		for _, private := range []string{table, "p.badge", "p.own_delivered"} {
			if !strings.Contains(d.judgeText(delivery.ForRecipient), private) || strings.Contains(d.judgeText(delivery.ForSender), private) {
				t.Errorf("%s: reminders for the sender look at %s, or those for the recipient do not", d.name, private)
			}
		}
	}
	for _, d := range dialects[1:] {
		for _, private := range []string{table, "p.badge", "p.own_delivered", "p.flag", "p.rev"} {
			if strings.Contains(d.failingText(), private) {
				t.Errorf("%s: what is asked for a failure looks at %s", d.name, private)
			}
		}
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	may := []string{
		"own.go", "own_texts.go", "prune.go", "compact.go", "erase.go", "import_put.go", // write it, and answer nobody but the user
		"postgres_read.go", "locked_unread.go", // have the statement of unread counts, which are the user's own
		"migrate.go",
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") || slices.Contains(may, file) {
			continue
		}
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(source), table) {
			t.Errorf("%s names it", file)
		}
	}
}

package sqlstore

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

// What a user alone knows can show in nothing that others are told, as long as no statement that
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
	for _, file := range []string{
		"postgres.go", "postgres_advance.go", "postgres_upto.go", "postgres_create.go", "postgres_outbox.go",
		"mysql.go", "sqlite.go", "locked_write.go", "locked_read.go", "locked_newest.go", "locked_steps.go", "locked_roster.go",
	} {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(source), table) {
			t.Errorf("%s names it", file)
		}
	}
}

package sqlstore_test

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/msgdelivery/delivery/sqlstore"
)

var update = flag.Bool("update", false, "write docs/schema.md anew")

const (
	schemaFile = "../docs/schema.md"
	schemaHead = `# Tables

Only the library may write to these tables, and any version may change them ([stability.md](stability.md)). Times are TIMESTAMPTZ on Postgres, and
microseconds since 1970 elsewhere. A status is 1 for sent, 2 for delivered and 3 for read. This page is generated from the migrations in
` + "`sqlstore/migrations`: `go test ./sqlstore -run TestSchemaReference -update`" + `.
`
)

// table is a table as a migration makes it.
type table struct {
	name, comment string
	columns       []column
	keys          []string // and indexes
}

type column struct{ name, kind string }

// TestSchemaReference holds docs/schema.md to the migrations.
func TestSchemaReference(t *testing.T) {
	dialects := []sqlstore.Dialect{sqlstore.Postgres, sqlstore.MySQL, sqlstore.SQLite}
	schemas := map[sqlstore.Dialect][]table{}
	for _, dialect := range dialects {
		schemas[dialect] = readSchema(t, dialect)
	}
	var page strings.Builder
	page.WriteString(schemaHead)
	for _, of := range schemas[sqlstore.Postgres] {
		fmt.Fprintf(&page, "\n## %s\n\n", of.name)
		if of.comment != "" {
			fmt.Fprintf(&page, "%s\n\n", of.comment)
		}
		page.WriteString("| column | Postgres | MariaDB | SQLite |\n|---|---|---|---|\n")
		for _, c := range of.columns {
			fmt.Fprintf(&page, "| %s |", c.name)
			for _, dialect := range dialects {
				fmt.Fprintf(&page, " %s |", find(t, schemas[dialect], dialect, of.name).kind(t, dialect, c.name))
			}
			page.WriteString("\n")
		}
		separator := "\nKeys and indexes:\n\n"
		for _, dialect := range dialects {
			other := find(t, schemas[dialect], dialect, of.name)
			if len(other.columns) != len(of.columns) {
				t.Errorf("%v: %s has %d columns, and %d on Postgres", dialect, of.name, len(other.columns), len(of.columns))
			}
			if len(other.keys) > 0 {
				fmt.Fprintf(&page, "%s- %s: `%s`\n", separator, product(dialect), strings.Join(other.keys, "`, `"))
				separator = ""
			}
		}
	}
	if *update {
		if err := os.WriteFile(schemaFile, []byte(page.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(schemaFile)
	if err != nil || string(text) != page.String() {
		t.Errorf("docs/schema.md is not what the migrations make (%v): go test ./sqlstore -run TestSchemaReference -update", err)
	}
}

// As long as there is next to nothing in a table, a search for a key costs as little in an index
// that has the key behind another column. So Postgres may take that index, and search it from end
// to end for each key until the next ANALYZE.
func TestNoIndexOfPostgresPassesForAnother(t *testing.T) {
	for _, of := range readSchema(t, sqlstore.Postgres) {
		indexes := of.indexes()
		for _, index := range indexes {
			for _, other := range indexes {
				if !slices.Contains(index, other[0]) && !slices.ContainsFunc(index, func(column string) bool { return !slices.Contains(other, column) }) {
					t.Errorf("%s: the index of %v passes for that of %v", of.name, other, index)
				}
			}
		}
	}
}

// indexes returns the columns of each.
func (of table) indexes() (all [][]string) {
	for _, c := range of.columns {
		if strings.Contains(c.kind, " PRIMARY KEY") || strings.Contains(c.kind, " UNIQUE") {
			all = append(all, []string{c.name})
		}
	}
	for _, key := range of.keys {
		if columns := indexColumns.FindStringSubmatch(key); columns != nil {
			all = append(all, strings.Split(columns[1], ", "))
		}
	}
	return all
}

func product(d sqlstore.Dialect) string {
	return map[sqlstore.Dialect]string{sqlstore.Postgres: "Postgres", sqlstore.MySQL: "MariaDB", sqlstore.SQLite: "SQLite"}[d]
}

func find(t *testing.T, all []table, dialect sqlstore.Dialect, name string) table {
	t.Helper()
	i := slices.IndexFunc(all, func(t table) bool { return t.name == name })
	if i < 0 {
		t.Fatalf("%v has no table %s", dialect, name)
	}
	return all[i]
}

func (of table) kind(t *testing.T, dialect sqlstore.Dialect, name string) string {
	t.Helper()
	i := slices.IndexFunc(of.columns, func(c column) bool { return c.name == name })
	if i < 0 {
		t.Fatalf("%v: %s has no column %s", dialect, of.name, name)
	}
	return of.columns[i].kind
}

var (
	createTable = regexp.MustCompile(`(?s)^CREATE TABLE (?:IF NOT EXISTS )?(\w+) \(\n(.*?)\n\)`)
	createIndex = regexp.MustCompile(`^CREATE (?:UNIQUE )?INDEX \w+ ON (\w+) `)
	noSchema    = regexp.MustCompile(`^(INSERT|ALTER TABLE \w+ ALTER payload SET STORAGE)`)
	isKey       = regexp.MustCompile(`^(PRIMARY KEY|UNIQUE|KEY|CHECK) `)
	// indexColumns takes a key of a table or an index of its own.
	indexColumns = regexp.MustCompile(`^(?:PRIMARY KEY|UNIQUE|CREATE (?:UNIQUE )?INDEX \w+ ON \w+) \((.*?)\)`)
	spaces       = regexp.MustCompile(`\s+`)
)

// readSchema returns the tables that a dialect's migrations make, in their order.
func readSchema(t *testing.T, dialect sqlstore.Dialect) (tables []table) {
	t.Helper()
	files := sqlstore.Migrations(dialect)
	names, err := fs.Glob(files, "*.sql")
	if err != nil || len(names) == 0 {
		t.Fatalf("%v has the migrations %v, %v", dialect, names, err)
	}
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			t.Fatal(err)
		}
		for statement := range strings.SplitSeq(string(text), ";\n") {
			comment, statement := splitComment(statement)
			if statement == "" || noSchema.MatchString(statement) {
				continue
			}
			if made := createTable.FindStringSubmatch(statement); made != nil {
				tables = append(tables, readTable(made[1], comment, made[2]))
			} else if index := createIndex.FindStringSubmatch(statement); index != nil {
				i := slices.IndexFunc(tables, func(t table) bool { return t.name == index[1] })
				tables[i].keys = append(tables[i].keys, spaces.ReplaceAllString(statement, " "))
			} else {
				t.Fatalf("%s has a statement that this page does not know: %s", name, statement)
			}
		}
	}
	return tables
}

// splitComment parts a statement from the comment right before it. A comment before an empty line
// is about the file.
func splitComment(text string) (comment, statement string) {
	var words []string
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for len(lines) > 0 {
		line, isComment := strings.CutPrefix(lines[0], "--")
		if line = strings.TrimSpace(line); !isComment && line != "" {
			break
		}
		if !isComment {
			words = nil
		} else if line != "" {
			words = append(words, line)
		}
		lines = lines[1:]
	}
	return strings.Join(words, "\n"), strings.Join(lines, "\n")
}

func readTable(name, comment, body string) table {
	made := table{name: name, comment: comment}
	for line := range strings.Lines(body) {
		line = spaces.ReplaceAllString(strings.TrimSuffix(strings.TrimSpace(line), ","), " ")
		if isKey.MatchString(line) {
			made.keys = append(made.keys, line)
			continue
		}
		name, kind, _ := strings.Cut(line, " ")
		made.columns = append(made.columns, column{name, kind})
	}
	return made
}

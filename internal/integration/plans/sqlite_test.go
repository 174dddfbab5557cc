//go:build !race && !sqlite2

package plans

import (
	"context"
	"database/sql"
	"regexp"
	"slices"
	"strings"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
)

// explained returns a transaction in which SQLite explains each statement, and the test fails if it
// would read a table from end to end.
func (v *visitor) explained(tx delivery.DBTX) delivery.DBTX {
	if v.kind != engines.SQLite {
		return tx
	}
	return explained{tx, v}
}

type explained struct {
	delivery.DBTX
	visitor *visitor
}

func (e explained) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	e.explain(ctx, query, args)
	return e.DBTX.ExecContext(ctx, query, args...)
}

func (e explained) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	e.explain(ctx, query, args)
	return e.DBTX.QueryContext(ctx, query, args...)
}

var (
	// json_each is a virtual table.
	scanned = regexp.MustCompile(`^SCAN (\w+)(?: USING .*)?$`)
	made    = regexp.MustCompile(`^(?:MATERIALIZE|CO-ROUTINE) (\w+)$`) // of what a part of the statement found
)

func (e explained) explain(ctx context.Context, query string, args []any) {
	v := e.visitor
	v.Helper()
	if strings.HasSuffix(query, "WHERE false") {
		return // it only takes the lock
	}
	rows, err := e.DBTX.QueryContext(ctx, "EXPLAIN QUERY PLAN "+query, args...)
	if err != nil {
		v.Fatalf("%v\n%s", err, query)
	}
	defer rows.Close()
	var plan, whole []string
	for rows.Next() {
		var id, parent, unused int
		var step string
		if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
			v.Fatal(err)
		}
		plan = append(plan, step)
		if m := scanned.FindStringSubmatch(step); m != nil {
			whole = append(whole, m[1])
		}
	}
	if err := rows.Err(); err != nil {
		v.Fatal(err)
	}
	for _, step := range plan {
		if m := made.FindStringSubmatch(step); m != nil {
			whole = slices.DeleteFunc(whole, func(table string) bool { return table == m[1] })
		}
		if strings.Contains(step, "AUTOMATIC") { // an index made for this statement
			whole = append(whole, step)
		}
	}
	if len(whole) > 0 {
		v.Fatalf("SQLite reads all of %q:\n%s\n%s", whole, query, strings.Join(plan, "\n"))
	}
}

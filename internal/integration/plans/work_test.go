//go:build !race && !sqlite2

package plans

import (
	"cmp"
	"database/sql"

	"modernc.org/sqlite"

	"github.com/msgdelivery/delivery/internal/integration/engines"
)

// work is what a database looked at: rows, unless it is SQLite, which doesn't count them, and pages
// of tables and indexes, unless it is MariaDB, where what happens in the background counts as well.
type work struct{ rows, pages int }

func (w work) minus(other work) work { return work{w.rows - other.rows, w.pages - other.pages} }

// measure does an operation and returns what the database looked at for it.
func (v *visitor) measure(o operation, inTx bool) work {
	v.Helper()
	this := v.visit()
	before := v.work()
	v.do(o, this, inTx)
	return v.work().minus(before)
}

// work returns what the visitor's connection looked at so far; on Postgres, what all did.
func (v *visitor) work() (w work) {
	v.Helper()
	ctx := v.Context()
	conn, err := v.db.Conn(ctx)
	if err != nil {
		v.Fatal(err)
	}
	defer conn.Close()
	switch v.kind {
	case engines.MySQL:
		// A row that InnoDB reads in an index and drops by a condition is an attempt, and not read.
		var rows *sql.Rows
		if rows, err = conn.QueryContext(ctx, `
			SHOW SESSION STATUS WHERE variable_name LIKE 'Handler_read%' OR variable_name = 'Handler_icp_attempts'`); err == nil {
			defer rows.Close()
			for rows.Next() && err == nil {
				var name string
				var count int
				err = rows.Scan(&name, &count)
				w.rows += count
			}
			err = cmp.Or(err, rows.Err())
		}
	case engines.Postgres:
		if _, err = conn.ExecContext(ctx, "SELECT pg_stat_force_next_flush()"); err == nil {
			err = conn.QueryRowContext(ctx, `
				SELECT sum(seq_tup_read + idx_tup_fetch)::bigint, sum(heap_blks_hit + heap_blks_read + idx_blks_hit + idx_blks_read)::bigint
				FROM pg_stat_user_tables JOIN pg_statio_user_tables USING (relid)`).Scan(&w.rows, &w.pages)
		}
	case engines.SQLite:
		err = conn.Raw(func(conn any) error {
			for _, counter := range []sqlite.DBStatusOp{sqlite.DBStatusCacheHit, sqlite.DBStatusCacheMiss} {
				pages, _, err := conn.(sqlite.DBStatus).Status(counter, false)
				if err != nil {
					return err
				}
				w.pages += pages
			}
			return nil
		})
	}
	if err != nil {
		v.Fatal(err)
	}
	return w
}

// most returns the most that an operation may look at in a long conversation, if it looked at w in
// a short one.
func (h *history) most(w work) work {
	// The planner of Postgres may look up the ends of columns. The trees of the indexes are a page
	// or two higher, and were as low as one page. Rows in a row may be on one page.
	return work{rows: w.rows + w.rows/10 + 6, pages: 3 * w.pages}
}

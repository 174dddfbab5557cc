package sqlstore

import (
	"cmp"
	"context"
	"database/sql"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/packet"
)

// mysqlSettings looks at what alters text on its way, keeps reads in an old snapshot, or makes the
// server refuse statements that the store needs.
func mysqlSettings(ctx context.Context, q delivery.DBTX) (found findings, err error) {
	var client, connection, results sql.NullString
	var autocommit, safe, statements, oracle bool
	var largest int
	err = queryOne(ctx, q, []any{&client, &connection, &results, &autocommit, &safe, &statements, &oracle, &largest}, `
SELECT @@character_set_client, @@character_set_connection, @@character_set_results, @@autocommit, @@sql_safe_updates,
	@@log_bin AND @@binlog_format = 'STATEMENT', FIND_IN_SET('ORACLE', @@sql_mode) > 0, @@max_allowed_packet`)
	if err != nil {
		return found, err
	}
	for _, set := range []sql.NullString{client, connection, results} {
		if set.String != "utf8mb4" {
			found.fault("the connection's character set is %s, which alters text: put charset=utf8mb4 into the DSN", cmp.Or(set.String, "unknown"))
			break
		}
	}
	if !autocommit {
		found.fault("autocommit is off, so that reads stay in an old snapshot: take autocommit=0 out of the DSN, or set it to 1 on the server")
	}
	if safe {
		found.fault("sql_safe_updates is on, so that the server refuses updates: take it out of the DSN, or set it to 0 on the server")
	}
	if statements {
		found.fault("binlog_format is STATEMENT, so that the server refuses writes at READ COMMITTED: set it to MIXED or ROW on the server")
	}
	if oracle {
		found.fault("sql_mode has ORACLE, which changes what SQL means: take it out, in the DSN or on the server")
	}
	if largest < packet.Size {
		found.fault("max_allowed_packet is %d, less than a batch may need: set it to %d or more on the server", largest, packet.Size)
	}
	return found, nil
}

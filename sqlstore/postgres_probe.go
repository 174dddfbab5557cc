package sqlstore

import (
	"context"

	"github.com/msgdelivery/delivery"
)

// Probes are statements that fail by a serialization failure, if another transaction has committed
// since the snapshot began what the snapshot should show. Each has ids of messages as $1.
const (
	// pgProbeMissing inserts rows with ids that the transaction cannot see. The server fails if
	// there is one (ExecCheckTIDVisible in its nodeModifyTable.c).
	pgProbeMissing = `
INSERT INTO delivery_messages (conv, seq, id, sender, body, total, quorum, sent_at)
SELECT 0, -n, id, 0, '', 0, 1, 'epoch' FROM json_array_elements_text($1::json) WITH ORDINALITY AS missing(id, n)
ORDER BY id COLLATE "C"
ON CONFLICT (id) DO NOTHING`
)

// pgProbe runs a probe in a caller's transaction and takes back what it did, its locks too. Under
// READ COMMITTED each statement sees what was committed before it, and there is nothing to probe.
func pgProbe(ctx context.Context, tx delivery.DBTX, probe string, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	var isolation string
	err := queryOne(ctx, tx, []any{&isolation}, "SELECT current_setting('transaction_isolation')")
	if err != nil || isolation == "read committed" {
		return err
	}
	const set, back, release = "SAVEPOINT delivery_call", "ROLLBACK TO SAVEPOINT delivery_call", "RELEASE SAVEPOINT delivery_call"
	if _, err := tx.ExecContext(ctx, set); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, probe, idList(ids)); err != nil {
		return err
	}
	return execEach(ctx, tx, back, release)
}

package sqlstore

import (
	"context"

	"github.com/msgdelivery/delivery"
)

// pgProbe inserts rows with ids that the transaction cannot see: $1 the ids. If another transaction
// has committed one since the snapshot began, that is a serialization failure (ExecCheckTIDVisible
// in the server's nodeModifyTable.c).
const pgProbe = `
INSERT INTO delivery_messages (conv, seq, id, sender, body, total, quorum, sent_at)
SELECT 0, -n, id, 0, '', 0, 1, 'epoch' FROM json_array_elements_text($1::json) WITH ORDINALITY AS missing(id, n)
ORDER BY id COLLATE "C"
ON CONFLICT (id) DO NOTHING`

// pgMissing sees to it that messages which a caller's transaction does not see do not exist. Only
// under READ COMMITTED does each statement see what was committed before it.
func pgMissing(ctx context.Context, tx delivery.DBTX, ids []string) error {
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
	if _, err := tx.ExecContext(ctx, pgProbe, idList(ids)); err != nil {
		return err
	}
	return execEach(ctx, tx, back, release)
}

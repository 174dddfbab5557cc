package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
)

// Restored invalidates every [delivery.Cursor] that was handed out before. The next
// [delivery.Tracker.Changes] with such a cursor is a reset, and the client starts over.
//
// Call it once after the database was restored from a backup, or after a failover to a standby that
// may have lacked commits: the database may then lack changes that clients know. A late call still
// helps, but until then a client can miss changes. Restored works with every dialect.
func Restored(ctx context.Context, db *sql.DB) error {
	// #nosec G404 -- nothing to guess
	result, err := db.ExecContext(ctx, fmt.Sprint("UPDATE delivery_epoch SET epoch = ", rand.Int64N(1<<53-1)+1))
	if err != nil {
		return fmt.Errorf("sqlstore: beginning a new epoch: %w", err)
	}
	rows, err := result.RowsAffected()
	if err == nil && rows != 1 {
		err = errors.New("the table delivery_epoch has no row")
	}
	if err != nil {
		return fmt.Errorf("sqlstore: beginning a new epoch: %w", err)
	}
	return nil
}

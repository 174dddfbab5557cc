package chaos

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/msgdelivery/delivery/internal/integration/engines"
)

// deadlocks has the nodes run into deadlocks with transactions of someone else.
func deadlocks(r *Run) {
	r.Node.Batch, r.Node.Spread, r.Node.Markers = 60, 20, 8
	r.setting(engines.MySQL, "innodb_snapshot_isolation=ON")
	r.setting(engines.Postgres, "deadlock_timeout=20ms") // after which it gives up the node's transaction
	before := countDeadlocks(r)
	r.start()
	for countDeadlocks(r) == before || r.acknowledged() < r.Marks {
		lockForAWhile(r, time.Second)
	}
	r.figure("deadlocks=%d", countDeadlocks(r)-before)
	v := finish(r)
	if v.Failures > 0 {
		r.Errorf("%d calls failed: %v", v.Failures, v.failures)
	}
}

// lockForAWhile has transactions of someone else lock rows in the wrong order.
func lockForAWhile(r *Run, d time.Duration) {
	if _, err := r.db.ExecContext(r.Context(), `CREATE TABLE IF NOT EXISTS chaos_weight (n integer)`); err != nil {
		r.Fatal(err)
	}
	ctx, stop := context.WithTimeout(r.Context(), d)
	defer stop()
	var others sync.WaitGroup
	for range 2 {
		others.Go(func() {
			for ctx.Err() == nil {
				lockBackwards(ctx, r.db, conversationID(rand.IntN(r.World.Conversations)))
			}
		})
	}
	others.Wait()
}

// lockBackwards locks first the messages of a conversation and then the conversation, for a moment.
func lockBackwards(ctx context.Context, db *sql.DB, conversation string) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return
	}
	defer tx.Rollback()
	var key int64
	if tx.QueryRowContext(ctx, `SELECT conv FROM delivery_conversations WHERE id = '`+conversation+`'`).Scan(&key) != nil {
		return
	}
	// MariaDB gives up the transaction that has changed less, and it is to be the node's.
	weight := fmt.Sprintf(`INSERT INTO chaos_weight (n) VALUES (0)%s`, strings.Repeat(", (0)", 999))
	if _, err := tx.ExecContext(ctx, weight); err != nil {
		return
	}
	for _, table := range []string{"delivery_states", "delivery_conversations"} {
		if _, err := tx.ExecContext(ctx, fmt.Sprintf(`UPDATE %s SET version = version WHERE conv = %d`, table, key)); err != nil {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// calm is so little at a time that a claim takes all there is, and looks beyond the last one.
var calm = Size{World: World{Conversations: 4, Messages: 10, Users: 40}, Marks: 300, Nodes: 2}

// dawdleOverClaims has one node mark and another publish, whose transactions stay open for long
// after their last statement. The publisher is there first: events that piled up before it came
// would fill its claims, which would then never look beyond the last event.
func dawdleOverClaims(r *Run) *Verdict {
	r.Node.Lease, r.Node.Batch, r.Node.Pause = 15*time.Second, 1, 40*time.Millisecond
	publisher := r.startNode(0, func(c *NodeConfig) { c.Markers, c.Harm = 0, dawdling })
	r.until("the publisher runs", publisher.silent.Load)
	r.startNode(1, func(c *NodeConfig) { c.Mute = true })
	r.untilMarks(r.Marks)
	r.quiet()
	if _, err := publisher.stop(); err != nil {
		r.Error(err)
	}
	r.startNode(0, func(c *NodeConfig) { c.Markers = 0 })
	r.settle()
	return r.verdict()
}

// countDeadlocks asks the server how many there have been.
func countDeadlocks(r *Run) (n int) {
	query := `SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()`
	if r.Engine.Kind == engines.MySQL {
		query = `SELECT variable_value FROM information_schema.global_status WHERE variable_name = 'INNODB_DEADLOCKS'`
	}
	if err := r.db.QueryRowContext(r.Context(), query).Scan(&n); err != nil {
		r.Fatal(err)
	}
	return n
}

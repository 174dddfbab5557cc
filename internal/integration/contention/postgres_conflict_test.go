package contention

import (
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/stores"
	"github.com/msgdelivery/delivery/sqlstore"
)

func TestPostgresStoresAnIDOnceAndLeavesNoGap(t *testing.T) {
	stores.EachPostgres(t, func(t *testing.T, db *sql.DB, store *sqlstore.Store) {
		const callers, ids, conversations = 32, 8, 2
		var mu sync.Mutex
		stored := map[string]int{}
		var wg sync.WaitGroup
		for caller := range callers {
			wg.Go(func() {
				for id := range ids {
					m := delivery.NewMessage{Header: delivery.Header{
						ID: fmt.Sprint("m", id), Conversation: fmt.Sprint("c", caller%conversations), Sender: "ann", Open: true, Quorum: 1,
					}}
					created, _, err := createUntilTried(t.Context(), store, m)
					if err != nil {
						t.Error(err)
						return
					}
					if !created[0].Existed {
						mu.Lock()
						stored[created[0].Message.Conversation]++
						mu.Unlock()
					}
				}
			})
		}
		wg.Wait()
		if total := stored["c0"] + stored["c1"]; total != ids {
			t.Errorf("%d ids were stored %d times", ids, total)
		}
		for conversation, n := range stored {
			wantVersions(t, store, conversation, int64(n))
		}
	})
}

func TestPostgresReportsAConflictInTheCallersTransaction(t *testing.T) {
	stores.EachPostgres(t, func(t *testing.T, db *sql.DB, store *sqlstore.Store) {
		openMessage(t, store, "c", "m")
		for _, level := range []sql.IsolationLevel{sql.LevelRepeatableRead, sql.LevelSerializable} {
			user := "bob at " + level.String()
			tx, err := db.BeginTx(t.Context(), &sql.TxOptions{Isolation: level})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := store.InTx(tx).Load(t.Context(), []string{"m"}); err != nil { // takes the snapshot
				t.Fatal(err)
			}
			if _, _, err := store.Advance(t.Context(), []delivery.Mark{stores.MarkBy("before "+user, "m")}, delivery.Lease{}); err != nil {
				t.Fatal(err)
			}
			_, _, err = store.InTx(tx).Advance(t.Context(), []delivery.Mark{stores.MarkBy(user, "m")}, delivery.Lease{})
			if sqlState(err) != "40001" || !errors.Is(err, delivery.ErrTxConflict) || !sqlstore.IsConflict(err) {
				t.Errorf("at %v a conflict is %v", level, err)
			}
			tx.Rollback()
		}
		wantTally(t, store, "m", 2)
	})
}

func TestPostgresDoesNotTakeAMessageForMissingThatTheSnapshotLacks(t *testing.T) {
	stores.EachPostgres(t, func(t *testing.T, db *sql.DB, store *sqlstore.Store) {
		openMessage(t, store, "c", "m")
		for _, level := range []sql.IsolationLevel{sql.LevelReadCommitted, sql.LevelRepeatableRead, sql.LevelSerializable} {
			late := "late at " + level.String()
			run := func(message string) ([]delivery.Marked, error, error) {
				tx, err := db.BeginTx(t.Context(), &sql.TxOptions{Isolation: level})
				if err != nil {
					t.Fatal(err)
				}
				defer tx.Rollback()
				inside := store.InTx(tx)
				if _, err := inside.Load(t.Context(), []string{"m"}); err != nil { // takes the snapshot
					t.Fatal(err)
				}
				if message == late {
					openMessage(t, store, "c "+late, late)
				}
				upTo := delivery.UpTo{Conversation: "c " + late, Message: message, User: "bob", Status: delivery.Delivered, At: time.Now(), Admitted: true}
				if message != late {
					if marked, _, err := inside.AdvanceUpTo(t.Context(), []delivery.UpTo{upTo}, 10, delivery.Lease{}); err != nil || marked[0].Header.ID != "" {
						t.Errorf("at %v a mark up to a message that does not exist is %+v, %v", level, marked, err)
					}
				}
				marked, _, err := inside.Advance(t.Context(), []delivery.Mark{stores.MarkBy("bob", message)}, delivery.Lease{})
				_, _, upToErr := inside.AdvanceUpTo(t.Context(), []delivery.UpTo{upTo}, 10, delivery.Lease{})
				if err == nil {
					err = tx.Commit()
				}
				return marked, err, upToErr
			}
			if marked, err, _ := run("missing"); err != nil || marked[0].Header.ID != "" {
				t.Errorf("at %v a mark of a message that does not exist is %+v, %v", level, marked, err)
			}
			marked, err, upToErr := run(late)
			switch {
			case level == sql.LevelReadCommitted:
				if err != nil || upToErr != nil || !marked[0].Changed {
					t.Errorf("at %v a mark of a message that came late is %+v, %v, up to it %v", level, marked, err, upToErr)
				}
			case !errors.Is(err, delivery.ErrTxConflict) || upToErr == nil:
				t.Errorf("at %v a mark of a message that came late is %+v, %v, and one after it %v", level, marked, err, upToErr)
			}
		}
		var rows int
		if err := db.QueryRow("SELECT count(*) FROM delivery_messages WHERE conv = 0").Scan(&rows); err != nil || rows != 0 {
			t.Errorf("%d rows of no conversation are left, %v", rows, err)
		}
	})
}

func TestPostgresNeverClaimsMoreThanTheLimit(t *testing.T) {
	stores.EachPostgres(t, func(t *testing.T, db *sql.DB, store *sqlstore.Store) {
		const events, limit = 600, 7
		// The planner believes that the outbox is all but empty.
		for _, statement := range []string{
			"alter table delivery_outbox set (autovacuum_enabled = false)",
			"analyze delivery_outbox",
			"insert into delivery_outbox (ready_at, lease, attempts, payload) select now(), 0, 0, '{}' from generate_series(1, " + fmt.Sprint(events) + ")",
		} {
			if _, err := db.Exec(statement); err != nil {
				t.Fatal(err)
			}
		}
		var mu sync.Mutex
		var ids []int64
		var wg sync.WaitGroup
		for worker := range 8 {
			wg.Go(func() {
				for {
					claimed, err := store.Claim(t.Context(), limit, delivery.Lease{Token: int64(worker + 1), For: time.Hour})
					if err != nil || len(claimed) > limit {
						t.Errorf("claimed %d events, %v", len(claimed), err)
						return
					}
					if len(claimed) == 0 {
						return
					}
					mu.Lock()
					for _, c := range claimed {
						ids = append(ids, c.Event.ID)
					}
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		slices.Sort(ids)
		if n := len(slices.Compact(slices.Clone(ids))); n != len(ids) || n != events {
			t.Errorf("of %d events %d were claimed, %d times", events, n, len(ids))
		}
	})
}

func TestPostgresKeepsAReasonWithNUL(t *testing.T) {
	stores.EachPostgres(t, func(t *testing.T, db *sql.DB, store *sqlstore.Store) {
		openMessage(t, store, "c", "m")
		claimed, err := store.Claim(t.Context(), 1, delivery.Lease{Token: 1, For: time.Hour})
		if err != nil || len(claimed) != 1 {
			t.Fatal(claimed, err)
		}
		held, err := store.Settle(t.Context(), []delivery.Settlement{
			{ID: claimed[0].Event.ID, Lease: 1, Outcome: delivery.SettleBury, Reason: "bad\x00\\u0000 gateway"},
		})
		if err != nil || held != 1 {
			t.Fatalf("settled %d, %v", held, err)
		}
		dead, err := store.Dead(t.Context(), 0, 1)
		if err != nil || len(dead) != 1 || dead[0].Reason != "bad\uFFFD\\u0000 gateway" {
			t.Errorf("the dead letters are %+v, %v", dead, err)
		}
	})
}

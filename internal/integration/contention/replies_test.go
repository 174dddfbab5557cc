package contention

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
	"github.com/msgdelivery/delivery/sqlstore"
)

func TestTransactionsThatReadFirstRarelyConflictAtTheDefaultIsolation(t *testing.T) {
	const transactions, most = 250, 5
	for _, kind := range []engines.Kind{engines.Postgres, engines.MySQL} {
		t.Run(string(kind), func(t *testing.T) {
			if got := repliesThatConflict(t, engines.First(kind), sql.LevelDefault, transactions); got > most {
				t.Errorf("%d conflicts in %d transactions, want at most %d", got, transactions, most)
			}
		})
	}
}

// BenchmarkTransactionsThatReadFirst tells how many conflicts a thousand transactions meet, and how
// long one takes until it is committed.
func BenchmarkTransactionsThatReadFirst(b *testing.B) {
	for _, e := range append(engines.All, engines.Variants...) {
		for _, level := range stores.Isolations[e.Kind] {
			b.Run(e.Name+"/"+level.String(), func(b *testing.B) {
				conflicts := repliesThatConflict(b, e, level, b.N)
				b.ReportMetric(float64(conflicts)*1000/float64(b.N), "conflicts/1000tx")
			})
		}
	}
}

// repliesThatConflict has 8 users reply in one conversation at the same time. Each transaction
// reads a table of the app's, sends a reply and marks everything up to it as read. One that
// conflicts is run again after a pause, and counted.
func repliesThatConflict(tb testing.TB, e engines.Engine, level sql.IsolationLevel, transactions int) int64 {
	tb.Helper()
	db, store := stores.Migrated(tb, e)
	db.SetMaxIdleConns(16)
	for _, statement := range []string{"CREATE TABLE notes (id INTEGER PRIMARY KEY)", "INSERT INTO notes VALUES (1)"} {
		if _, err := db.ExecContext(tb.Context(), statement); err != nil {
			tb.Fatal(err)
		}
	}
	tracker, err := delivery.New(store, delivery.NotifierFunc(func(context.Context, []delivery.Event) error { return nil }), &delivery.Options{OpenConversations: true})
	if err != nil {
		tb.Fatal(err)
	}
	users := make([]string, 8)
	for i := range users {
		users[i] = fmt.Sprint("u", i)
	}
	reply := func(user, id string) error {
		tx, err := db.BeginTx(tb.Context(), &sql.TxOptions{Isolation: level})
		if err != nil {
			return err
		}
		defer tx.Rollback()
		var n int
		if err := tx.QueryRowContext(tb.Context(), "SELECT id FROM notes").Scan(&n); err != nil {
			return err
		}
		_, sent := tracker.SendTx(tb.Context(), tx, delivery.Draft{ID: id, Conversation: "c", Sender: user, Audience: delivery.Audience{Recipients: users}})
		if sent != nil {
			return sent
		}
		if _, err := tracker.MarkUpToTx(tb.Context(), tx, delivery.Actor{User: user}, delivery.Read, delivery.MessageRef{Conversation: "c", ID: id}); err != nil {
			return err
		}
		return tx.Commit()
	}
	if b, ok := tb.(*testing.B); ok {
		b.ResetTimer()
	}
	var next, conflicts atomic.Int64
	var writers sync.WaitGroup
	for _, user := range users {
		writers.Go(func() {
			for i := next.Add(1); i <= int64(transactions); i = next.Add(1) {
				for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
					err := reply(user, fmt.Sprint("m", i))
					if err == nil {
						break
					}
					if !sqlstore.IsConflict(err) {
						tb.Error(err)
						return
					}
					conflicts.Add(1)
					time.Sleep(rand.N(pause))
				}
			}
		})
	}
	writers.Wait()
	return conflicts.Load()
}

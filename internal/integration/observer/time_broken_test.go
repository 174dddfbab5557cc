//go:build !race

package observer

import (
	"context"
	"database/sql"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
	"github.com/msgdelivery/delivery/sqlstore"
)

func TestTimesNoticeAPrivateMarkThatTakesTheLockOfTheConversation(t *testing.T) {
	for _, kind := range timed {
		t.Run(string(kind), func(t *testing.T) {
			db, store := stores.Migrated(t, engines.First(kind))
			db.SetMaxIdleConns(16)
			if told := tellApart(t, locking{store, db}, hidingAll, "mark", "delete"); len(told) == 0 {
				t.Error("not noticed")
			}
		})
	}
}

// locking makes a private mark under the lock of the conversation.
type locking struct {
	*sqlstore.Store
	db *sql.DB
}

func (s locking) AdvanceOwn(ctx context.Context, marks []delivery.OwnMark, _ delivery.Lease) ([]delivery.MarkedOwn, []delivery.Claimed, error) {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return nil, nil, err
	}
	defer tx.Rollback()
	var conv int64
	err = tx.QueryRowContext(ctx, "SELECT conv FROM delivery_conversations WHERE id = '"+conversationOf(marks[0].Message)+"' FOR UPDATE").Scan(&conv)
	if err != nil {
		return nil, nil, err
	}
	marked, claimed, err := s.InTx(tx).AdvanceOwn(ctx, marks, delivery.Lease{})
	if err != nil {
		return nil, nil, err
	}
	return marked, claimed, tx.Commit()
}

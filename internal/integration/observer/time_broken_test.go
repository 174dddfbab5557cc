package observer

import (
	"context"
	"database/sql"
	"strings"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
	"github.com/msgdelivery/delivery/sqlstore"
)

func TestTimesNoticeEveryBrokenStore(t *testing.T) {
	for _, kind := range timed {
		for _, test := range []struct {
			name   string
			broken func(store *sqlstore.Store, db *sql.DB) delivery.Store
			shows  []string // in the times of these calls
		}{
			{"a private mark takes the conversation's lock", func(s *sqlstore.Store, db *sql.DB) delivery.Store { return locking{s, db} }, []string{"mark", "delete"}},
			{"answers to others look at private marks", func(s *sqlstore.Store, db *sql.DB) delivery.Store { return &asking{Store: s, db: db} }, []string{"page", "receipts"}},
		} {
			t.Run(string(kind)+"/"+test.name, func(t *testing.T) {
				db, store := stores.Migrated(t, engines.First(kind))
				db.SetMaxIdleConns(16)
				if told := tellApart(t, test.broken(store, db), hidingAll, test.shows...); len(told) == 0 {
					t.Error("not noticed")
				}
			})
		}
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

// conversationOf returns the conversation of a message of [probe].
func conversationOf(message string) string {
	conversation, _, _ := strings.Cut(message, " ")
	return conversation
}

// asking looks at the private marks for each answer about a conversation in which somebody has made
// some.
type asking struct {
	*sqlstore.Store
	private
	db *sql.DB
}

func (s *asking) AdvanceOwn(ctx context.Context, marks []delivery.OwnMark, lease delivery.Lease) ([]delivery.MarkedOwn, []delivery.Claimed, error) {
	s.remember(marks)
	return s.Store.AdvanceOwn(ctx, marks, lease)
}

func (s *asking) ask(ctx context.Context, conversation string) error {
	if !s.in(func(m delivery.OwnMark) bool { return conversationOf(m.Message) == conversation }) {
		return nil
	}
	var n int
	return s.db.QueryRowContext(ctx, `
SELECT count(*) FROM delivery_own o JOIN delivery_readers p ON p.reader = o.reader JOIN delivery_conversations c ON c.conv = p.conv
WHERE c.id = '`+conversation+`'`).Scan(&n)
}

func (s *asking) List(ctx context.Context, list delivery.List) (delivery.Page, error) {
	if err := s.ask(ctx, list.Conversation); err != nil {
		return delivery.Page{}, err
	}
	return s.Store.List(ctx, list)
}

func (s *asking) Receipts(ctx context.Context, list delivery.ReceiptList) (delivery.ReceiptPage, error) {
	if err := s.ask(ctx, conversationOf(list.Message)); err != nil {
		return delivery.ReceiptPage{}, err
	}
	return s.Store.Receipts(ctx, list)
}

func (s *asking) Advance(ctx context.Context, marks []delivery.Mark, lease delivery.Lease) ([]delivery.Marked, []delivery.Claimed, error) {
	if err := s.ask(ctx, conversationOf(marks[0].Message)); err != nil {
		return nil, nil, err
	}
	return s.Store.Advance(ctx, marks, lease)
}

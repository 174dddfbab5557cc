package main

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"testing"

	"github.com/msgdelivery/delivery"
)

func Example() {
	main()
	// Output:
	// alice comments on order 77
	//   order-77: comment-1 is sent, read by 0 of 2
	// user 2 reads it
	//   order-77: comment-1 is sent, read by 1 of 2
	// user 3 reads it
	//   order-77: comment-1 is read, read by 2 of 2
}

func TestComment(t *testing.T) {
	var events int
	s, err := open(t.Context(), filepath.Join(t.TempDir(), "shop.db"), delivery.NotifierFunc(func(_ context.Context, e []delivery.Event) error {
		events += len(e)
		return nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.db.Close() })

	t.Run("a comment that fails leaves neither a row nor a message nor an event", func(t *testing.T) {
		tx, err := s.db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.ExecContext(t.Context(), "INSERT INTO comments VALUES (5, 77, 1, 'lost')"); err != nil {
			t.Fatal(err)
		}
		if _, err := s.tracker.SendTx(t.Context(), tx, delivery.Draft{ID: "comment-5", Conversation: "order-77", Sender: "1", Audience: delivery.Audience{Open: true}}); err != nil {
			t.Fatal(err)
		}
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
		if err := s.tracker.Flush(t.Context()); err != nil || events != 0 {
			t.Errorf("%d events, %v", events, err)
		}
		if _, err := s.tracker.Message(t.Context(), "comment-5"); !errors.Is(err, delivery.ErrNotFound) {
			t.Errorf("the message is there: %v", err)
		}
		if err := s.db.QueryRow("SELECT id FROM comments").Scan(new(int)); !errors.Is(err, sql.ErrNoRows) {
			t.Errorf("the comment is there: %v", err)
		}
	})

	t.Run("only those who watched the order when it was written may mark a comment", func(t *testing.T) {
		id, err := s.comment(t.Context(), 77, 1, "Where is it?")
		if err != nil {
			t.Fatal(err)
		}
		for user, want := range map[int64]error{1: delivery.ErrOwnMessage, 2: nil, 4: delivery.ErrNotRecipient} {
			if _, err := s.tracker.MarkRead(t.Context(), delivery.Actor{User: userID(user)}, commentID(id)); !errors.Is(err, want) {
				t.Errorf("user %d: got %v, want %v", user, err, want)
			}
		}
		if err := s.tracker.Flush(t.Context()); err != nil || events != 2 {
			t.Errorf("%d events, %v", events, err)
		}
	})
}

// Existing-app is a shop that already had users, orders, and comments on orders. It adds ticks to
// the comments. A comment's row, its message and the receipts are written in one transaction, which
// the shop begins and commits.
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/sqlstore"
	_ "modernc.org/sqlite"
)

// schema is the shop's own. The library's tables, named delivery_…, are in the same database.
const schema = `
CREATE TABLE users    (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE watchers (order_id INTEGER NOT NULL, user_id INTEGER NOT NULL, PRIMARY KEY (order_id, user_id));
CREATE TABLE comments (id INTEGER PRIMARY KEY, order_id INTEGER NOT NULL, author_id INTEGER NOT NULL, text TEXT NOT NULL);
INSERT INTO users    VALUES (1, 'alice'), (2, 'bob'), (3, 'carol');
INSERT INTO watchers VALUES (77, 1), (77, 2), (77, 3);
`

type shop struct {
	db      *sql.DB
	tracker *delivery.Tracker
}

// The library's ids are strings, made of the shop's integers.
func userID(id int64) string    { return fmt.Sprint(id) }
func orderID(id int64) string   { return fmt.Sprint("order-", id) }
func commentID(id int64) string { return fmt.Sprint("comment-", id) }

// comment adds a comment to an order. The comment, the message, its receipts and the event that
// will be published are stored together or not at all.
func (s *shop) comment(ctx context.Context, order, author int64, text string) (id int64, err error) {
	if text == "" {
		return 0, errors.New("an empty comment")
	}
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer tx.Rollback()

	row := tx.QueryRowContext(ctx, "INSERT INTO comments (order_id, author_id, text) VALUES (?, ?, ?) RETURNING id", order, author, text)
	if err := row.Scan(&id); err != nil {
		return 0, err
	}
	watchers, err := s.watchers(ctx, tx, order)
	if err != nil {
		return 0, err
	}
	// SendTx comes last, because it locks the conversation until the commit. The body stays in the
	// shop's own table.
	_, err = s.tracker.SendTx(ctx, tx, delivery.Draft{
		ID: commentID(id), Conversation: orderID(order), Sender: userID(author), Audience: delivery.Audience{Recipients: watchers},
	})
	if err != nil {
		return 0, err
	}
	if err := tx.Commit(); err != nil {
		return 0, err
	}
	s.tracker.Wake() // publish now, not at the next poll
	return id, nil
}

func (s *shop) watchers(ctx context.Context, tx *sql.Tx, order int64) ([]string, error) {
	rows, err := tx.QueryContext(ctx, "SELECT user_id FROM watchers WHERE order_id = ?", order)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	watchers := []string{} // not nil: an order that nobody watches has no recipients
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		watchers = append(watchers, userID(id))
	}
	return watchers, rows.Err()
}

// open opens the shop's database and adds the library's tables to it.
func open(ctx context.Context, file string, notifier delivery.Notifier) (*shop, error) {
	// WAL and a busy timeout let readers and writers share the file. With synchronous=FULL a commit
	// survives a power cut. With txlock=immediate a transaction takes the write lock when it
	// begins; otherwise one that reads before it writes fails if another transaction was faster.
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(5000)&_txlock=immediate")
	if err != nil {
		return nil, err
	}
	if _, err := db.ExecContext(ctx, schema); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	if err := sqlstore.Migrate(ctx, db, sqlstore.SQLite); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	store, err := sqlstore.New(db, sqlstore.SQLite)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	tracker, err := delivery.New(store, notifier, &delivery.Options{OpenConversations: true})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &shop{db, tracker}, nil
}

func run(ctx context.Context, file string) error {
	notifier := delivery.NotifierFunc(func(_ context.Context, events []delivery.Event) error {
		for _, e := range events {
			u := e.Updates[0]
			fmt.Printf("  %s: %s is %s, read by %d of %d\n", e.Conversation, u.Message, u.Status, u.Read, u.Total)
		}
		return nil
	})
	s, err := open(ctx, file, notifier)
	if err != nil {
		return err
	}
	defer s.db.Close()

	fmt.Println("alice comments on order 77")
	id, err := s.comment(ctx, 77, 1, "Where is it?")
	if err != nil {
		return err
	}
	for _, user := range []int64{2, 3} {
		if err := s.tracker.Flush(ctx); err != nil { // a server has tracker.Run publish instead
			return err
		}
		fmt.Println("user", user, "reads it")
		if _, err := s.tracker.MarkRead(ctx, delivery.Actor{User: userID(user)}, commentID(id)); err != nil {
			return err
		}
	}
	return s.tracker.Flush(ctx)
}

func main() {
	dir, err := os.MkdirTemp("", "existing-app")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := run(context.Background(), filepath.Join(dir, "shop.db")); err != nil {
		log.Print(err)
	}
}

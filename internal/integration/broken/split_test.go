package broken

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"regexp"
	"sync/atomic"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/cutter"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
)

// A pooler that sends reads to a standby may hide the message that has an id. The sends of that id
// fail, one by one, until the standby shows it. They are never answered as if they were stored, and
// the other messages of the batch are.
func TestATakenIDThatCannotBeReadFailsNoOther(t *testing.T) {
	engines.Each(t, func(t *testing.T, e engines.Engine) {
		database, behind := stores.Database(t, e), stores.Database(t, e)
		plain := database.Open(t)
		split := &splitter{driver: plain.Driver(), dsn: database.DSN, standby: behind.DSN, reads: regexp.MustCompile(`^\s*SELECT (/\*! STRAIGHT_JOIN \*/ )?m\.id[^;]* m\.body`)}
		db := sql.OpenDB(split)
		t.Cleanup(func() { db.Close() })
		store := stores.Open(t, e, db)

		taken := delivery.NewMessage{
			Header: delivery.Header{ID: "taken", Conversation: "c", Sender: "alice", Open: true, Quorum: 1, SentAt: time.Now()}, Body: "first",
		}
		if _, _, err := store.Create(t.Context(), []delivery.NewMessage{taken}, delivery.Lease{}); err != nil {
			t.Fatal(err)
		}
		a, b := taken, taken
		a.ID, b.ID = "a", "b"
		taken.Body = "second"
		create := func(messages ...delivery.NewMessage) ([]delivery.Created, []delivery.Claimed) {
			t.Helper()
			created, claimed, err := store.Create(t.Context(), messages, delivery.Lease{Token: 7, For: time.Hour})
			if err != nil {
				t.Fatal(err)
			}
			return created, claimed
		}

		split.behind.Store(true)
		created, claimed := create(a, taken, b)
		if !errors.Is(created[1].Err, delivery.ErrOutcomeUnknown) || created[1].Message != (delivery.Message{}) {
			t.Errorf("the taken id: %+v", created[1])
		}
		if created[0].Message.Seq != 2 || created[2].Message.Seq != 3 || created[0].Err != nil || created[2].Err != nil || len(claimed) != 2 {
			t.Errorf("its neighbours: %+v, %+v and %d events", created[0], created[2], len(claimed))
		}
		tracker, err := delivery.New(store, delivery.NotifierFunc(func(context.Context, []delivery.Event) error { return nil }), &delivery.Options{OpenConversations: true})
		if err != nil {
			t.Fatal(err)
		}
		draft := delivery.Draft{ID: "taken", Conversation: "c", Sender: "alice", Body: "second", Audience: delivery.Audience{Open: true}}
		if m, err := tracker.Send(t.Context(), draft); !errors.Is(err, delivery.ErrOutcomeUnknown) {
			t.Errorf("Send: %+v, %v", m, err)
		}

		split.behind.Store(false)
		if created, _ := create(taken); !created[0].Existed || created[0].Message.Body != "first" || created[0].Err != nil {
			t.Errorf("once it can be read: %+v", created[0])
		}
		if _, err := tracker.Send(t.Context(), draft); !errors.Is(err, delivery.ErrConflict) {
			t.Errorf("Send, once it can be read: %v", err)
		}
		page, err := store.List(t.Context(), delivery.List{Conversation: "c", Limit: 10})
		if err != nil || len(page.Messages) != 3 || page.Version != 3 {
			t.Errorf("there are %d messages at version %d, %v", len(page.Messages), page.Version, err)
		}
	})
}

// splitter opens connections to a primary that send some reads to a standby which is behind.
type splitter struct {
	driver       driver.Driver
	dsn, standby string
	reads        *regexp.Regexp // those that the standby answers
	behind       atomic.Bool    // whether it does
}

func (s *splitter) Driver() driver.Driver { return s.driver }

func (s *splitter) Connect(context.Context) (driver.Conn, error) {
	primary, err := s.driver.Open(s.dsn)
	if err != nil {
		return nil, err
	}
	standby, err := s.driver.Open(s.standby)
	if err != nil {
		primary.Close()
		return nil, err
	}
	return &splitConn{cutter.Whole(primary), standby, s}, nil
}

type splitConn struct {
	*cutter.Conn
	standby driver.Conn
	split   *splitter
}

func (c *splitConn) answers(statement string) driver.Conn {
	if c.split.behind.Load() && c.split.reads.MatchString(statement) {
		return c.standby
	}
	return c.Conn
}

func (c *splitConn) QueryContext(ctx context.Context, statement string, args []driver.NamedValue) (driver.Rows, error) {
	if queryer, ok := c.answers(statement).(driver.QueryerContext); ok {
		return queryer.QueryContext(ctx, statement, args)
	}
	return nil, driver.ErrSkip // so that it is prepared
}

// Prepare is what database/sql calls for statements that the driver does not take whole.
func (c *splitConn) Prepare(statement string) (driver.Stmt, error) {
	return c.answers(statement).Prepare(statement)
}

func (c *splitConn) Close() error {
	c.standby.Close()
	return c.Conn.Close()
}

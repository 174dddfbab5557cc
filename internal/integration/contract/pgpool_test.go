//go:build !race

package contract

import (
	"context"
	"errors"
	"net/url"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
	"github.com/msgdelivery/delivery/sqlstore"
)

// A pooler that splits reads from writes, with a standby that is behind.
func TestSQLStoreBehindPgpool(t *testing.T) {
	e := engines.First(engines.Postgres)
	pair := e.Pair(t)
	pooler := engines.Pgpool(t, pair)
	standby := pair.OpenStandby(t)
	database := pair.Database(t)
	direct := database.Open(t)
	stores.Migrate(t, e, direct)
	replay := func(what string) {
		t.Helper()
		_, err := standby.ExecContext(t.Context(), "SELECT pg_wal_replay_"+what+"()")
		if err != nil && !sqlstore.IsConflict(err) { // the replay that begins may cancel the statement that began it
			t.Fatal(err)
		}
	}
	caughtUp := func() {
		t.Helper()
		var at string
		if err := direct.QueryRow("SELECT pg_current_wal_lsn()").Scan(&at); err != nil {
			t.Fatal(err)
		}
		for done := false; !done; time.Sleep(10 * time.Millisecond) {
			err := standby.QueryRowContext(t.Context(), "SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn", at).Scan(&done)
			if err != nil && !sqlstore.IsConflict(err) { // a standby cancels queries that are in the way of what it replays
				t.Fatal(err)
			}
		}
	}
	caughtUp()
	replay("pause")

	t.Run("with reads redirected to the primary it keeps the contract", func(t *testing.T) {
		keepsTheContract(t, pooler.Front(t, database, "pgx", url.Values{"application_name": {"delivery"}}), nil)
	})

	t.Run("without, a send of a taken id waits for the standby, and answers of reads are old", func(t *testing.T) {
		store := stores.Open(t, e, pooler.Front(t, database, "pgx", url.Values{"target_session_attrs": {"any"}}).Open(t))
		tracker, err := delivery.New(store, delivery.NotifierFunc(func(context.Context, []delivery.Event) error { return nil }), &delivery.Options{OpenConversations: true})
		if err != nil {
			t.Fatal(err)
		}
		first := delivery.Draft{ID: "pool", Conversation: "pool", Sender: "alice", Body: "first", Audience: delivery.Audience{Recipients: []string{"bob"}}}
		second := first
		second.Body = "second"
		if _, err := tracker.Send(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		for _, draft := range []delivery.Draft{first, second} {
			if m, err := tracker.Send(t.Context(), draft); !errors.Is(err, delivery.ErrOutcomeUnknown) {
				t.Errorf("%q under the taken id: %+v, %v", draft.Body, m, err)
			}
		}
		if r, err := tracker.MarkRead(t.Context(), delivery.Actor{User: "bob"}, "pool"); err != nil || r.Status != delivery.Read {
			t.Errorf("a mark of it: %+v, %v", r, err)
		}
		if _, err := tracker.Message(t.Context(), "pool"); !errors.Is(err, delivery.ErrNotFound) {
			t.Errorf("the message, of which the standby does not know yet: %v", err)
		}
		client := delivery.Cursor{Version: 2}
		if page, err := tracker.Changes(t.Context(), "pool", client, 0); err != nil || !page.Reset {
			t.Errorf("the changes that the standby has for a client ahead of it: %+v, %v", page, err)
		}

		replay("resume")
		caughtUp()
		if m, err := tracker.Send(t.Context(), first); err != nil || m.Body != "first" || m.Status != delivery.Read {
			t.Errorf("the same again, when the standby is there: %+v, %v", m, err)
		}
		if _, err := tracker.Send(t.Context(), second); !errors.Is(err, delivery.ErrConflict) {
			t.Errorf("the other one, when the standby is there: %v", err)
		}
	})
}

package contract

import (
	"database/sql"
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/stores"
	"github.com/msgdelivery/delivery/sqlstore"
)

// Postgres makes the payloads of events in SQL. What a dead letter is to say when it is requeued is
// made in Go, as all events are on the other databases. Both forms say the same of the same event.
func TestPostgresMakesPayloadsAsTheProgramDoes(t *testing.T) {
	stores.EachPostgres(t, func(t *testing.T, db *sql.DB, store *sqlstore.Store) {
		const odd = "\"\\/\b\u2028<é🙂>\x01"
		header := delivery.Header{ID: "m" + odd, Conversation: "c" + odd, Sender: "a" + odd, Total: 2, Quorum: 1, SentAt: time.Now()}
		open := delivery.Header{ID: "n", Conversation: header.Conversation, Sender: "ann", Open: true, Quorum: 2, SentAt: time.Now()}
		_, _, err := store.Create(t.Context(), []delivery.NewMessage{
			{Header: header, Body: "body" + odd, EventBody: true, Roster: "them", Members: []string{"b" + odd, "cem"}, Socket: "1.1" + odd, Trace: "t" + odd},
			{Header: open, Body: "not told"},
		}, delivery.Lease{})
		if err != nil {
			t.Fatal(err)
		}
		mark := func(user, message, socket string, status delivery.Status) delivery.Mark {
			return delivery.Mark{Message: message, User: user, Socket: socket, Status: status, At: time.Now(), Admitted: true, Trace: "t" + user}
		}
		for _, marks := range [][]delivery.Mark{
			{mark("b"+odd, header.ID, "2.2"+odd, delivery.Delivered)},
			{mark("b"+odd, header.ID, "", delivery.Read)},
			{mark("cem", header.ID, "", delivery.Read), mark("dan"+odd, "n", "", delivery.Delivered), mark("eve", "n", "3.3", delivery.Read)},
		} {
			if _, _, err := store.Advance(t.Context(), marks, delivery.Lease{}); err != nil {
				t.Fatal(err)
			}
		}
		upTo := delivery.UpTo{Conversation: header.Conversation, Message: "n", User: "b" + odd, Socket: "4.4", Status: delivery.Read, At: time.Now(), Admitted: true, Trace: "u" + odd}
		if _, _, err := store.AdvanceUpTo(t.Context(), []delivery.UpTo{upTo}, 10, delivery.Lease{}); err != nil {
			t.Fatal(err)
		}

		if _, _, err := store.Delete(t.Context(), []delivery.Deletion{{Message: header.ID, Socket: "5.5" + odd}, {Message: "n", Socket: "5.5" + odd, Trace: "d" + odd}}, delivery.Lease{}); err != nil {
			t.Fatal(err)
		}

		payloads := func() map[int64]any {
			rows, err := db.QueryContext(t.Context(), "SELECT id, payload FROM delivery_outbox")
			if err != nil {
				t.Fatal(err)
			}
			defer rows.Close()
			found := map[int64]any{}
			for rows.Next() {
				var id int64
				var text string
				if err := rows.Scan(&id, &text); err != nil {
					t.Fatal(err)
				}
				var value any
				if err := json.Unmarshal([]byte(text), &value); err != nil {
					t.Fatalf("%v in %s", err, text)
				}
				found[id] = withoutEmpty(value)
			}
			return found
		}
		inSQL := payloads()
		claimed, err := store.Claim(t.Context(), 100, delivery.Lease{Token: 1, For: time.Hour})
		if err != nil || len(claimed) != 8 {
			t.Fatalf("%d events, %v", len(claimed), err)
		}
		var bury, requeue []delivery.Settlement
		for _, c := range claimed {
			bury = append(bury, delivery.Settlement{ID: c.Event.ID, Lease: 1, Outcome: delivery.SettleBury})
			requeue = append(requeue, delivery.Settlement{ID: c.Event.ID, Outcome: delivery.SettleRequeue, Event: c.Event})
		}
		for _, settlements := range [][]delivery.Settlement{bury, requeue} {
			if held, err := store.Settle(t.Context(), settlements); held != len(claimed) || err != nil {
				t.Fatalf("%d of %d, %v", held, len(claimed), err)
			}
		}
		inGo := payloads()
		for id, want := range inSQL {
			if !reflect.DeepEqual(inGo[id], want) {
				t.Errorf("event %d in SQL and in Go:\n%v\n%v", id, want, inGo[id])
			}
		}
	})
}

// withoutEmpty drops the members of objects that are empty texts, 0 or null, which one form may
// leave out and the other may not.
func withoutEmpty(value any) any {
	switch v := value.(type) {
	case []any:
		for i := range v {
			v[i] = withoutEmpty(v[i])
		}
	case map[string]any:
		for key, member := range v {
			if member == "" || member == 0.0 || member == nil {
				delete(v, key)
			} else {
				v[key] = withoutEmpty(member)
			}
		}
	}
	return value
}

package broken

import (
	"context"
	"database/sql"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
	"github.com/msgdelivery/delivery/sqlstore"
)

// silentCalls has a call that uses each method of the store. Some methods leave it to the Tracker
// to return when ctx ends.
func silentCalls(store *sqlstore.Store, tracker *delivery.Tracker) map[string]func(ctx context.Context) error {
	a, b := delivery.Actor{User: "a"}, delivery.Actor{User: "b"}
	return map[string]func(ctx context.Context) error{
		"Create": func(ctx context.Context) error {
			_, err := tracker.Send(ctx, delivery.Draft{ID: "n", Conversation: "c", Sender: "a", Audience: delivery.Audience{Open: true}})
			return err
		},
		"Advance": func(ctx context.Context) error {
			_, err := tracker.MarkRead(ctx, b, "m")
			return err
		},
		"AdvanceUpTo": func(ctx context.Context) error {
			_, err := tracker.MarkUpTo(ctx, b, delivery.Read, delivery.MessageRef{Conversation: "c", ID: "m"})
			return err
		},
		"Delete": func(ctx context.Context) error {
			_, err := tracker.Delete(ctx, a, "m")
			return err
		},
		"Claim": tracker.Flush,
		"AdvanceOwn": func(ctx context.Context) error {
			_, _, err := store.AdvanceOwn(ctx, []delivery.OwnMark{{Message: "m", User: "b", Status: delivery.Read}}, delivery.Lease{})
			return err
		},
		"Load": func(ctx context.Context) error {
			_, err := store.Load(ctx, []string{"m"})
			return err
		},
		"List": func(ctx context.Context) error {
			_, err := store.List(ctx, delivery.List{Conversation: "c", Limit: 1})
			return err
		},
		"Unread": func(ctx context.Context) error {
			_, err := store.Unread(ctx, "b", []string{"c"}, 1)
			return err
		},
		"Receipts": func(ctx context.Context) error {
			_, err := store.Receipts(ctx, delivery.ReceiptList{Message: "m", Limit: 1})
			return err
		},
		"ReceiptsOf": func(ctx context.Context) error {
			_, err := store.ReceiptsOf(ctx, []delivery.ReceiptKey{{Message: "m", Recipient: "b"}})
			return err
		},
		"Settle": func(ctx context.Context) error {
			_, err := store.Settle(ctx, []delivery.Settlement{{ID: 1, Outcome: delivery.SettleDiscard}})
			return err
		},
		"Dead": func(ctx context.Context) error {
			_, err := store.Dead(ctx, 0, 1)
			return err
		},
		"Backlog": func(ctx context.Context) error {
			_, err := store.Backlog(ctx)
			return err
		},
		"Conversations": func(ctx context.Context) error {
			_, err := store.Conversations(ctx, "", 1)
			return err
		},
		"Verify": func(ctx context.Context) error {
			_, err := store.Verify(ctx, "c", 0, 1)
			return err
		},
		"Prune": func(ctx context.Context) error {
			_, err := store.Prune(ctx, delivery.Pruning{Conversation: "c", Before: time.Now(), Limit: 1})
			return err
		},
		"Compact": func(ctx context.Context) error {
			_, err := store.Compact(ctx, delivery.Compaction{Conversation: "c", Before: time.Now(), Limit: 1})
			return err
		},
		"Erase": func(ctx context.Context) error {
			_, err := store.Erase(ctx, "b", 1)
			return err
		},
		"Fail": func(ctx context.Context) error {
			_, _, err := store.Fail(ctx, delivery.NewFailure{Failure: delivery.Failure{Message: "m", Recipient: "b", Code: "lost"}}, delivery.Lease{})
			return err
		},
		"Import": func(ctx context.Context) error {
			header := delivery.Header{ID: "old", Conversation: "c", Sender: "a", Open: true, Quorum: 1, SentAt: time.Now()}
			_, err := store.Import(ctx, []delivery.NewImport{{NewMessage: delivery.NewMessage{Header: header}}})
			return err
		},
		"Overdue": func(ctx context.Context) error {
			rule := delivery.OverdueRule{Name: "late", Status: delivery.Read, After: time.Hour}
			_, err := store.Overdue(ctx, rule, 1, delivery.Lease{Token: 1, For: time.Minute})
			return err
		},
		"SettleOverdue": func(ctx context.Context) error {
			_, err := store.SettleOverdue(ctx, []delivery.OverdueClaim{{Lease: 1}})
			return err
		},
		"CountHour": func(ctx context.Context) error {
			_, err := store.CountHour(ctx)
			return err
		},
		"Hours": func(ctx context.Context) error {
			_, err := store.Hours(ctx, time.Now(), 1)
			return err
		},
	}
}

// Whatever the driver does on a connection on which nothing comes any more, a call ends with its
// ctx.
func TestCallsOnSilentConnectionsEndWithTheirContext(t *testing.T) {
	for _, e := range engines.All {
		if e.Kind == engines.SQLite {
			continue // no connections
		}
		t.Run(e.Name, func(t *testing.T) {
			over, _, wire := wired(t, e)
			store := stores.Open(t, e, over)
			if err := post(t, store, "m"); err != nil {
				t.Fatal(err)
			}
			calls := silentCalls(store, stores.Tracker(t, store))
			methods := reflect.TypeFor[*sqlstore.Store]()
			for i := range methods.NumMethod() {
				m := methods.Method(i)
				if calls[m.Name] == nil && m.Type.NumIn() > 1 && m.Type.In(1) == reflect.TypeFor[context.Context]() {
					t.Errorf("there is no call of %s", m.Name)
				}
			}
			over.SetMaxIdleConns(len(calls))
			var conns []*sql.Conn
			for range calls {
				conn, err := over.Conn(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				conns = append(conns, conn)
			}
			for _, conn := range conns {
				conn.Close()
			}
			wire.swallow()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			ends := make(chan string, len(calls))
			for name, call := range calls {
				go func() {
					if err := call(ctx); !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("%s: %v", name, err)
					}
					ends <- name
				}()
			}
			late := time.After(20 * time.Second) // the kernel gives up after minutes
			for range calls {
				select {
				case <-ends:
				case <-late:
					t.Fatal("a call does not end")
				}
			}
		})
	}
}

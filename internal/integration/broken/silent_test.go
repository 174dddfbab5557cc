package broken

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
)

// Whatever the driver does on a connection on which nothing comes any more, a call that an app
// makes for a user ends with its ctx.
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
			calls := map[string]func(ctx context.Context) error{
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
				"AdvanceOwn": func(ctx context.Context) error {
					_, _, err := store.AdvanceOwn(ctx, []delivery.OwnMark{{Message: "m", User: "b", Status: delivery.Read}}, delivery.Lease{})
					return err
				},
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

package plans

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
)

// A page of large messages ends long before its limit. The database then reads about as many rows
// as for a page of the usual length, and not as many as the limit says.
func TestAPageOfLargeMessagesReadsFewRows(t *testing.T) {
	const messages, size, usual, limit = 300, 32 << 10, 50, 300
	engines.Each(t, func(t *testing.T, e engines.Engine) {
		if rowsRead[e.Kind] == "" {
			return
		}
		db, store := stores.Migrated(t, e)
		body := strings.Repeat("x", size)
		sent := 0
		for batch := range slices.Chunk(make([]delivery.NewMessage, messages), 50) {
			for i := range batch {
				sent++
				batch[i] = delivery.NewMessage{Body: body, Header: delivery.Header{ID: fmt.Sprint("m", sent), Conversation: "c", Sender: "ann", Open: true, Quorum: 1, SentAt: time.Now()}}
			}
			if _, _, err := store.Create(t.Context(), batch, delivery.Lease{}); err != nil {
				t.Fatal(err)
			}
		}
		// read returns how many messages there are on a page, and how many rows were read for it.
		read := func(list delivery.List) (on int, rows int64) {
			t.Helper()
			tx := stores.Begin(t, db)
			defer tx.Rollback()
			inTx := store.InTx(tx)
			before := count(t, tx, rowsRead[e.Kind])
			page, err := inTx.List(t.Context(), list)
			if err != nil {
				t.Fatal(err)
			}
			return len(page.Messages), count(t, tx, rowsRead[e.Kind]) - before
		}
		for _, list := range []delivery.List{
			{Conversation: "c"}, {Conversation: "c", Before: delivery.Latest}, {Conversation: "c", Changes: true},
		} {
			short, long := list, list
			short.Limit, long.Limit, long.Bytes = usual, limit, delivery.MaxPage
			_, want := read(short)
			on, got := read(long)
			if on >= usual || on < 20 || got > want*11/10 {
				t.Errorf("%+v: %d messages by %d rows; a page of %d is read by %d", long, on, got, usual, want)
			}
		}
	})
}

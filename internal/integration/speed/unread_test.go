package speed

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
)

// BenchmarkUnread times what a list of conversations asks for, in one call and in a call for each
// conversation. In each there are so many messages that the user has not read.
func BenchmarkUnread(b *testing.B) {
	for _, unread := range []int{10, delivery.MaxUnread + 100} {
		for _, engine := range engines.All {
			b.Run(fmt.Sprintf("unread=%d/store=%s", unread, engine.Name), func(b *testing.B) {
				_, store := stores.Migrated(b, engine)
				conversations := make([]string, delivery.MaxConversations)
				var messages []delivery.NewMessage
				for i := range conversations {
					conversations[i] = fmt.Sprint("c", i)
					for k := range unread {
						messages = append(messages, delivery.NewMessage{
							Header: delivery.Header{ID: fmt.Sprint(i, " ", k), Conversation: conversations[i], Sender: "ann", SentAt: time.Now()},
							Body:   "Hello!", Roster: "them", Members: []string{"ann", "bob", "cem"},
						})
					}
				}
				for batch := range slices.Chunk(messages, delivery.MaxBatch) {
					if _, _, err := store.Create(b.Context(), batch, delivery.Lease{}); err != nil {
						b.Fatal(err)
					}
				}
				tracker, bob := stores.Tracker(b, store), delivery.Actor{User: "bob"}
				ask := func(b *testing.B, conversations ...string) {
					got, err := tracker.Unread(b.Context(), bob, conversations...)
					if err != nil || got[0].Count != min(unread, delivery.MaxUnread) {
						b.Fatalf("%+v, %v", got, err)
					}
				}
				b.Run("calls=1", func(b *testing.B) {
					for b.Loop() {
						ask(b, conversations...)
					}
				})
				b.Run(fmt.Sprint("calls=", len(conversations)), func(b *testing.B) {
					for b.Loop() {
						for _, c := range conversations {
							ask(b, c)
						}
					}
				})
			})
		}
	}
}

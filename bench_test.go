package delivery_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/memstore"
)

func quiet(context.Context, []delivery.Event) error { return nil }

// BenchmarkMark marks messages that are new to the user, and again.
func BenchmarkMark(b *testing.B) {
	for _, callers := range []int{1, 16, 256} {
		for _, repeated := range []bool{false, true} {
			b.Run(fmt.Sprintf("callers=%d/repeated=%v", callers, repeated), func(b *testing.B) {
				tracker, err := delivery.New(memstore.New(), delivery.NotifierFunc(quiet), &delivery.Options{OpenConversations: true})
				if err != nil {
					b.Fatal(err)
				}
				ids := make([]string, 10_000)
				for i := range ids {
					ids[i] = fmt.Sprint("m", i)
					if _, err := tracker.Send(b.Context(), delivery.Draft{ID: ids[i], Conversation: fmt.Sprint("c", i%1000), Sender: "alice", Audience: delivery.Audience{Open: true}}); err != nil {
						b.Fatal(err)
					}
				}
				users := make([]string, b.N/len(ids)+1)
				for i := range users {
					users[i] = fmt.Sprint("u", i)
				}
				var next atomic.Int64
				b.SetParallelism(callers / 2)
				b.ReportAllocs()
				b.ResetTimer()
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						n := int(next.Add(1)) - 1
						if repeated {
							n %= len(ids)
						}
						if _, err := tracker.MarkRead(b.Context(), delivery.Actor{User: users[n/len(ids)]}, ids[n%len(ids)]); err != nil {
							b.Fatal(err)
						}
					}
				})
			})
		}
	}
}

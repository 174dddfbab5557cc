//go:build !race && !sqlite2

package plans

import (
	"fmt"
	"slices"
	"testing"

	"github.com/msgdelivery/delivery/internal/integration/engines"
)

// timed has the operations that pages of an app wait for.
var timed = []string{"Send", "Mark", "Mark of 500", "MarkUpTo of 10", "Message", "Load of 500", "Receipts", "Unread"}

// BenchmarkConversationOf times a caller alone in a conversation of so many messages, one of ten,
// and counts what the database looks at for it: see [work].
func BenchmarkConversationOf(b *testing.B) {
	for _, messages := range []int{500, 50_000} {
		for _, kind := range []engines.Kind{engines.SQLite, engines.Postgres, engines.MySQL} {
			b.Run(fmt.Sprintf("messages=%d/%s", messages, kind), func(b *testing.B) {
				h := newHistory(b, 10, engines.First(kind))
				h.grow(messages)
				for _, o := range operations {
					if !slices.Contains(timed, o.name) {
						continue
					}
					b.Run(o.name, func(b *testing.B) {
						h.TB = b
						v := h.visitors[0]
						for b.Loop() {
							b.StopTimer()
							this := v.visit()
							b.StartTimer()
							v.do(o, this, false)
						}
						w := v.measure(o, false)
						b.ReportMetric(float64(w.rows), "rows/op")
						b.ReportMetric(float64(w.pages), "pages/op")
					})
				}
			})
		}
	}
}

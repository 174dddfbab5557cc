//go:build !race && !sqlite2

package plans

import (
	"fmt"
	"slices"
	"testing"

	"github.com/msgdelivery/delivery/internal/integration/engines"
)

// An operation looks at no more rows than it needs, however long its conversation is, and whatever
// the server knows of the tables. It may know them as they were when they were made, or when a few
// rows were in them.
func TestPlansStayFlatHoweverLongAConversationIs(t *testing.T) {
	const short, long = 2_000, 50_000
	for _, kind := range []engines.Kind{engines.SQLite, engines.Postgres, engines.MySQL} {
		of := []engines.Engine{engines.First(kind)}
		if kind != engines.SQLite { // whose planner is the same in all drivers
			of = slices.DeleteFunc(slices.Concat(engines.All, engines.Variants), func(e engines.Engine) bool { return e.Kind != kind })
		}
		for _, size := range []struct {
			conversations int
			early         bool // ANALYZE when there is next to nothing
		}{{conversations: 1}, {conversations: 3, early: true}, {conversations: 10}, {conversations: 200}} {
			t.Run(fmt.Sprintf("%s with %d conversations", kind, size.conversations), func(t *testing.T) {
				h := newHistory(t, size.conversations, of...)
				each := func(do func(what string, w work)) {
					for _, v := range h.visitors {
						v.each(func(o operation, inTx bool) {
							what := v.engine.Name + ": " + o.name
							if inTx {
								what += " in a transaction"
							}
							do(what, v.measure(o, inTx))
						})
					}
				}
				if size.early {
					h.analyze()
				}
				h.grow(short)
				needed := map[string]work{}
				each(func(what string, w work) { needed[what] = w })

				h.grow(long)
				for _, late := range []bool{false, true} {
					if late {
						h.analyze()
					}
					each(func(what string, w work) {
						if most := h.most(needed[what]); w.rows > most.rows || w.pages > most.pages {
							t.Errorf("%s: %+v with %d messages, %+v with %d", what, needed[what], short, w, long)
						}
					})
				}
			})
		}
	}
}

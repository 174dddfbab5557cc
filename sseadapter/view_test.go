package sseadapter_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/sseadapter"
)

// view is what a page knows of a conversation: it does what the documentation of deliverywire tells
// it, and reads nothing itself.
type view struct {
	id       string
	messages map[string]delivery.Update
}

func (v *view) apply(t *testing.T, e event) {
	t.Helper()
	if v.id = e.id; e.name == "reset" {
		t.Error("it was reset")
	}
	if e.name != "message" && e.name != "status" {
		return
	}
	for _, u := range payload(t, e).Expand() {
		had := v.messages[u.Message]
		if u.Version <= had.Version {
			continue
		}
		if u.Status < had.Status || u.Delivered < had.Delivered || u.Read < had.Read {
			t.Errorf("%s went back from %+v to %+v", u.Message, had, u)
		}
		v.messages[u.Message] = u
	}
}

func TestWhateverTheBusDoesEveryViewBecomesTheStores(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 0))
			bus := new(lossy)
			w := newWorld(t, bus, nil, &sseadapter.Options{Buffer: 5000})
			var late []delivery.Event
			views := make([]view, 5)
			tapes := make([]*tape, len(views))
			hear := func(i int) {
				for _, e := range tapes[i].next() {
					views[i].apply(t, e)
				}
			}
			start := w.position("c1")
			for i := range views {
				views[i] = view{id: start, messages: make(map[string]delivery.Update)}
				tapes[i] = w.open("bob", "conversation=c1", start)
			}
			bus.lose(func(e delivery.Event) bool {
				switch random.IntN(10) {
				case 0: // for good
					return true
				case 1:
					late = append(late, e)
					return true
				}
				return false
			})
			for n := range 300 {
				switch random.IntN(8) {
				case 0, 1, 2:
					w.send("c1", fmt.Sprint("m", n))
				case 3, 4:
					_, _ = w.tracker.MarkRead(t.Context(), delivery.Actor{User: []string{"bob", "carol"}[random.IntN(2)]}, fmt.Sprint("m", random.IntN(n+1)))
				case 5:
					w.flush()
				case 6:
					time.Sleep(time.Duration(random.IntN(2000)) * time.Millisecond)
					if len(late) > 0 {
						_ = bus.LocalBus.Publish(t.Context(), late[:1])
						late = late[1:]
					}
				case 7:
					i := random.IntN(len(views))
					hear(i)
					if random.IntN(5) == 0 {
						bus.cut()
					} else {
						tapes[i].leave()
						<-tapes[i].ended
						tapes[i] = w.open("bob", "conversation=c1", views[i].id)
					}
				}
				synctest.Wait()
			}
			bus.lose(nil)
			w.send("c1", "last")
			w.flush()
			time.Sleep(10 * time.Second)
			synctest.Wait()
			for i := range views {
				hear(i)
			}
			w.compare(views)
		})
	}
}

// compare compares views with the store's.
func (w *world) compare(views []view) {
	w.Helper()
	want := make(map[string]delivery.Update)
	for after, more := int64(0), true; more; {
		page, err := w.tracker.Messages(w.Context(), delivery.Query{Conversation: "c1", After: after, Limit: delivery.MaxBatch})
		if err != nil {
			w.Fatal(err)
		}
		for _, m := range page.Messages {
			want[m.ID] = delivery.Update{Version: m.Version, Status: m.Status, Delivered: m.Delivered, Read: m.Read}
			after = m.Seq
		}
		more = page.More
	}
	for i, v := range views {
		if len(v.messages) != len(want) || v.id != w.position("c1") {
			w.Errorf("view %d has %d messages of %d, and is at %s of %s", i, len(v.messages), len(want), v.id, w.position("c1"))
		}
		for id, m := range want {
			got := v.messages[id]
			if got.Version != m.Version || got.Status != m.Status || got.Delivered != m.Delivered || got.Read != m.Read {
				w.Errorf("view %d: %s is %+v, want %+v", i, id, got, m)
			}
		}
	}
}

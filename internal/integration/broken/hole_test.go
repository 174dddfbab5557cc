//go:build !race

package broken

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
)

// Connections on which nothing comes any more, and no end either, as when a firewall forgets them,
// hold marks up for as long as their callers have patience, and not for as long as there are such
// connections in the pool. The goal wants a machine that does little else, so that CI runs the test
// by itself: there it was 5.0 to 5.7 s.
func TestMarksFlowAgainAfterConnectionsFellSilent(t *testing.T) {
	const patience, goal, callers, idle = 5 * time.Second, 6 * time.Second, 16, 10
	for _, e := range engines.All {
		if e.Kind == engines.SQLite {
			continue // no connections
		}
		t.Run(e.Name, func(t *testing.T) {
			t.Parallel()
			over, _, wire := wired(t, e)
			over.SetMaxIdleConns(idle)
			tracker, err := delivery.New(stores.Open(t, e, over), delivery.NotifierFunc(func(context.Context, []delivery.Event) error { return nil }), &delivery.Options{OpenConversations: true})
			if err != nil {
				t.Fatal(err)
			}
			running, stop := context.WithCancel(t.Context())
			var relay sync.WaitGroup
			relay.Go(func() { tracker.Run(running) })
			defer relay.Wait()
			defer stop()
			var conns [idle]interface{ Close() error }
			for n := range conns {
				if conns[n], err = over.Conn(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			for _, conn := range conns {
				conn.Close()
			}

			// send sends and marks, in a conversation that nobody locks, until somebody has enough.
			var calls sync.WaitGroup
			enough := make(chan struct{})
			marked := make(chan time.Time, 1)
			send := func(caller int) {
				for n := 0; ; n++ {
					ctx, cancel := context.WithTimeout(t.Context(), patience)
					m, err := tracker.Send(ctx, delivery.Draft{Conversation: fmt.Sprint(caller, " ", n), Sender: "alice", Audience: delivery.Audience{Recipients: []string{"bob"}}})
					cancel()
					if err == nil {
						ctx, cancel := context.WithTimeout(t.Context(), patience)
						_, err = tracker.MarkRead(ctx, delivery.Actor{User: "bob"}, m.ID)
						cancel()
					}
					if err == nil {
						select {
						case marked <- time.Now():
						default:
						}
					}
					select {
					case <-enough:
						return
					default:
					}
				}
			}
			for caller := range callers {
				calls.Go(func() { send(caller) })
			}
			defer calls.Wait()
			defer close(enough)
			for began := time.Now(); time.Since(began) < time.Second; {
				<-marked
			}
			began := time.Now()
			wire.swallow()
			late := time.After(3 * goal)
			for {
				select {
				case at := <-marked:
					if waited := at.Sub(began); waited > goal {
						t.Errorf("marks flow again after %v, want %v", waited, goal)
					} else if waited < time.Second {
						continue // it was answered before
					} else {
						t.Logf("marks flow again after %v", waited)
					}
				case <-late:
					t.Errorf("no mark succeeds within %v", 3*goal)
				}
				return
			}
		})
	}
}

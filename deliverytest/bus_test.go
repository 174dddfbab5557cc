package deliverytest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/clone"
)

// wire is a bus that fails, hangs and loses its subscribers on demand.
type wire struct {
	delivery.LocalBus
	failing, hanging atomic.Bool

	mu  sync.Mutex
	cut context.CancelCauseFunc
}

var errCut = errors.New("the connection broke")

func (w *wire) Publish(ctx context.Context, events []delivery.Event) error {
	switch {
	case w.failing.Load():
		return errors.New("the bus failed")
	case w.hanging.Load():
		<-ctx.Done()
		return ctx.Err()
	}
	return w.LocalBus.Publish(ctx, events)
}

func (w *wire) Subscribe(ctx context.Context, hear func(delivery.Event)) error {
	ctx, cut := context.WithCancelCause(ctx)
	defer cut(nil)
	w.mu.Lock()
	w.cut = cut
	w.mu.Unlock()
	if err := w.LocalBus.Subscribe(ctx, hear); err != nil {
		return err
	}
	if errors.Is(context.Cause(ctx), errCut) {
		return errCut
	}
	return nil
}

// ends returns the ends of a new wire, here and there as make makes them of it.
func ends(make func(*wire) delivery.Bus) BusEnds {
	w := new(wire)
	bus := make(w)
	return BusEnds{
		Here: bus, There: bus,
		Cut: func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.cut(errCut)
		},
		Fail: func() { w.failing.Store(true) },
		Hang: func() { w.hanging.Store(true) },
	}
}

func TestASoundBusPasses(t *testing.T) {
	TestBus(t, func(*testing.T) BusEnds { return ends(func(w *wire) delivery.Bus { return w }) })
}

func TestWhatABusHasNoMeansForIsSkipped(t *testing.T) {
	for _, c := range busCases {
		bus := new(delivery.LocalBus)
		needs := strings.HasPrefix(c.rule, "a subscriber that may have lost") || strings.HasPrefix(c.rule, "a bus that fails") || strings.HasPrefix(c.rule, "Publish and Subscribe return soon")
		if tr := try(t, func(tb testing.TB) { c.run(tb, BusEnds{Here: bus, There: bus}) }); tr.skipped != needs || tr.failed {
			t.Errorf("%q: skipped %t and failed %t, want skipped %t", c.rule, tr.skipped, tr.failed, needs)
		}
	}
}

// changed is a wire with another Publish, or Subscribe.
type changed struct {
	*wire
	publish   func(context.Context, []delivery.Event) error
	subscribe func(context.Context, func(delivery.Event)) error
}

func (c changed) Publish(ctx context.Context, events []delivery.Event) error {
	if c.publish == nil {
		return c.wire.Publish(ctx, events)
	}
	return c.publish(ctx, events)
}

func (c changed) Subscribe(ctx context.Context, hear func(delivery.Event)) error {
	if c.subscribe == nil {
		return c.wire.Subscribe(ctx, hear)
	}
	return c.subscribe(ctx, hear)
}

func TestBrokenBusesFailByName(t *testing.T) {
	for _, b := range []struct {
		name  string
		bus   func(*wire) delivery.Bus
		rules []string
	}{
		{"it loses the last of many events", func(w *wire) delivery.Bus {
			return changed{wire: w, publish: func(ctx context.Context, events []delivery.Event) error {
				return w.Publish(ctx, events[:min(100, len(events))])
			}}
		}, []string{"many events at once"}},
		{"it drops the socket", func(w *wire) delivery.Bus {
			return changed{wire: w, publish: func(ctx context.Context, events []delivery.Event) error {
				events = slices.Clone(events)
				for i := range events {
					events[i].Except = ""
				}
				return w.Publish(ctx, events)
			}}
		}, []string{"an event arrives whole"}},
		{"it tells one subscriber only", func(w *wire) delivery.Bus {
			var taken atomic.Bool
			return changed{wire: w, subscribe: func(ctx context.Context, hear func(delivery.Event)) error {
				if taken.Swap(true) {
					hear(delivery.Event{})
					<-ctx.Done()
					return nil
				}
				return w.Subscribe(ctx, hear)
			}}
		}, []string{"every subscriber"}},
		{"it sorts what it is given", func(w *wire) delivery.Bus {
			return changed{wire: w, publish: func(ctx context.Context, events []delivery.Event) error {
				slices.Reverse(events)
				return w.Publish(ctx, events)
			}}
		}, []string{"Publish neither keeps nor changes"}},
		{"it fails without subscribers", func(w *wire) delivery.Bus {
			var subscribed atomic.Bool
			return changed{wire: w, publish: func(ctx context.Context, events []delivery.Event) error {
				if !subscribed.Load() {
					return errors.New("nobody is there")
				}
				return w.Publish(ctx, events)
			}, subscribe: func(ctx context.Context, hear func(delivery.Event)) error {
				subscribed.Store(true)
				return w.Subscribe(ctx, hear)
			}}
		}, []string{"without a subscriber"}},
		{"it says nothing of losses", func(w *wire) delivery.Bus {
			return changed{wire: w, subscribe: func(ctx context.Context, hear func(delivery.Event)) error {
				begun := false
				for ctx.Err() == nil {
					_ = w.Subscribe(ctx, func(e delivery.Event) {
						if e.Kind != 0 || !begun {
							hear(e)
						}
						begun = true
					})
				}
				return nil
			}}
		}, []string{"a subscriber that may have lost"}},
		{"it goes on after Subscribe has returned", func(w *wire) delivery.Bus {
			return changed{wire: w, subscribe: func(ctx context.Context, hear func(delivery.Event)) error {
				on, stop := context.WithTimeout(context.WithoutCancel(ctx), soon)
				go func() {
					defer stop()
					_ = w.Subscribe(on, hear)
				}()
				<-ctx.Done()
				return nil
			}}
		}, []string{"Subscribe returns nil soon"}},
		{"it hears on after Subscribe has returned", func(w *wire) delivery.Bus {
			return changed{wire: w, subscribe: func(ctx context.Context, hear func(delivery.Event)) error {
				events := make(chan delivery.Event, 100)
				defer close(events)
				go func() {
					for e := range events {
						hear(e)
					}
				}()
				return w.Subscribe(ctx, func(e delivery.Event) { events <- e })
			}}
		}, []string{"no call of hear is under way"}},
		{"it forgets whom an event is for", func(w *wire) delivery.Bus {
			return changed{wire: w, publish: func(ctx context.Context, events []delivery.Event) error {
				events = slices.Clone(events)
				for i := range events {
					events[i].User = ""
				}
				return w.Publish(ctx, events)
			}}
		}, []string{"an event arrives whole"}},
		{"it knows neither floors nor failures", func(w *wire) delivery.Bus {
			return changed{wire: w, publish: func(ctx context.Context, events []delivery.Event) error {
				events = clone.Events(events)
				for _, e := range events {
					for i := range e.Updates {
						e.Updates[i].Floor, e.Updates[i].Failed = 0, 0
					}
				}
				return w.Publish(ctx, events)
			}}
		}, []string{"an event arrives whole"}},
		{"it returns the error of its ctx", func(w *wire) delivery.Bus {
			return changed{wire: w, subscribe: func(ctx context.Context, hear func(delivery.Event)) error {
				if err := w.Subscribe(ctx, hear); err != nil {
					return err
				}
				return ctx.Err()
			}}
		}, []string{"Subscribe returns nil soon"}},
		{"it calls hear on several goroutines", func(w *wire) delivery.Bus {
			return changed{wire: w, subscribe: func(ctx context.Context, hear func(delivery.Event)) error {
				var calls sync.WaitGroup
				defer calls.Wait()
				return w.Subscribe(ctx, func(e delivery.Event) {
					if e.Kind == 0 {
						hear(e)
						return
					}
					calls.Go(func() { hear(e) })
				})
			}}
		}, []string{"Publish may be called by several"}},
		{"it swallows failures", func(w *wire) delivery.Bus {
			return changed{wire: w, publish: func(ctx context.Context, events []delivery.Event) error {
				_ = w.Publish(ctx, events)
				return nil
			}}
		}, []string{"a bus that fails", "Publish and Subscribe return soon", "after ctx has ended"}},
		{"it says nothing first", func(w *wire) delivery.Bus {
			return changed{wire: w, subscribe: func(ctx context.Context, hear func(delivery.Event)) error {
				return w.Subscribe(ctx, func(e delivery.Event) {
					if e.Kind != 0 {
						hear(e)
					}
				})
			}}
		}, []string{"a subscriber hears the zero Event first"}},
	} {
		t.Run(b.name, func(t *testing.T) {
			for _, rule := range b.rules {
				i := slices.IndexFunc(busCases, func(c busCase) bool { return strings.HasPrefix(c.rule, rule) })
				if i < 0 {
					t.Fatalf("no rule begins with %q", rule)
				}
				c := busCases[i]
				synctest.Test(t, func(t *testing.T) { // waits for what never comes in no time
					try(t, func(tb testing.TB) { c.run(tb, ends(b.bus)) }).mustFail(t, c.rule)
					time.Sleep(soon) // what goes on after its end, ends
				})
			}
		})
	}
}

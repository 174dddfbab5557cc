package deliverytest

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/clone"
)

// side is the other side of a notifier: it accepts all events but one, until it fails or hangs. It
// tells clients of the events that it accepts.
type side struct {
	Recorder
	failing, hanging atomic.Bool
	alter            func(to *publication, event *delivery.Event) // of what clients are told

	mu        sync.Mutex
	published []publication
}

// publication is what the clients of a channel are told, except for one.
type publication struct {
	channel, except string
	data            []byte
}

func (s *side) TakesOwn() bool { return true }

// publish tells the clients of an event.
func (s *side) publish(event delivery.Event) {
	p := publication{channel: event.Conversation, except: event.Except}
	if event.Kind == delivery.OwnChanged {
		p.channel = "devices of " + event.User
	}
	event.Except, event.User, event.Trace = "", "", nil
	if s.alter != nil {
		s.alter(&p, &event)
	}
	p.data, _ = json.Marshal(event)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.published = append(s.published, p)
}

// sent returns what a client has been told.
func (s *side) sent(channel, socket string) (all [][]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.published {
		if p.channel == channel && p.except != socket {
			all = append(all, p.data)
		}
	}
	return all
}

func (s *side) Notify(ctx context.Context, events []delivery.Event) error {
	switch {
	case s.failing.Load():
		return errors.New("the endpoint failed")
	case s.hanging.Load():
		<-ctx.Done()
		return ctx.Err()
	}
	if err := s.Recorder.Notify(ctx, events); err != nil {
		return err
	}
	for _, event := range clone.Events(events) {
		s.publish(event)
	}
	return nil
}

// endpoint returns an endpoint over a new side, with the notifier that make makes of it.
func endpoint(make func(*side) delivery.Notifier) Endpoint {
	s := new(side)
	return Endpoint{
		Notifier: make(s),
		Accepted: func(event delivery.Event) bool {
			return slices.ContainsFunc(s.Events(), func(e delivery.Event) bool { return diff("", e, event) == "" })
		},
		Sent:      s.sent,
		Refusable: delivery.Event{ID: 99, Kind: delivery.MessageSent, Conversation: "refused", Updates: []delivery.Update{{Message: "m"}}},
		Fail:      func() { s.failing.Store(true) },
		Hang:      func() { s.hanging.Store(true) },
	}
}

// sound returns a notifier that keeps the contract.
func sound(s *side) delivery.Notifier {
	return RefusingNotifier(s, func(event delivery.Event) error {
		if event.Conversation == "refused" {
			return errors.New("refused")
		}
		return nil
	})
}

func TestASoundNotifierPasses(t *testing.T) {
	TestNotifier(t, func(*testing.T) Endpoint { return endpoint(sound) })
}

func TestSoundNotifiersTogetherPass(t *testing.T) {
	TestNotifier(t, func(*testing.T) Endpoint {
		return endpoint(func(s *side) delivery.Notifier { return delivery.Notifiers(sound(s), sound(s)) })
	})
}

func TestWhatAnEndpointHasNoMeansForIsSkipped(t *testing.T) {
	for _, c := range notifierCases {
		e := endpoint(sound)
		e.Fail, e.Hang, e.Sent, e.Refusable = nil, nil, nil, delivery.Event{}
		needs := strings.HasPrefix(c.rule, "an endpoint that fails") || strings.HasPrefix(c.rule, "Notify returns soon") || strings.HasPrefix(c.rule, "a refused event")
		if tr := try(t, func(tb testing.TB) { c.run(tb, e) }); tr.skipped != needs || tr.failed {
			t.Errorf("%q: skipped %t and failed %t, want skipped %t", c.rule, tr.skipped, tr.failed, needs)
		}
	}
}

func TestBrokenNotifiersFailByName(t *testing.T) {
	for _, b := range []struct {
		name     string
		notifier func(*side) delivery.Notifier
		rules    []string
	}{
		{"it accepts only ten events a call", func(s *side) delivery.Notifier {
			return delivery.NotifierFunc(func(ctx context.Context, events []delivery.Event) error {
				return s.Notify(ctx, events[:min(10, len(events))])
			})
		}, []string{"when Notify returns nil"}},
		{"it swallows events of kinds that it does not know", func(s *side) delivery.Notifier {
			return faultyNotifier{s, func(ctx context.Context, events []delivery.Event) error {
				events = slices.DeleteFunc(slices.Clone(events), func(e delivery.Event) bool { return e.Kind == delivery.MessageDeleted })
				return s.Notify(ctx, events)
			}}
		}, []string{"events of every kind"}},
		{"it tells of the first update alone", func(s *side) delivery.Notifier {
			return faultyNotifier{s, func(ctx context.Context, events []delivery.Event) error {
				events = slices.Clone(events)
				for i := range events {
					events[i].Updates = events[i].Updates[:1]
				}
				return s.Notify(ctx, events)
			}}
		}, []string{"events of every kind"}},
		{"it tells the conversation what is for one user's devices", func(s *side) delivery.Notifier {
			s.alter = func(to *publication, event *delivery.Event) {
				if event.Kind == delivery.OwnChanged {
					to.channel = event.Updates[0].Own.Conversation
				}
			}
			return s
		}, []string{"what is for one user's devices"}},
		{"it tells the socket that made the change", func(s *side) delivery.Notifier {
			s.alter = func(to *publication, _ *delivery.Event) { to.except = "" }
			return s
		}, []string{"the socket that made a change"}},
		{"it tells clients which socket it was", func(s *side) delivery.Notifier {
			s.alter = func(to *publication, event *delivery.Event) { event.Except = to.except }
			return s
		}, []string{"the socket that made a change"}},
		{"it tells clients the traces", func(s *side) delivery.Notifier {
			s.alter = func(_ *publication, event *delivery.Event) { event.Trace = []string{"a trace for servers"} }
			return s
		}, []string{"the socket that made a change"}},
		{"it tells nobody in the conversation", func(s *side) delivery.Notifier {
			s.alter = func(to *publication, _ *delivery.Event) { to.channel += "?" }
			return s
		}, []string{"the socket that made a change"}},
		{"it refuses what came before", func(s *side) delivery.Notifier {
			return RefusingNotifier(s, func(event delivery.Event) error {
				if slices.ContainsFunc(s.Events(), func(e delivery.Event) bool { return e.ID == event.ID }) {
					return errors.New("known")
				}
				return nil
			})
		}, []string{"an event may come again"}},
		{"it fails when it is busy", func(s *side) delivery.Notifier {
			var busy sync.Mutex
			return delivery.NotifierFunc(func(ctx context.Context, events []delivery.Event) error {
				if !busy.TryLock() {
					return errors.New("busy")
				}
				defer busy.Unlock()
				<-time.After(time.Millisecond)
				return s.Notify(ctx, events)
			})
		}, []string{"Notify may be called by several"}},
		{"it sorts what it is given", func(s *side) delivery.Notifier {
			return delivery.NotifierFunc(func(ctx context.Context, events []delivery.Event) error {
				slices.Reverse(events)
				return s.Notify(ctx, events)
			})
		}, []string{"Notify neither keeps nor changes"}},
		{"it blames the events when the endpoint fails", func(s *side) delivery.Notifier {
			return delivery.NotifierFunc(func(ctx context.Context, events []delivery.Event) error {
				if err := s.Notify(ctx, events); err != nil {
					return delivery.Refused(map[int]error{0: err})
				}
				return nil
			})
		}, []string{"an endpoint that fails", "Notify returns soon"}},
		{"it swallows failures", func(s *side) delivery.Notifier {
			return delivery.NotifierFunc(func(ctx context.Context, events []delivery.Event) error {
				s.Notify(ctx, events)
				return nil
			})
		}, []string{"an endpoint that fails", "Notify returns soon", "after ctx has ended", "a refused event"}},
		{"it loses its way in the indexes", func(s *side) delivery.Notifier {
			return delivery.NotifierFunc(func(ctx context.Context, events []delivery.Event) error {
				if sound(s).Notify(ctx, events) != nil {
					return delivery.Refused(map[int]error{0: errors.New("refused")})
				}
				return nil
			})
		}, []string{"a refused event"}},
		{"it gives up at a refused event", func(s *side) delivery.Notifier {
			return delivery.NotifierFunc(func(ctx context.Context, events []delivery.Event) error {
				for i := range events {
					if err := sound(s).Notify(ctx, events[i:i+1]); err != nil {
						return delivery.Refused(map[int]error{i: err})
					}
				}
				return nil
			})
		}, []string{"a refused event"}},
	} {
		t.Run(b.name, func(t *testing.T) {
			for _, rule := range b.rules {
				i := slices.IndexFunc(notifierCases, func(c notifierCase) bool { return strings.HasPrefix(c.rule, rule) })
				if i < 0 {
					t.Fatalf("no rule begins with %q", rule)
				}
				c := notifierCases[i]
				try(t, func(tb testing.TB) { c.run(tb, endpoint(b.notifier)) }).mustFail(t, c.rule)
			}
		})
	}
}

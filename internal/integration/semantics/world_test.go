package semantics

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/msgdelivery/delivery"
)

// world is the conversation of one row. alice has sent m1 and m2 into it, which are for bob, carol
// and erin, and sends m3 in some rows.
type world struct {
	*testing.T
	ctx     context.Context
	store   keeper
	tracker *delivery.Tracker
	prefix  string          // of all names, so that rows can share a database
	members map[string]bool // whom the app's rule lets in
	to      actor           // whose row it is
	refuses bool            // the Notifier, everything for good
	heard   []delivery.Event
}

// keeper is what the stores can do.
type keeper interface {
	delivery.Keeper
	delivery.FailureStore
	delivery.ImportStore
}

func newWorld(t *testing.T, store keeper, prefix string) *world {
	t.Helper()
	w := &world{T: t, ctx: t.Context(), store: store, prefix: prefix, members: map[string]bool{"alice": true, "bob": true, "carol": true, "erin": true, "dave": true}}
	tracker, err := delivery.New(store, delivery.OwnNotifierFunc(w.notify), &delivery.Options{
		Logger: slog.New(slog.DiscardHandler),
		Authorize: func(_ context.Context, user string, _ delivery.Action, _ string) (bool, error) {
			return w.members[strings.TrimPrefix(user, prefix)], nil
		},
	})
	w.must(err)
	w.tracker = tracker
	return w
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) of(id string) string { return w.prefix + id }

func (w *world) ref(id string) delivery.MessageRef {
	return delivery.MessageRef{Conversation: w.of("c"), ID: w.of(id)}
}

func (w *world) notify(_ context.Context, events []delivery.Event) error {
	refused := map[int]error{}
	for i, e := range events {
		if w.refuses {
			refused[i] = delivery.Permanent(errors.New("not this one"))
			continue
		}
		w.heard = append(w.heard, e)
	}
	return delivery.Refused(refused)
}

// send has a message sent, which is open or for bob, carol and erin, to the audience of an actor's
// row.
func (w *world) send(sender delivery.Actor, id string, to actor) (delivery.Message, error) {
	return w.tracker.Send(w.ctx, w.draft(sender, id, to))
}

func (w *world) draft(sender delivery.Actor, id string, to actor) delivery.Draft {
	d := delivery.Draft{ID: w.of(id), Conversation: w.of("c"), Sender: sender.User, Socket: sender.Socket, Body: "hi"}
	if d.Open = to.open; !to.open {
		for _, user := range []string{"alice", "bob", "carol", "erin"} {
			d.Recipients = append(d.Recipients, w.of(user))
		}
	}
	if to.cap != nil {
		to.cap(&d.Audience, w.of(to.user))
	}
	return d
}

// row makes one call, and returns what it did.
func (w *world) row(a actor, o operation) []string {
	w.Helper()
	w.to = a
	if o.first != nil {
		w.must(o.first(w))
	}
	for _, id := range []string{"m1", "m2"} {
		_, err := w.send(delivery.Actor{User: w.of("alice")}, id, a)
		w.must(err)
	}
	is := delivery.Actor{User: w.of(a.user), Socket: "1.1"}
	if a.before != nil {
		w.must(a.before(w, is, o))
	}
	if o.before != nil {
		w.must(o.before(w, is))
	}
	w.must(w.tracker.Flush(w.ctx))
	w.heard = nil

	before := w.look(is.User)
	answer, err := o.call(w, is)
	w.must(w.tracker.Flush(w.ctx))
	after := w.look(is.User)

	if err != nil {
		name, refused := refusal(err)
		if !refused {
			w.Fatalf("%s by the %s: %v", o.name, a.name, err)
		}
		answer = name
	}
	return []string{
		change(before.others, after.others, o.messages), changes(before.own, after.own, o.messages, before.badge, after.badge),
		w.version(before, after), w.sent(is), answer,
	}
}

// refusal returns the name of an error that is a refusal.
func refusal(err error) (name string, is bool) {
	for name, known := range map[string]error{
		"ErrOwnMessage": delivery.ErrOwnMessage, "ErrNotRecipient": delivery.ErrNotRecipient, "ErrForbidden": delivery.ErrForbidden,
		"ErrNotFound": delivery.ErrNotFound, "ErrGone": delivery.ErrGone, "ErrConflict": delivery.ErrConflict,
	} {
		if errors.Is(err, known) {
			return "`" + name + "`", true
		}
	}
	if invalid := (*delivery.InvalidError)(nil); errors.As(err, &invalid) {
		return "`InvalidError` of " + invalid.Field, true
	}
	return "", false
}

// attempt drops the error of a call that may be refused.
func attempt(_ string, err error) error {
	if _, refused := refusal(err); refused {
		return nil
	}
	return err
}

// sent says of which kinds the events are.
func (w *world) sent(by delivery.Actor) string {
	var kinds []string
	for _, e := range w.heard {
		what := e.Kind.String()
		if e.Kind == delivery.OwnChanged && e.User != by.User {
			what += " of another"
		}
		if e.Except != by.Socket && e.Kind != delivery.Pruned {
			what += " to all"
		}
		kinds = append(kinds, what)
	}
	slices.Sort(kinds)
	if len(kinds) == 0 {
		return none
	}
	return strings.Join(kinds, ", ")
}

// version says how many versions were taken, and what a client that had the last one is told.
func (w *world) version(before, after view) string {
	if after.version == before.version {
		return none
	}
	page, err := w.tracker.Changes(w.ctx, w.of("c"), delivery.Cursor{Version: before.version, Epoch: before.epoch}, 0)
	w.must(err)
	var told []string
	for _, m := range page.Messages {
		id := strings.TrimPrefix(m.ID, w.prefix)
		if m.Deleted {
			id += " deleted"
		}
		told = append(told, id)
	}
	if page.Floor > before.floor {
		told = append(told, "floor")
	}
	return fmt.Sprintf("+%d: %s", after.version-before.version, strings.Join(told, ", "))
}

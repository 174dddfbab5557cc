package observer

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/msgdelivery/delivery"
)

// world runs one sequence, and writes down all that others than bob get to know.
type world struct {
	ctx     context.Context
	tracker *delivery.Tracker
	prefix  string // of all ids, so that sequences can share a database
	refuses bool   // the endpoint, the next events that are not bob's own
	heard   []string
	cursors map[string]delivery.Cursor
	log     strings.Builder
}

// newWorld returns a world. takesOwn says that its Notifier takes events that are for one user's
// devices alone.
func newWorld(ctx context.Context, store delivery.Store, prefix string, takesOwn bool) (w *world, err error) {
	w = &world{ctx: ctx, prefix: prefix, cursors: map[string]delivery.Cursor{}}
	var notifier delivery.Notifier = delivery.NotifierFunc(w.notify)
	if takesOwn {
		notifier = delivery.OwnNotifierFunc(w.notify)
	}
	w.tracker, err = delivery.New(store, notifier, &delivery.Options{
		Logger: slog.New(slog.DiscardHandler),
		Authorize: func(_ context.Context, user string, _ delivery.Action, conversation string) (bool, error) {
			return user != w.of("dave") && (user != w.of("carol") || conversation == w.of("c")), nil
		},
	})
	return w, err
}

// of returns an id of this world.
func (w *world) of(id string) string { return w.prefix + id }

func (w *world) ofAll(ids []string) (of []string) {
	for _, id := range ids {
		of = append(of, w.of(id))
	}
	return of
}

// notify is the endpoint. What it is told of one conversation goes to everybody there. Only an
// event of the kind OwnChanged goes to its user alone.
func (w *world) notify(_ context.Context, events []delivery.Event) error {
	refused := map[int]error{}
	for i, e := range events {
		if e.Kind == delivery.OwnChanged && e.User == w.of("bob") {
			continue
		}
		if w.refuses {
			refused[i] = delivery.Permanent(errors.New("not this one"))
			continue
		}
		e.ID = 0 // the outbox's own, which no client gets
		text, err := json.Marshal(e)
		if err != nil {
			return err
		}
		w.heard = append(w.heard, string(text))
	}
	return delivery.Refused(refused)
}

// run makes the calls of a sequence, as they are or as they are to look.
func (w *world) run(script []step, hidden bool) ([]string, error) {
	w.remind() // which begins the rule
	for i, s := range script {
		looks, something := s.shown()
		fmt.Fprintf(&w.log, "step %d\n", i) // not what it is, which differs
		if hidden || something {
			if !hidden {
				s = looks
			}
			answer, err := w.do(s)
			if s.user != "bob" {
				w.note(string(s.verb), answer, err)
			}
		}
		err := w.tracker.Flush(w.ctx)
		if err != nil {
			return nil, fmt.Errorf("flushing after %v: %w", s, err)
		}
		slices.Sort(w.heard) // several events of one step are published in any order
		for _, event := range w.heard {
			w.note("event", json.RawMessage(event), nil)
		}
		w.heard = nil
		if s.verb != refuseEvents {
			w.refuses = false
		}
		w.look()
	}
	w.lookAtAll()
	return strings.Split(normal(w.log.String(), w.prefix), "\n"), nil
}

// do makes one call.
func (w *world) do(s step) (answer any, err error) {
	actor := delivery.Actor{User: w.of(s.user), Socket: s.user + "'s", Hide: s.hide}
	ref := delivery.MessageRef{Conversation: w.of(s.conversation), ID: w.of(s.message())}
	switch s.verb {
	case send:
		draft := delivery.Draft{ID: ref.ID, Conversation: ref.Conversation, Sender: actor.User, Body: "hi"}
		draft.Recipients, draft.Open = w.ofAll(s.recipients), s.recipients == nil
		switch s.cap {
		case delivery.HideRead:
			draft.HideRead = []string{w.of("bob")}
		case delivery.HideAll:
			draft.Untracked = []string{w.of("bob")}
		}
		return w.tracker.Send(w.ctx, draft)
	case mark:
		return w.tracker.Mark(w.ctx, actor, s.status, w.ofAll(s.messages)...)
	case upTo:
		return w.tracker.MarkUpTo(w.ctx, actor, s.status, ref)
	case dismiss:
		return w.tracker.Dismiss(w.ctx, actor, ref)
	case flagUnread:
		return w.tracker.MarkUnread(w.ctx, actor, ref.ID)
	case remove:
		return w.tracker.Delete(w.ctx, actor, ref.ID)
	case removeAll:
		return nil, w.tracker.DeleteConversation(w.ctx, ref.Conversation)
	case fail:
		return nil, w.tracker.Fail(w.ctx, delivery.Failure{Message: ref.ID, Recipient: w.of("bob"), Code: s.status.String()})
	case erase:
		return nil, w.tracker.Erase(w.ctx, w.of("bob"))
	case refuseEvents:
		w.refuses = true
		return nil, nil
	case replay:
		return nil, w.replay()
	}
	return nil, fmt.Errorf("what is %q?", s.verb)
}

func (s step) message() string {
	if len(s.messages) == 0 {
		return ""
	}
	return s.messages[0]
}

// replay puts all dead letters of this world back. Those of the kind OwnChanged are there because
// the Notifier takes none.
func (w *world) replay() error {
	var after int64
	for {
		dead, err := w.tracker.DeadLetters(w.ctx, delivery.DeadQuery{After: after})
		if err != nil || len(dead) == 0 {
			return err
		}
		for _, d := range dead {
			after = d.Event.ID
			if d.Event.Kind != delivery.OwnChanged && strings.HasPrefix(d.Event.Conversation, w.prefix) {
				if err := w.tracker.Replay(w.ctx, d.Event.ID); err != nil {
					return err
				}
			}
		}
	}
}

// look writes down what alice finds out without many calls.
func (w *world) look() {
	alice := delivery.Actor{User: w.of("alice")}
	for _, c := range all.conversations {
		page, err := w.tracker.ChangesFor(w.ctx, alice, w.of(c), w.cursors[c], 50)
		w.note("new changes", page, err)
		w.cursors[c] = page.Cursor
		unread, err := w.tracker.Unread(w.ctx, alice, w.of(c))
		w.note("unread", unread, err)
	}
}

// lookAtAll writes down every page that others can read.
func (w *world) lookAtAll() {
	for _, c := range w.ofAll(all.conversations) {
		for _, user := range all.others {
			actor := delivery.Actor{User: w.of(user)}
			page, err := w.tracker.Messages(w.ctx, delivery.Query{Conversation: c, Viewer: actor.User})
			w.note(user+" sees", page, err)
			unread, err := w.tracker.Unread(w.ctx, actor, c)
			w.note(user+" has unread", unread, err)
		}
		page, err := w.tracker.Messages(w.ctx, delivery.Query{Conversation: c, Before: delivery.Latest, Limit: 1})
		w.note("the newest", page, err)
		page, err = w.tracker.Changes(w.ctx, c, delivery.Cursor{}, 2)
		w.note("all changes", page, err)
	}
	for _, id := range w.ofAll(all.ids) {
		for _, q := range []delivery.ReceiptQuery{{}, {Limit: 1}, {Status: delivery.Sent, Limit: 1}, {Status: delivery.Delivered}, {Status: delivery.Read}, {Failed: true}} {
			q.Message = id
			for more := true; more; {
				page, err := w.tracker.Receipts(w.ctx, q)
				w.note("receipts", page, err)
				q.After, more = page.Next, page.More
			}
		}
	}
	w.remind()
	messages, err := w.tracker.Load(w.ctx, w.ofAll(all.ids)...)
	w.note("load", messages, err)
}

// remind writes down of whom the app tells their senders that they have not read a message.
func (w *world) remind() {
	rule := delivery.OverdueRule{Name: w.of("rule"), Status: delivery.Read, After: time.Microsecond, For: delivery.ForSender}
	due, err := w.tracker.Overdue(w.ctx, rule, delivery.MaxBatch)
	slices.SortFunc(due, func(a, b delivery.Due) int { // they come in any order
		return cmp.Or(cmp.Compare(a.Message.ID, b.Message.ID), cmp.Compare(a.Recipient, b.Recipient))
	})
	for _, d := range due {
		w.note("overdue", []any{d.Message, d.Recipient, d.Status, d.Failure}, nil)
	}
	w.note("overdue", len(due), err)
}

// note writes down what somebody gets to know.
func (w *world) note(what string, answer any, err error) {
	if results, ok := answer.([]delivery.MarkResult); ok {
		for _, r := range results {
			w.note(what, r.Own, r.Err)
		}
		return
	}
	text, failure := json.Marshal(answer)
	if failure != nil {
		text = []byte(failure.Error())
	}
	fmt.Fprintf(&w.log, "%s: %s %v\n", what, text, err)
}

var timestamp = regexp.MustCompile(`"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"`)

// normal returns a transcript without the prefix of its ids, and with its times replaced by their
// order: equal ones stay equal, and later ones stay later.
func normal(transcript, prefix string) string {
	transcript = strings.ReplaceAll(transcript, prefix, "")
	padded := func(t string) string { // fractions of a second have as many digits as they need
		seconds, fraction, _ := strings.Cut(strings.Trim(t, `"Z`), ".")
		return fmt.Sprintf("%s.%-9s", seconds, fraction)
	}
	var times []string
	for _, t := range timestamp.FindAllString(transcript, -1) {
		times = append(times, padded(t))
	}
	slices.Sort(times)
	times = slices.Compact(times)
	return timestamp.ReplaceAllStringFunc(transcript, func(t string) string {
		i, _ := slices.BinarySearch(times, padded(t))
		return fmt.Sprintf(`"time %d"`, i)
	})
}

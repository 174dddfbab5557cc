package model

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"pgregory.net/rapid"
)

// The sequences are about few names, so that they meet, and about names that a careless database
// takes for the same.
var (
	conversations = rapid.SampledFrom([]string{"c", "C", "c "})
	users         = rapid.SampledFrom([]string{"alice", "bob", "Bob", "bob ", "zoë", "'; --"})
	ids           = rapid.SampledFrom([]string{"m", "M", "m ", "m%", "m_", "é", "e\u0301", "🐟", "\\", "9"})
	sockets       = rapid.SampledFrom([]string{"", "1.1", "2.2"})
	statuses      = rapid.SampledFrom([]delivery.Status{delivery.Delivered, delivery.Read})
	codes         = rapid.SampledFrom([]string{"busy", "5.1.1"})
)

func TestMachine(t *testing.T) {
	each(t, func(t *testing.T, s subject) {
		if s.db == nil {
			multiply(t, "rapid.checks", 20)
		}
		rapid.Check(t, func(rt *rapid.T) { runMachine(t.Context(), rt, s) })
	})
}

// runs tells the sequences apart that share a database.
var runs atomic.Int64

// machine is one sequence under way, on a store and on the reference.
type machine struct {
	*rapid.T
	ctx      context.Context
	subject  subject
	prefix   string // of its conversations and messages
	trackers [2]*delivery.Tracker
	endpoint *endpoint
	clock    clock
	ref      *reference
}

func runMachine(ctx context.Context, t *rapid.T, s subject) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if err := s.drain(ctx); err != nil {
		t.Fatalf("emptying the outbox: %v", err)
	}
	m := &machine{T: t, ctx: ctx, subject: s, prefix: fmt.Sprint(runs.Add(1), "/"), endpoint: &endpoint{}, ref: newReference()}
	var err error
	m.trackers, err = s.over(func(store keeper) keeper { return impatient{store} }).trackers(m.endpoint, delivery.Options{
		Authorize: func(_ context.Context, user string, to delivery.Action, conversation string) (bool, error) {
			return to == delivery.ToMark && m.ref.members[conversation][user], nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Repeat(map[string]func(*rapid.T){
		"send":      func(t *rapid.T) { m.on(t).send(m.process()) },
		"send more": func(t *rapid.T) { m.on(t).send(m.process()) },
		"mark":      func(t *rapid.T) { m.on(t).mark(m.process()) },
		"mark more": func(t *rapid.T) { m.on(t).mark(m.process()) },
		"mark up":   func(t *rapid.T) { m.on(t).markUpTo(m.process()) },
		"delete":    func(t *rapid.T) { m.on(t).delete(m.process()) },
		"compact":   func(t *rapid.T) { m.on(t).compact(m.process()) },
		"import":    func(t *rapid.T) { m.on(t).imports() },
		"fail":      func(t *rapid.T) { m.on(t).fail() },
		"transact":  func(t *rapid.T) { m.on(t).transact() },
		"join":      func(t *rapid.T) { m.on(t).join(true) },
		"leave":     func(t *rapid.T) { m.on(t).join(false) },
		"list":      func(t *rapid.T) { m.on(t).list() },
		"catch up":  func(t *rapid.T) { m.on(t).catchUp() },
		"count":     func(t *rapid.T) { m.on(t).count() },
		"look":      func(t *rapid.T) { m.on(t).look() },
		"flush":     func(t *rapid.T) { m.on(t).flush(rapid.SampledFrom(behaviours).Draw(t, "endpoint")) },
		"replay":    func(t *rapid.T) { m.on(t).replay() },
		"discard":   func(t *rapid.T) { m.on(t).discard() },
	})
	m.all()
}

// on returns the machine for one action.
func (m *machine) on(t *rapid.T) *machine {
	m.T = t
	return m
}

// process draws which process acts.
func (m *machine) process() process {
	i := rapid.IntRange(0, 1).Draw(m.T, "process")
	return process{m.trackers[i], m.subject.stores[i]}
}

func (m *machine) tracker() *delivery.Tracker { return m.process().Tracker }

func (m *machine) conversation() string { return m.prefix + conversations.Draw(m.T, "conversation") }

func (m *machine) id() string { return m.prefix + ids.Draw(m.T, "message") }

func (m *machine) actor() delivery.Actor {
	return delivery.Actor{User: users.Draw(m.T, "user"), Socket: sockets.Draw(m.T, "socket")}
}

func (m *machine) send(on calls) {
	m.Helper()
	draft := delivery.Draft{
		ID: m.id(), Conversation: m.conversation(), Sender: users.Draw(m.T, "sender"),
		Body:     rapid.SampledFrom([]string{"", "hi", "ho"}).Draw(m.T, "body"),
		Socket:   sockets.Draw(m.T, "socket"),
		Audience: delivery.Audience{Open: true, Quorum: rapid.SampledFrom([]int{0, 0, 1, 2}).Draw(m.T, "quorum")},
	}
	if rapid.Bool().Draw(m.T, "frozen") {
		draft.Open, draft.Recipients = false, rapid.SliceOfN(users, 0, 4).Draw(m.T, "recipients")
		if rapid.Bool().Draw(m.T, "capped") {
			draft.Untracked, draft.HideRead = rapid.SliceOfN(users, 0, 2).Draw(m.T, "untracked"), rapid.SliceOfN(users, 0, 3).Draw(m.T, "hide read")
		}
	}
	if sent, ok := m.ref.messages[draft.ID]; ok && rapid.Bool().Draw(m.T, "repeat") {
		draft.Conversation, draft.Sender, draft.Body = sent.Conversation, sent.Sender, sent.Body
		if draft.Audience = (delivery.Audience{Open: sent.Open, Quorum: sent.Quorum}); !sent.Open {
			draft.Recipients = []string{}
			for key, cap := range m.ref.capsOf(draft.ID) {
				draft.Recipients = append(draft.Recipients, key.recipient)
				switch cap {
				case delivery.Sent:
					draft.Untracked = append(draft.Untracked, key.recipient)
				case delivery.Delivered:
					draft.HideRead = append(draft.HideRead, key.recipient)
				}
			}
		}
	}
	at := m.clock.tick()
	got, err := on.Send(m.ctx, draft)
	want, wantErr := m.ref.send(draft, at)
	m.same("Send", m.message(got), want)
	m.sameError("Send", err, wantErr)
}

func (m *machine) mark(on calls) {
	m.Helper()
	actor, status := m.actor(), statuses.Draw(m.T, "status")
	messages := make([]string, rapid.SampledFrom([]int{1, 1, 2, 4}).Draw(m.T, "messages"))
	for i := range messages {
		messages[i] = m.id()
	}
	at := m.clock.tick()
	got, err := on.Mark(m.ctx, actor, status, messages...)
	messages = once(messages)
	if err != nil || len(got) != len(messages) {
		m.Fatalf("Mark of %d messages returned %d results, %v", len(messages), len(got), err)
	}
	// In which order the marks of one call take their versions is the library's to choose.
	order := make([]int, len(got))
	for i := range got {
		order[i] = i
		got[i].Own = delivery.Own(m.receipt(delivery.Receipt(got[i].Own)))
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(got[a].Own.Version, got[b].Own.Version) })
	for _, i := range order {
		m.same("Mark", got[i].Message, messages[i])
		refusal := m.ref.refusal(actor.User, messages[i])
		m.sameError("Mark", got[i].Err, refusal)
		var want delivery.Receipt
		changed := false
		if refusal == nil {
			want, changed = m.ref.mark(actor, messages[i], status, at)
		}
		m.same("Mark", delivery.Receipt(got[i].Own), want)
		m.same("whether Mark changed anything", got[i].Changed, changed)
	}
}

// once returns the messages, each where it is named first.
func once(messages []string) (all []string) {
	for _, message := range messages {
		if !slices.Contains(all, message) {
			all = append(all, message)
		}
	}
	return all
}

func (m *machine) markUpTo(on calls) {
	m.Helper()
	actor, status, conversation, message := m.actor(), statuses.Draw(m.T, "status"), m.conversation(), m.id()
	if there, ok := m.ref.messages[message]; ok && rapid.Bool().Draw(m.T, "where it is") {
		conversation = there.Conversation
	}
	at := m.clock.tick()
	got, err := on.MarkUpTo(m.ctx, actor, status, delivery.MessageRef{Conversation: conversation, ID: message})
	var order map[string]int64 // in which the marks of one call take their versions is the library's to choose
	if got.Changed > 0 {
		order = m.versions(on, actor.User, conversation)
	}
	want, wantErr := m.ref.markUpTo(actor, status, conversation, message, order, at, err != nil)
	m.same("MarkUpTo", got, want)
	m.sameError("MarkUpTo", err, wantErr)
}

func (m *machine) delete(on calls) {
	m.Helper()
	actor, id := m.actor(), m.id()
	got, err := on.Delete(m.ctx, actor, id)
	want, wantErr := 0, error(nil)
	if _, gone := m.ref.deleted[id]; !gone {
		if want = 1; !m.ref.delete(actor, id) {
			want, wantErr = 0, delivery.ErrNotFound
		}
	}
	m.same("Delete", got, want)
	m.sameError("Delete", err, wantErr)
}

// compact compacts some messages. They are all old enough.
func (m *machine) compact(on process) {
	m.Helper()
	conversation, n := m.conversation(), rapid.IntRange(1, 4).Draw(m.T, "messages")
	got, err := on.store.Compact(m.ctx, delivery.Compaction{Conversation: conversation, Before: time.Now().Add(time.Hour), Limit: n})
	m.sameError("Compact", err, nil)
	m.same("how many messages Compact went through", got.Compacted, m.ref.compact(conversation, n))
}

// fail records a failure of somebody who mostly is a recipient.
func (m *machine) fail() {
	m.Helper()
	f := delivery.Failure{Message: m.id(), Recipient: users.Draw(m.T, "recipient"), Code: codes.Draw(m.T, "code")}
	if receipts := m.ref.receiptsOf(f.Message); len(receipts) > 0 && rapid.Bool().Draw(m.T, "a recipient") {
		f.Recipient = rapid.SampledFrom(receipts).Draw(m.T, "receipt").Recipient
	}
	m.sameError("Fail", m.tracker().Fail(m.ctx, f), m.ref.fail(f))
}

// versions returns those of a user's receipts in a conversation, by message.
func (m *machine) versions(on calls, user, conversation string) map[string]int64 {
	m.Helper()
	var ids []string
	for _, sent := range m.ref.inOrder(conversation) {
		ids = append(ids, sent.ID)
	}
	receipts, err := on.receipts(m.ctx, ids)
	m.sameError("Receipts", err, nil)
	versions := map[string]int64{}
	for _, r := range receipts {
		if r.Recipient == user {
			versions[r.Message] = r.Version
		}
	}
	return versions
}

// transact makes some calls in a transaction, and commits it or not.
func (m *machine) transact() {
	m.Helper()
	commit := rapid.Bool().Draw(m.T, "commit")
	process := m.process()
	var on calls = process
	end := func() error { return nil }
	before := m.ref.clone()
	if m.subject.db != nil {
		tx, err := m.subject.db.BeginTx(m.ctx, nil)
		if err != nil {
			m.Fatalf("beginning: %v", err)
		}
		defer tx.Rollback() // where it has not ended
		on, end = transaction{process, tx}, tx.Commit
		if !commit && !m.subject.commit {
			end = tx.Rollback
		}
	} else if !commit && !m.subject.commit {
		return // which memory does by itself
	}
	for range rapid.IntRange(1, 3).Draw(m.T, "calls") {
		call := rapid.SampledFrom([]func(calls){m.send, m.mark, m.markUpTo, m.delete}).Draw(m.T, "call")
		call(on)
	}
	if err := end(); err != nil {
		m.Fatalf("ending: %v", err)
	}
	if !commit {
		m.ref = before
	}
}

// join lets a user into a conversation or out of it.
func (m *machine) join(in bool) {
	conversation := m.conversation()
	if m.ref.members[conversation] == nil {
		m.ref.members[conversation] = map[string]bool{}
	}
	m.ref.members[conversation][users.Draw(m.T, "user")] = in
}

func (m *machine) list() {
	m.Helper()
	query := delivery.Query{Conversation: m.conversation(), Limit: rapid.IntRange(1, 3).Draw(m.T, "limit"), Viewer: users.Draw(m.T, "viewer")}
	version := int(m.ref.versions[query.Conversation])
	query.After = int64(rapid.IntRange(0, version+1).Draw(m.T, "after"))
	query.Before = rapid.SampledFrom([]int64{0, delivery.Latest, int64(version/2 + 1)}).Draw(m.T, "before")
	got, err := m.tracker().Messages(m.ctx, query)
	m.samePage("Messages", got, err, m.ref.list(query))
}

// catchUp reads all changes since a version, page by page.
func (m *machine) catchUp() {
	m.Helper()
	tracker, conversation := m.tracker(), m.conversation()
	since := delivery.Cursor{Version: int64(rapid.IntRange(0, int(m.ref.versions[conversation])+1).Draw(m.T, "since"))}
	first, err := tracker.Messages(m.ctx, delivery.Query{Conversation: conversation, Limit: 1})
	m.sameError("Messages", err, nil)
	since.Epoch = first.Epoch
	limit, viewer := rapid.IntRange(1, 3).Draw(m.T, "limit"), rapid.OneOf(rapid.Just(""), users).Draw(m.T, "viewer")
	changes := tracker.Changes
	if viewer != "" {
		changes = func(ctx context.Context, conversation string, since delivery.Cursor, limit int) (delivery.Page, error) {
			return tracker.ChangesFor(ctx, delivery.Actor{User: viewer}, conversation, since, limit)
		}
	}
	for more := true; more; {
		got, err := changes(m.ctx, conversation, since, limit)
		m.samePage("Changes", got, err, m.ref.changes(viewer, conversation, since.Version, limit))
		more, since = got.More, got.Cursor
	}
}

// look reads one message.
func (m *machine) look() {
	m.Helper()
	m.lookAt(m.tracker(), m.id())
}

func (m *machine) lookAt(tracker *delivery.Tracker, id string) {
	m.Helper()
	want, exists := m.ref.messages[id]
	var wantErr error
	if !exists {
		wantErr = delivery.ErrNotFound
	}
	got, err := tracker.Message(m.ctx, id)
	m.sameError("Message", err, wantErr)
	m.same("Message", m.message(got), want)
	page, err := tracker.Receipts(m.ctx, delivery.ReceiptQuery{Message: id})
	m.sameError("Receipts", err, wantErr)
	receipts := page.Receipts
	for i := range receipts {
		receipts[i] = m.receipt(receipts[i])
		cap, frozen := m.ref.caps[receiptKey{id, receipts[i].Recipient}]
		reason := delivery.Reason("")
		switch {
		case frozen && cap == delivery.Sent:
			reason = "untracked"
		case frozen && cap == delivery.Delivered && receipts[i].Status == delivery.Delivered:
			reason = "capped"
		case receipts[i].Status >= delivery.Delivered && receipts[i].DeliveredAt.IsZero(), receipts[i].Status == delivery.Read && receipts[i].ReadAt.IsZero():
			reason = "expired"
		}
		m.same("a receipt's reason", receipts[i].Reason, reason)
		receipts[i].Reason = ""
	}
	m.same("Receipts", slices.Concat(receipts), slices.Concat(m.ref.receiptsOf(id)))
}

// all looks at everything there is, when the endpoint has been told of it.
func (m *machine) all() {
	m.Helper()
	m.flush(accepting)
	for _, id := range slices.Sorted(maps.Keys(m.ref.messages)) {
		m.lookAt(m.trackers[0], id)
	}
	for _, conversation := range slices.Sorted(maps.Keys(m.ref.versions)) {
		query := delivery.Query{Conversation: conversation, Limit: delivery.MaxBatch}
		got, err := m.trackers[1].Messages(m.ctx, query)
		m.samePage("Messages", got, err, m.ref.list(query))
		got, err = m.trackers[1].Changes(m.ctx, conversation, delivery.Cursor{}, delivery.MaxBatch)
		m.samePage("Changes", got, err, m.ref.changes("", conversation, 0, delivery.MaxBatch))
	}
}

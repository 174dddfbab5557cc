package model

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/msgdelivery/delivery"
)

// reference is what a store and the trackers over it should be, for one goroutine: the contract at
// its plainest. Nothing is kept that can be counted. Times are whatever its caller says.
type reference struct {
	versions map[string]int64                // by conversation
	compacts map[string]int64                // the versions up to which messages were compacted, by conversation
	messages map[string]delivery.Message     // by id
	deleted  map[string]delivery.Message     // tombstones, by id
	imported map[string]bool                 // by id: messages and tombstones that were not sent
	receipts map[receiptKey]delivery.Receipt // those that exist
	own      map[receiptKey]delivery.Status  // what users alone know, where caps hid it
	caps     map[receiptKey]delivery.Status  // of the senders and recipients of frozen messages
	members  map[string]map[string]bool      // by conversation: whom the app's rule lets mark
	pending  map[place]change                // committed, and in no event that the notifier has seen for good
	replayed map[place]delivery.Event        // by the first version: what was dead and is waiting again
	dead     map[place]delivery.Event        // by the first version
}

type receiptKey struct{ message, recipient string }

// place is a version of a conversation.
type place struct {
	conversation string
	version      int64
}

// change is what happened at a place, as an event has to tell it.
type change struct {
	Kind   delivery.Kind
	Except string
	Update delivery.Update
}

func newReference() *reference {
	return &reference{
		versions: map[string]int64{},
		compacts: map[string]int64{},
		messages: map[string]delivery.Message{},
		deleted:  map[string]delivery.Message{},
		imported: map[string]bool{},
		receipts: map[receiptKey]delivery.Receipt{},
		own:      map[receiptKey]delivery.Status{},
		caps:     map[receiptKey]delivery.Status{},
		members:  map[string]map[string]bool{},
		pending:  map[place]change{},
		replayed: map[place]delivery.Event{},
		dead:     map[place]delivery.Event{},
	}
}

// clone is the reference as a transaction sees it that may be rolled back. It shares the members.
func (r *reference) clone() *reference {
	return &reference{
		maps.Clone(r.versions), maps.Clone(r.compacts), maps.Clone(r.messages), maps.Clone(r.deleted), maps.Clone(r.imported), maps.Clone(r.receipts), maps.Clone(r.own), maps.Clone(r.caps), r.members,
		maps.Clone(r.pending), maps.Clone(r.replayed), maps.Clone(r.dead),
	}
}

func (r *reference) send(d delivery.Draft, at time.Time) (delivery.Message, error) {
	recipients := slices.DeleteFunc(slices.Compact(slices.Sorted(slices.Values(d.Recipients))), func(user string) bool { return user == d.Sender })
	caps := map[receiptKey]delivery.Status{}
	total, readers := 0, 0
	for _, user := range append(slices.Clone(recipients), d.Sender) {
		cap := delivery.Read
		if slices.Contains(d.HideRead, user) {
			cap = delivery.Delivered
		}
		if slices.Contains(d.Untracked, user) {
			cap = delivery.Sent
		}
		if !d.Open {
			caps[receiptKey{d.ID, user}] = cap
		}
		if user != d.Sender && cap >= delivery.Delivered {
			total++
		}
		if user != d.Sender && cap == delivery.Read {
			readers++
		}
	}
	quorum := max(1, d.Quorum)
	if most := max(1, total); !d.Open && (d.Quorum == 0 || quorum > most) {
		quorum = most
	}
	header := delivery.Header{
		ID: d.ID, Conversation: d.Conversation, Sender: d.Sender, Open: d.Open, Total: total, Readers: readers, Quorum: quorum,
	}
	if _, gone := r.deleted[d.ID]; gone {
		return delivery.Message{}, delivery.ErrGone
	}
	if there, ok := r.messages[d.ID]; ok {
		same := there.Header
		same.Seq, same.SentAt = 0, time.Time{}
		if same != header || there.Body != d.Body || !maps.Equal(caps, r.capsOf(d.ID)) {
			return delivery.Message{}, delivery.ErrConflict
		}
		return there, nil
	}
	version := r.next(d.Conversation)
	header.Seq, header.SentAt = version, at
	m := delivery.Message{Header: header, Body: d.Body, Tally: delivery.Tally{Version: version, Status: delivery.Sent}}
	r.messages[d.ID] = m
	maps.Copy(r.caps, caps)
	for _, user := range recipients {
		r.receipts[receiptKey{d.ID, user}] = delivery.Receipt{Message: d.ID, Recipient: user, Status: delivery.Sent, Version: version}
	}
	r.pending[place{d.Conversation, version}] = change{delivery.MessageSent, d.Socket, update(m)}
	return m, nil
}

// delete leaves a tombstone of the message, and reports whether there was one to delete.
func (r *reference) delete(actor delivery.Actor, id string) bool {
	m, there := r.messages[id]
	if !there {
		return false
	}
	version := r.next(m.Conversation)
	r.deleted[id] = delivery.Message{
		Header: delivery.Header{ID: id, Conversation: m.Conversation, Seq: m.Seq}, Tally: delivery.Tally{Version: version}, Deleted: true,
	}
	delete(r.messages, id)
	maps.DeleteFunc(r.receipts, func(k receiptKey, _ delivery.Receipt) bool { return k.message == id })
	for _, of := range []map[receiptKey]delivery.Status{r.own, r.caps} {
		maps.DeleteFunc(of, func(k receiptKey, _ delivery.Status) bool { return k.message == id })
	}
	r.pending[place{m.Conversation, version}] = change{delivery.MessageDeleted, actor.Socket, delivery.Update{Message: id, Version: version}}
	return true
}

// compact forgets the times of up to n messages, in order of their last changes, and returns their
// number.
func (r *reference) compact(conversation string, n int) int {
	var all []delivery.Message
	for _, of := range []map[string]delivery.Message{r.messages, r.deleted} {
		for _, m := range of {
			if m.Conversation == conversation && m.Version > r.compacts[conversation] {
				all = append(all, m)
			}
		}
	}
	slices.SortFunc(all, func(a, b delivery.Message) int { return cmp.Compare(a.Version, b.Version) })
	all = all[:min(n, len(all))]
	for _, m := range all {
		r.compacts[conversation] = m.Version
		if m.Deleted {
			continue
		}
		m.DeliveredAt, m.ReadAt = time.Time{}, time.Time{}
		r.messages[m.ID] = m
		for key, receipt := range r.receipts {
			if key.message == m.ID {
				receipt.Version, receipt.DeliveredAt, receipt.ReadAt = m.Seq, time.Time{}, time.Time{}
				r.receipts[key] = receipt
			}
		}
	}
	return len(all)
}

// fail records a failure, which others see if they may see more of the recipient than that the
// message was sent, and have not.
func (r *reference) fail(f delivery.Failure) error {
	m, exists := r.messages[f.Message]
	key := receiptKey{f.Message, f.Recipient}
	receipt, frozen := r.receipts[key]
	switch {
	case !exists:
		return delivery.ErrNotFound
	case m.Open:
		return &delivery.InvalidError{Field: "message"}
	case m.Sender == f.Recipient:
		return &delivery.InvalidError{Field: "recipient"}
	case !frozen:
		return delivery.ErrNotRecipient
	case receipt.Status != delivery.Sent || r.caps[key] == delivery.Sent || receipt.Failure == f.Code:
		return nil
	}
	m.Version = r.next(m.Conversation)
	receipt.Version, receipt.Failure = m.Version, f.Code
	r.receipts[key] = receipt
	m.Failed = r.failures(f.Message)
	r.messages[f.Message] = m
	told := update(m)
	told.Receipt = &receipt
	r.pending[place{m.Conversation, m.Version}] = change{delivery.StatusChanged, "", told}
	return nil
}

// failures counts the receipts with a failure.
func (r *reference) failures(id string) (n int) {
	for _, receipt := range r.receiptsOf(id) {
		if receipt.Failure != "" {
			n++
		}
	}
	return n
}

// refusal is why the user may not mark a message, or nil.
func (r *reference) refusal(user, id string) error {
	m, exists := r.messages[id]
	_, frozen := r.receipts[receiptKey{id, user}]
	switch {
	case !exists:
		return delivery.ErrNotFound
	case m.Sender == user:
		return delivery.ErrOwnMessage
	case m.Open && !r.members[m.Conversation][user]:
		return delivery.ErrForbidden
	case !m.Open && !frozen:
		return delivery.ErrNotRecipient
	}
	return nil
}

// capsOf returns those of a message's sender and recipients.
func (r *reference) capsOf(id string) map[receiptKey]delivery.Status {
	caps := maps.Clone(r.caps)
	maps.DeleteFunc(caps, func(k receiptKey, _ delivery.Status) bool { return k.message != id })
	return caps
}

// shown is what others may see of a status.
func (r *reference) shown(user, id string, status delivery.Status) delivery.Status {
	if cap, capped := r.caps[receiptKey{id, user}]; capped {
		return min(status, cap)
	}
	return status
}

// advances reports whether others would see a change by a mark of someone who may.
func (r *reference) advances(user, id string, to delivery.Status) bool {
	return r.receipts[receiptKey{id, user}].Status < r.shown(user, id, to)
}

// knows is how far a message has come to the user's own knowledge.
func (r *reference) knows(user, id string) delivery.Status {
	key := receiptKey{id, user}
	return max(r.receipts[key].Status, r.own[key])
}

// keep keeps for the user alone that the message is at the status.
func (r *reference) keep(user, id string, status delivery.Status) (changed bool) {
	if changed = r.knows(user, id) < status; changed {
		r.own[receiptKey{id, user}] = status
	}
	return changed
}

// mark advances a receipt if that is a step, and keeps what is hidden of it. It returns the
// receipt, or if that shows less than the mark, what the user knows then.
func (r *reference) mark(actor delivery.Actor, id string, to delivery.Status, at time.Time) (delivery.Receipt, bool) {
	receipt, changed := r.advance(actor, id, r.shown(actor.User, id, to), at)
	kept := r.keep(actor.User, id, to)
	if receipt.Status < to {
		receipt.Status = r.knows(actor.User, id)
	}
	return receipt, changed || kept
}

// advance advances a receipt to what is shown.
func (r *reference) advance(actor delivery.Actor, id string, to delivery.Status, at time.Time) (delivery.Receipt, bool) {
	key := receiptKey{id, actor.User}
	if !r.advances(actor.User, id, to) {
		return r.receipts[key], false
	}
	m, receipt := r.messages[id], r.receipts[key]
	version := r.next(m.Conversation)
	if receipt.Status < delivery.Delivered {
		receipt.DeliveredAt = at
	}
	if to == delivery.Read {
		receipt.ReadAt = at
	}
	receipt.Message, receipt.Recipient, receipt.Status, receipt.Version, receipt.Failure = id, actor.User, to, version, ""
	r.receipts[key] = receipt

	m.Version = version
	m.Delivered, m.Read, m.Failed = r.count(id, delivery.Delivered), r.count(id, delivery.Read), r.failures(id)
	if m.Delivered >= m.Quorum && m.Status == delivery.Sent {
		m.Status, m.DeliveredAt = delivery.Delivered, at
	}
	readers := m.Quorum // who must have read it
	if !m.Open {
		readers = min(m.Quorum, m.Readers)
	}
	if m.Read >= readers && readers > 0 && m.Status != delivery.Read {
		if m.Status == delivery.Sent {
			m.DeliveredAt = at
		}
		m.Status, m.ReadAt = delivery.Read, at
	}
	r.messages[id] = m
	told := update(m)
	told.Receipt = &receipt
	r.pending[place{m.Conversation, version}] = change{delivery.StatusChanged, actor.Socket, told}
	return receipt, true
}

// markUpTo marks all that it may, in the given order. Refused says that the store refuses the mark,
// which is its own affair if the user already knows all that it would say to the user alone.
func (r *reference) markUpTo(actor delivery.Actor, to delivery.Status, conversation, last string, order map[string]int64, at time.Time, refused bool) (delivery.UpToResult, error) {
	end, exists := r.messages[last]
	if !exists {
		end, exists = r.deleted[last]
	}
	if !exists || end.Conversation != conversation {
		return delivery.UpToResult{}, delivery.ErrNotFound
	}
	var frozen, open, hidden []string
	fresh := false // the user does not know all that is hidden
	for _, m := range r.inOrder(conversation) {
		if m.Seq > end.Seq || m.Sender == actor.User {
			continue
		}
		if r.shown(actor.User, m.ID, to) < to && r.refusal(actor.User, m.ID) == nil {
			hidden = append(hidden, m.ID)
			fresh = fresh || r.knows(actor.User, m.ID) < to
		}
		if !r.advances(actor.User, m.ID, to) {
			continue
		}
		if m.Open {
			open = append(open, m.ID)
		} else if r.refusal(actor.User, m.ID) == nil {
			frozen = append(frozen, m.ID)
		}
	}
	refusal := delivery.ErrNotRecipient
	todo := slices.Concat(frozen, open)
	if len(open) > 0 && !r.members[conversation][actor.User] { // the rule is asked only when something depends on it
		refusal, todo = delivery.ErrForbidden, frozen
	}
	slices.SortStableFunc(todo, func(a, b string) int { return cmp.Compare(order[a], order[b]) })
	_, received := r.receipts[receiptKey{last, actor.User}]
	member := r.members[conversation][actor.User]
	passed := len(open) == 0 || member
	if len(todo) == 0 && !fresh && (len(hidden) == 0 || refused) {
		if end.Deleted && !r.members[conversation][actor.User] {
			return delivery.UpToResult{}, delivery.ErrForbidden
		}
		if !end.Deleted && end.Sender != actor.User && !received {
			return delivery.UpToResult{}, refusal
		}
		return delivery.UpToResult{}, nil
	}
	result := delivery.UpToResult{Changed: len(todo)}
	for i, id := range todo {
		r.advance(actor, id, r.shown(actor.User, id, to), at)
		if result.To = r.versions[conversation]; i == 0 {
			result.From = result.To
		}
	}
	switch {
	case len(hidden) == 0 || end.Open && !member:
	case passed:
		for _, id := range hidden {
			r.keep(actor.User, id, to)
		}
	case received:
		r.keep(actor.User, last, to)
	}
	return result, nil
}

// refresh is what a dead event says when it is replayed now.
func (r *reference) refresh(e delivery.Event) delivery.Event {
	if e.Kind == delivery.MessageDeleted {
		return e
	}
	e.Updates = slices.DeleteFunc(slices.Clone(e.Updates), func(u delivery.Update) bool { _, there := r.messages[u.Message]; return !there })
	for i, u := range e.Updates {
		now := update(r.messages[u.Message])
		if u.Receipt != nil {
			receipt := r.receipts[receiptKey{u.Message, u.Receipt.Recipient}]
			now.Receipt = &receipt
		}
		e.Updates[i] = now
	}
	return canonical(e)
}

// canonical returns the event with its updates in an order that depends on nothing else.
func canonical(e delivery.Event) delivery.Event {
	e.Updates = slices.SortedFunc(slices.Values(e.Updates), func(a, b delivery.Update) int {
		if a.Receipt == nil || b.Receipt == nil {
			return cmp.Compare(a.Version, b.Version)
		}
		return cmp.Or(cmp.Compare(a.Version, b.Version), cmp.Compare(a.Receipt.Version, b.Receipt.Version))
	})
	return e
}

func (r *reference) next(conversation string) int64 {
	r.versions[conversation]++
	return r.versions[conversation]
}

func (r *reference) count(id string, status delivery.Status) (n int) {
	for _, receipt := range r.receiptsOf(id) {
		if receipt.Status >= status {
			n++
		}
	}
	return n
}

// receiptsOf returns a message's receipts in order of recipient.
func (r *reference) receiptsOf(id string) []delivery.Receipt {
	var of []delivery.Receipt
	for key, receipt := range r.receipts {
		if key.message == id {
			of = append(of, receipt)
		}
	}
	slices.SortFunc(of, func(a, b delivery.Receipt) int { return cmp.Compare(a.Recipient, b.Recipient) })
	return of
}

// inOrder returns a conversation's messages by their places in it.
func (r *reference) inOrder(conversation string) []delivery.Message {
	var in []delivery.Message
	for _, m := range r.messages {
		if m.Conversation == conversation {
			in = append(in, m)
		}
	}
	slices.SortFunc(in, func(a, b delivery.Message) int { return cmp.Compare(a.Seq, b.Seq) })
	return in
}

// list is a page by seq.
func (r *reference) list(q delivery.Query) delivery.Page {
	var in []delivery.Message
	for _, m := range r.inOrder(q.Conversation) {
		if m.Seq <= q.After || q.Before != 0 && m.Seq >= q.Before {
			continue
		}
		in = append(in, r.seenBy(q.Viewer, m))
	}
	page := delivery.Page{Messages: in, Cursor: delivery.Cursor{Version: r.versions[q.Conversation]}}
	if page.More = len(in) > q.Limit; page.More {
		page.Messages = in[:q.Limit]
		if q.Before != 0 {
			page.Messages = in[len(in)-q.Limit:]
		}
	}
	return page
}

// changes is a page by version.
func (r *reference) changes(viewer, conversation string, since int64, limit int) delivery.Page {
	if since > r.versions[conversation] {
		return delivery.Page{Reset: true}
	}
	in := r.inOrder(conversation)
	for _, m := range r.deleted {
		if m.Conversation == conversation && since > 0 {
			in = append(in, m)
		}
	}
	in = slices.DeleteFunc(in, func(m delivery.Message) bool { return m.Version <= since })
	for i := range in {
		in[i] = r.seenBy(viewer, in[i])
	}
	slices.SortFunc(in, func(a, b delivery.Message) int { return cmp.Compare(a.Version, b.Version) })
	page := delivery.Page{Messages: in, Cursor: delivery.Cursor{Version: r.versions[conversation]}}
	if page.More = len(in) > limit; page.More {
		page.Messages = in[:limit]
		page.Version = in[limit-1].Version
	}
	return page
}

// seenBy is a message with the viewer's own receipt.
func (r *reference) seenBy(viewer string, m delivery.Message) delivery.Message {
	if own, ok := r.receipts[receiptKey{m.ID, viewer}]; ok {
		if own.Failure != "" { // which is nothing to the recipient
			own.Failure, own.Version = "", m.Seq
		}
		own.Status = r.knows(viewer, m.ID)
		m.Own = (*delivery.Own)(&own)
	}
	return m
}

func update(m delivery.Message) delivery.Update {
	return delivery.Update{
		Message: m.ID, Sender: m.Sender, Version: m.Version,
		Status: m.Status, Delivered: m.Delivered, Read: m.Read, Failed: m.Failed, Total: m.Total, Readers: m.Readers,
	}
}

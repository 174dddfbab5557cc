package deliverytest

import (
	"cmp"
	"maps"
	"slices"

	"github.com/msgdelivery/delivery"
)

// audit checks, for every conversation of the test, that its events cover each version once, that
// what they tell follows from the event before, and that all together they tell what is stored.
func (p *probe) audit() {
	p.Helper()
	if p.Failed() {
		return // whatever it would find, the cause is reported already
	}
	p.drain()
	byConversation := map[string][]delivery.Event{}
	for _, event := range p.seen {
		if event.Kind == delivery.OwnChanged {
			continue // it covers no version
		}
		byConversation[event.Conversation] = append(byConversation[event.Conversation], event)
	}
	for conversation := range p.conversations {
		events := byConversation[conversation]
		delete(byConversation, conversation)
		slices.SortFunc(events, func(a, b delivery.Event) int { return cmp.Compare(a.From, b.From) })
		p.auditConversation(conversation, events)
	}
	for conversation := range byConversation {
		p.Errorf("there are events of a conversation %q in which nothing was sent", conversation)
	}
}

func (p *probe) auditConversation(conversation string, events []delivery.Event) {
	p.Helper()
	l, imported := p.imported[conversation]
	if !imported {
		l = newLedger(p)
	}
	stored, version := p.all(conversation)
	for _, m := range slices.Concat(p.deleted, stored) {
		if m.Conversation == conversation && m.Seq > l.version {
			l.messages[m.ID] = delivery.Message{Header: m.Header, Body: m.Body}
		}
	}
	next := l.version + 1
	for _, event := range events {
		if event.To < next && imported { // no event tells what was imported after it
			continue
		}
		if event.From != next {
			p.Fatalf("in conversation %q an event begins at version %d, and the one before ended at %d", conversation, event.From, next-1)
		}
		l.enter(event)
		next = event.To + 1
	}
	if next != version+1 {
		p.Fatalf("conversation %q is at version %d, and its events end at %d", conversation, version, next-1)
	}
	// The receipts of the first messages are listed. Of a long history those of all users are asked
	// for, many at a time.
	listed := stored[:min(100, len(stored))]
	receiptsOf := l.asked(stored[len(listed):])
	for _, m := range listed {
		receiptsOf[m.ID] = l.probe.receipts(m.ID)
	}
	for _, m := range stored {
		told, receipts, toldReceipts := l.messages[m.ID], beyondSent(receiptsOf[m.ID]), l.told(m.ID)
		if p.compacted {
			m, told = timeless(m), timeless(told)
			receipts, toldReceipts = allTimeless(receipts), allTimeless(toldReceipts)
		}
		p.same("message "+m.ID+" is not what the events say: it", m, told)
		p.same("the receipts of message "+m.ID+" are not what the events say: they", receipts, toldReceipts)
	}
}

// all returns all messages of a conversation, by seq, and its version.
func (p *probe) all(conversation string) (messages []delivery.Message, version int64) {
	p.Helper()
	list := delivery.List{Conversation: conversation, Limit: 100}
	for {
		page := p.list(list)
		messages = append(messages, page.Messages...)
		if !page.More {
			return messages, page.Version
		}
		if len(page.Messages) == 0 {
			p.Fatalf("a page of conversation %q after seq %d is empty and yet there is more", conversation, list.After)
		}
		list.After = page.Messages[len(page.Messages)-1].Seq
	}
}

// ledger is the state of a conversation as its events tell it. It begins after an import, whose
// versions have no events.
type ledger struct {
	*probe
	version  int64 // after the import
	messages map[string]delivery.Message
	receipts map[string]map[string]delivery.Receipt // by message and recipient
}

func newLedger(p *probe) ledger {
	return ledger{probe: p, messages: map[string]delivery.Message{}, receipts: map[string]map[string]delivery.Receipt{}}
}

// enter checks an event against what was told before, and books it.
func (l *ledger) enter(event delivery.Event) {
	l.Helper()
	if event.To-event.From+1 != int64(len(event.Updates)) || len(event.Updates) == 0 {
		l.Fatalf("event %d covers versions %d to %d with %d updates", event.ID, event.From, event.To, len(event.Updates))
	}
	if event.Kind == delivery.Pruned {
		l.same("the update of a pruning", event.Updates, []delivery.Update{{Version: event.From, Floor: event.Updates[0].Floor}})
		maps.DeleteFunc(l.messages, func(_ string, m delivery.Message) bool { return m.Seq <= event.Updates[0].Floor })
		return
	}
	for i, update := range event.Updates {
		m, ok := l.messages[update.Message]
		if !ok {
			l.Fatalf("event %d tells of message %q, which is not in conversation %q", event.ID, update.Message, event.Conversation)
		}
		receipt := update.Receipt
		switch {
		case event.Kind == delivery.MessageDeleted:
			l.same("an update of a deletion", update, delivery.Update{Message: m.ID, Version: event.From + int64(i)})
			delete(l.messages, m.ID)
			continue
		case event.Kind == delivery.MessageSent && receipt == nil && update.Version == m.Seq:
			m.Status = delivery.Sent
			l.receipts[m.ID] = map[string]delivery.Receipt{}
		case event.Kind == delivery.StatusChanged && receipt != nil && receipt.Message == m.ID && receipt.Version == update.Version:
			before := l.receipts[m.ID][receipt.Recipient]
			failed := receipt.Status == delivery.Sent && before.Status <= delivery.Sent && receipt.Failure != before.Failure
			if !failed && (receipt.Status <= max(before.Status, delivery.Sent) || receipt.Failure != "") {
				l.Fatalf("event %d moves %s's receipt of message %q from %v to %v, and its failure from %q to %q",
					event.ID, receipt.Recipient, m.ID, before.Status, receipt.Status, before.Failure, receipt.Failure)
			}
			m.Count(m.Header, before, *receipt)
			l.receipts[m.ID][receipt.Recipient] = *receipt
		default:
			l.Fatalf("event %d of kind %v has an update that does not fit: %+v with receipt %+v", event.ID, event.Kind, update, receipt)
		}
		m.Version = event.From + int64(i)
		l.messages[m.ID] = m
		l.same("an update of event", update, delivery.Update{
			Message: m.ID, Sender: m.Sender, Version: m.Version,
			Status: m.Status, Delivered: m.Delivered, Read: m.Read, Failed: m.Failed, Total: m.Total, Readers: m.Readers,
			Receipt: receipt, Body: update.Body,
		})
	}
}

// told returns the receipts that the events told of, in order of recipient.
func (l *ledger) told(message string) []delivery.Receipt {
	return slices.SortedFunc(maps.Values(l.receipts[message]), func(a, b delivery.Receipt) int {
		return cmp.Compare(a.Recipient, b.Recipient)
	})
}

// asked returns the stored receipts of these messages, in order of recipient, of every user to whom
// somebody sent a message and of every user of whom an event told.
func (l *ledger) asked(messages []delivery.Message) map[string][]delivery.Receipt {
	l.Helper()
	users := maps.Clone(l.members)
	for _, receipts := range l.receipts {
		for recipient := range receipts {
			users[recipient] = true
		}
	}
	var keys []delivery.ReceiptKey
	for _, m := range messages {
		for user := range users {
			keys = append(keys, delivery.ReceiptKey{Message: m.ID, Recipient: user})
		}
	}
	all := map[string][]delivery.Receipt{}
	for some := range slices.Chunk(keys, delivery.MaxBatch) {
		for _, r := range l.receiptsOf(l.store, some) {
			all[r.Message] = append(all[r.Message], r)
		}
	}
	for _, receipts := range all {
		slices.SortFunc(receipts, func(a, b delivery.Receipt) int { return cmp.Compare(a.Recipient, b.Recipient) })
	}
	return all
}

// beyondSent returns the receipts that have advanced or failed.
func beyondSent(receipts []delivery.Receipt) []delivery.Receipt {
	receipts = slices.DeleteFunc(receipts, func(r delivery.Receipt) bool { return r.Status == delivery.Sent && r.Failure == "" })
	for i := range receipts {
		receipts[i].Reason = "" // which no event tells
	}
	return receipts
}

package deliverytest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/memstore"
)

// past is a message of the past, with its receipts.
func past(m delivery.NewMessage, receipts ...delivery.ImportReceipt) delivery.NewImport {
	return delivery.NewImport{NewMessage: m, Receipts: receipts}
}

func was(user string, status delivery.Status, delivered, read time.Time) delivery.ImportReceipt {
	return delivery.ImportReceipt{Recipient: user, Status: status, DeliveredAt: delivered, ReadAt: read}
}

func unknown(user string, status delivery.Status) delivery.ImportReceipt {
	return was(user, status, time.Time{}, time.Time{})
}

// imports imports messages of one conversation, all with the same outcome.
func (p *probe) imports(want delivery.ImportOutcome, messages ...delivery.NewImport) {
	p.Helper()
	p.importsEach(slices.Repeat([]delivery.ImportOutcome{want}, len(messages)), messages...)
}

// importsEach imports messages, and remembers what the conversation was then, for the audit.
func (p *probe) importsEach(want []delivery.ImportOutcome, messages ...delivery.NewImport) {
	p.Helper()
	got, err := p.importing(messages...)
	p.must("Import", err)
	p.same("the outcomes", got, want)
	conversation := messages[0].Conversation
	p.conversations[conversation] = true
	if p.imported == nil {
		p.imported = map[string]ledger{}
	}
	l := newLedger(p)
	stored, version := p.all(conversation)
	for l.version = version; len(stored) > 0; stored = stored[1:] {
		m := stored[0]
		l.messages[m.ID], l.receipts[m.ID] = m, map[string]delivery.Receipt{}
		for _, r := range beyondSent(p.receipts(m.ID)) {
			l.receipts[m.ID][r.Recipient] = r
		}
	}
	p.imported[conversation] = l
}

// importing imports on any goroutine.
func (p *probe) importing(messages ...delivery.NewImport) (outcomes []delivery.ImportOutcome, err error) {
	err = patiently(func() (bool, error) {
		outcomes, err = p.store.(delivery.ImportStore).Import(p.ctx, messages)
		return slices.Contains(outcomes, delivery.ImportBlocked), err
	})
	return outcomes, err
}

// ownStatuses are those that a user knows of the messages in a conversation.
func (p *probe) ownStatuses(conversation, user string) string {
	p.Helper()
	var all []string
	for _, m := range p.list(delivery.List{Conversation: conversation, Limit: 100, Viewer: user}).Messages {
		status := "nothing"
		if m.Own != nil {
			status = m.Own.Status.String()
		}
		all = append(all, m.ID+" "+status)
	}
	return strings.Join(all, ", ")
}

var crowd = []string{"alice", "bob", "carol", "dan", "erin"}

// history is a conversation that was imported into the store, and made by marks in a reference.
type history struct {
	*probe
	conversation string
	reference    *memstore.Store
	random       *rand.Rand
	last         string
}

// newHistory makes a conversation at random.
func newHistory(p *probe, seed uint64) *history {
	p.Helper()
	h := &history{probe: p, conversation: fmt.Sprint("history ", seed), reference: memstore.New(), random: rand.New(rand.NewPCG(seed, 1))} // #nosec G404 -- the same each time
	var items []delivery.NewImport
	for i := range 12 {
		items = append(items, h.message(i))
	}
	for len(items) > 0 {
		n := min(1+h.random.IntN(6), len(items))
		p.imports(delivery.ImportStored, items[:n]...)
		items = items[n:]
	}
	return h
}

// message makes a message with some receipts, and sends and marks it in the reference.
func (h *history) message(i int) delivery.NewImport {
	h.last = fmt.Sprint(h.conversation, "/", i)
	sender := crowd[h.random.IntN(len(crowd))]
	m := past(frozen(h.conversation, h.last, sender, slices.Clone(crowd)...))
	switch h.random.IntN(4) {
	case 0:
		m = past(open(h.conversation, h.last, sender))
	case 1:
		m.Roster += " with caps"
		m.Caps = []delivery.Status{delivery.Read, delivery.Delivered, delivery.Sent, delivery.Read, delivery.Delivered}
	}
	m.Quorum = max(m.Quorum, h.random.IntN(4))
	var marks []delivery.Mark
	for _, user := range crowd {
		if user == sender || h.random.IntN(8) == 0 {
			continue
		}
		first, second := minute(h.random.IntN(4)), minute(4+h.random.IntN(4))
		switch h.random.IntN(5) {
		case 0:
			m.Receipts = append(m.Receipts, was(user, delivery.Delivered, first, time.Time{}))
			marks = append(marks, delivered(m.ID, user, first))
		case 1:
			if m.Caps == nil { // of who hides reads, others do not learn the time of one
				m.Receipts = append(m.Receipts, was(user, delivery.Read, time.Time{}, second))
				marks = append(marks, read(m.ID, user, second))
				continue
			}
			fallthrough
		default:
			m.Receipts = append(m.Receipts, was(user, delivery.Read, first, second))
			marks = append(marks, delivered(m.ID, user, first), read(m.ID, user, second))
		}
	}
	_, _, err := h.reference.Create(h.ctx, []delivery.NewMessage{m.NewMessage}, delivery.Lease{})
	h.must("the reference's Create", err)
	slices.SortStableFunc(marks, func(a, b delivery.Mark) int { return a.At.Compare(b.At) })
	for _, mark := range marks {
		_, _, err := h.reference.Advance(h.ctx, []delivery.Mark{admitted(mark)}, delivery.Lease{})
		h.must("the reference's Advance", err)
		_, _, err = h.reference.AdvanceOwn(h.ctx, []delivery.OwnMark{letIn(private(mark.Message, mark.User, mark.Status))}, delivery.Lease{})
		h.must("the reference's AdvanceOwn", err)
	}
	return m
}

// seen is what there is to see in a store, but for versions and places, which are not the same.
func (h *history) seen(store delivery.Store, change func(delivery.Message) delivery.Message) (all []string) {
	h.Helper()
	versions := map[int64]string{}
	for _, user := range append(crowd, "mallory") {
		page, err := store.List(h.ctx, delivery.List{Conversation: h.conversation, Limit: 100, Viewer: user})
		h.must("List", err)
		own := delivery.Status(0)
		for i, m := range page.Messages {
			versions[m.Seq] = fmt.Sprint("message ", i)
			if own = 0; m.Own != nil {
				own = m.Own.Status
			}
			m.Own, m.Seq, m.Version = nil, 0, 0
			all = append(all, fmt.Sprintf("%+v is %v for %s", change(m), own, user))
		}
		unread, err := store.Unread(h.ctx, user, []string{h.conversation}, 100)
		h.must("Unread", err)
		all = append(all, fmt.Sprint(user, " has not read ", unread[0].Count, " from ", versions[unread[0].First.Seq]))
	}
	for i := range 12 {
		receipts, err := allReceipts(h.ctx, store, []string{fmt.Sprint(h.conversation, "/", i)})
		h.must("Receipts", err)
		for _, r := range receipts {
			if r.Version = 0; change(delivery.Message{Tally: delivery.Tally{ReadAt: noon}}).ReadAt.IsZero() {
				r = allTimeless([]delivery.Receipt{r})[0]
			}
			all = append(all, fmt.Sprintf("%+v", r))
		}
	}
	return all
}

func (h *history) compare(when string) {
	h.Helper()
	same := func(m delivery.Message) delivery.Message { return m }
	h.same("what there is to see "+when, h.seen(h.store, same), h.seen(h.reference, same))
}

// markUpTo makes up-to marks in both.
func (h *history) markUpTo() {
	h.Helper()
	for _, user := range crowd[:3] {
		mark := delivery.UpTo{Conversation: h.conversation, Message: h.last, User: user, Status: delivery.Delivered, At: minute(20), Admitted: h.random.IntN(2) == 0, Covered: true}
		if user == "bob" {
			mark.Status = delivery.Read
		}
		want, _, err := h.reference.AdvanceUpTo(h.ctx, []delivery.UpTo{mark}, plenty, delivery.Lease{})
		h.must("the reference's AdvanceUpTo", err)
		h.same("how many receipts an up-to mark of "+user+" advances", h.probe.markUpTo(mark).Changed, want[0].Changed)
	}
}

package memstore

import (
	"cmp"
	"slices"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/filler"
)

// conversation is the unit of order: all that one version counter counts.
// Its methods know nothing of locks or of other conversations.
type conversation struct {
	id       string
	shard    *shard
	version  int64
	messages []*message // in order of seq

	// changes holds, in order of version, each message's last change, and among them up to as
	// many that a later one has made stale; so it can be searched, and stays in proportion.
	changes []change

	places map[string]place // by user
}

type change struct {
	version int64
	message *message
}

func (c change) stale() bool { return c.message.Version != c.version }

// place is, for each status, the seq up to which a user has nothing left to advance to it.
type place [delivery.Read + 1]int64

// create gives a message the next place, and returns the news of it.
func (c *conversation) create(m *message, draft *delivery.NewMessage) news {
	c.version++
	m.Seq, m.Version, m.Status = c.version, c.version, delivery.Sent
	m.receipts.list = make([]receipt, 0, len(draft.Recipients))
	for _, user := range draft.Recipients {
		m.receipts.put(-1, receipt{recipient: user, hash: hashOf(user), status: delivery.Sent, version: m.Seq})
	}
	c.messages = append(c.messages, m)
	c.changed(m)

	update := m.update()
	if draft.EventBody {
		update.Body = m.body
	}
	return news{whole: &delivery.Event{
		Kind: delivery.MessageSent, Conversation: c.id, Except: draft.Socket,
		From: m.Seq, To: m.Seq, Updates: []delivery.Update{update},
	}}
}

// advance takes the steps, at least one, and returns the news of them.
func (c *conversation) advance(socket string, steps []step) news {
	if len(steps) == 1 {
		c.take(&steps[0])
		return newsOf(&steps[0], socket)
	}
	event := delivery.Event{
		Kind: delivery.StatusChanged, Conversation: c.id, Except: socket,
		From: c.version + 1, To: c.version + int64(len(steps)),
		Updates: make([]delivery.Update, len(steps)),
	}
	receipts := make([]delivery.Receipt, len(steps))
	for i := range steps {
		step := &steps[i]
		c.take(step)
		receipts[i] = step.receipt
		event.Updates[i] = step.message.update()
		event.Updates[i].Receipt = &receipts[i]
	}
	return news{whole: &event}
}

func (c *conversation) take(step *step) {
	c.version++
	step.take(c.version)
	c.changed(step.message)
}

// changed notes that the message took the newest version.
func (c *conversation) changed(m *message) {
	if len(c.changes) >= 2*len(c.messages)+8 {
		c.changes = slices.DeleteFunc(c.changes, change.stale)
	}
	c.changes = append(c.changes, change{m.Version, m})
}

// upTo finds the steps of a mark up to a message, and moves the user's place past what it leaves
// nothing to do at. It counts what is left out, and never moves the place past that. Strangers leave
// no place behind.
func (c *conversation) upTo(upTo delivery.UpTo, last *message) (result delivery.MarkedUpTo, steps []step) {
	at := c.places[upTo.User]
	from, _ := c.search(at[upTo.Status] + 1)
	reached := at[upTo.Status]
	for _, m := range c.messages[from:] {
		if m.Seq > last.Seq {
			break
		}
		step, verdict := m.judge(upTo.User, upTo.Status, upTo.At, upTo.Admitted)
		if verdict == advances && len(steps) == upTo.Limit {
			result.More = true
			break
		}
		switch verdict {
		case advances:
			steps = append(steps, step)
		case lacksAdmission:
			result.LeftOut++
		}
		if result.LeftOut == 0 {
			reached = m.Seq
		}
	}
	known := len(steps) > 0 || last.receipts.find(upTo.User) >= 0 || last.Sender == upTo.User
	if known && reached > at[upTo.Status] {
		for status := delivery.Delivered; status <= upTo.Status; status++ {
			at[status] = max(at[status], reached)
		}
		if c.places == nil {
			c.places = map[string]place{}
		}
		c.places[upTo.User] = at
	}
	return result, steps
}

// pending counts what the user has not read, from the user's place on.
func (c *conversation) pending(user string, limit int) delivery.Pending {
	pending := delivery.Pending{Version: c.version}
	if n := len(c.messages); n > 0 {
		pending.Newest = delivery.Place{ID: c.messages[n-1].ID, Seq: c.messages[n-1].Seq}
	}
	from, _ := c.search(c.places[user][delivery.Read] + 1)
	for _, m := range c.messages[from:] {
		if _, verdict := m.judge(user, delivery.Read, time.Time{}, true); verdict != advances {
			continue
		}
		switch pending.Unread {
		case limit:
			pending.More = true
			return pending
		case 0:
			pending.First = delivery.Place{ID: m.ID, Seq: m.Seq}
		}
		pending.Unread++
	}
	return pending
}

// search returns the index of the first message whose seq is at least this one.
func (c *conversation) search(seq int64) (int, bool) {
	return slices.BinarySearchFunc(c.messages, seq, func(m *message, seq int64) int { return cmp.Compare(m.Seq, seq) })
}

// page lists by seq.
func (c *conversation) page(list delivery.List) delivery.Page {
	messages := c.messages
	if list.Before != 0 {
		end, _ := c.search(list.Before)
		messages = messages[:end]
	}
	start, found := c.search(list.After)
	if found {
		start++
	}
	messages = messages[min(start, len(messages)):]
	order := slices.All(messages)
	if list.Before != 0 {
		order = slices.Backward(messages)
	}
	page := filler.Filler{List: list}
	for _, m := range order {
		if !page.Add(m.seenBy(list.Viewer)) {
			break
		}
	}
	return page.Done(delivery.Cursor{Version: c.version})
}

// changesAfter lists by version.
func (c *conversation) changesAfter(list delivery.List) delivery.Page {
	page := filler.Filler{List: list}
	start, found := slices.BinarySearchFunc(c.changes, list.After, func(c change, after int64) int { return cmp.Compare(c.version, after) })
	if found {
		start++
	}
	for _, change := range c.changes[start:] {
		if !change.stale() && !page.Add(change.message.seenBy(list.Viewer)) {
			break
		}
	}
	return page.Done(delivery.Cursor{Version: c.version})
}

package memstore

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/filler"
)

// conversation is the unit of order: all that one version counter counts.
type conversation struct {
	version   int64
	floor     int64
	compacted int64             // the version up to which messages were compacted
	messages  []*message        // in order of seq
	rosters   map[string]roster // by key
	places    map[string]place  // by user
	own       map[string]*own   // by user
}

// place is, for each status, the seq up to which a user has nothing left to advance to it.
type place [delivery.Read + 1]int64

// reach moves the user's place to a seq, for a status and those it implies.
func (c *conversation) reach(user string, status delivery.Status, seq int64) {
	at := c.places[user]
	for s := delivery.Delivered; s <= status; s++ {
		at[s] = max(at[s], seq)
		c.places[user] = at
	}
}

// create gives a message the next place, and returns it and its event. Without a roster for it
// there is none.
func (c *conversation) create(draft delivery.NewMessage) (*message, delivery.Event) {
	to, known := c.rosters[draft.Roster]
	if !known && !draft.Open {
		if draft.Members == nil {
			return nil, delivery.Event{}
		}
		to = rosterOf(draft)
		c.rosters[draft.Roster] = to
	}
	c.version++
	m := &message{key: draft.Roster, roster: to, body: draft.Body, receipts: map[string]delivery.Receipt{}}
	m.Header = draft.SizedFrom(to.tracked, to.readers, to.cap(draft.Sender))
	m.Seq, m.SentAt = c.version, precise(draft.SentAt)
	m.sent, m.stored = m.SentAt, time.Now()
	m.Tally = delivery.Tally{Version: c.version, Status: delivery.Sent}
	c.messages = append(c.messages, m)

	update := m.update()
	if draft.EventBody {
		update.Body = m.body
	}
	event := delivery.Event{
		Kind: delivery.MessageSent, Conversation: m.Conversation, Except: draft.Socket,
		From: m.Seq, To: m.Seq, Updates: []delivery.Update{update},
	}
	event.AddTrace(draft.Trace)
	return m, event
}

// remove deletes a message: what is left of it is a tombstone. Its roster is gone with its last
// message.
func (c *conversation) remove(m *message) delivery.Update {
	c.version++
	*m = message{
		Header:  delivery.Header{ID: m.ID, Conversation: m.Conversation, Seq: m.Seq},
		Tally:   delivery.Tally{Version: c.version},
		sent:    m.sent,
		stored:  m.stored,
		deleted: true,
	}
	c.dropRosters()
	return delivery.Update{Message: m.ID, Version: m.Version}
}

// dropRosters drops the rosters without a message.
func (c *conversation) dropRosters() {
	maps.DeleteFunc(c.rosters, func(key string, _ roster) bool {
		return !slices.ContainsFunc(c.messages, func(m *message) bool { return !m.deleted && !m.Open && m.key == key })
	})
}

// erase gives all that is the user's another name. Everything that only the user may know is
// dropped.
func (c *conversation) erase(user, name string) {
	maps.DeleteFunc(c.rosters, func(_ string, r roster) bool { return r.cap(user) != 0 })
	for _, m := range c.messages {
		if m.Sender == user { // who is no recipient
			m.Sender, m.roster = "", m.roster.renamed(user, "")
		} else {
			m.roster = m.roster.renamed(user, name)
		}
		if r, marked := m.receipts[user]; marked {
			r.Recipient = name
			m.receipts[name] = r
			delete(m.receipts, user)
		}
		if f, failed := m.failures[user]; failed {
			m.failures[name] = f
			delete(m.failures, user)
		}
	}
	c.places[name] = c.places[user]
	delete(c.places, user)
	delete(c.own, user)
}

// prune removes the first messages, up to one that is to stay, and returns them.
func (c *conversation) prune(p delivery.Pruning) []*message {
	n, limit := 0, min(p.Limit, len(c.messages))
	for n < limit && (p.All || c.messages[n].sent.Before(p.Before)) {
		n++
	}
	gone := c.messages[:n]
	c.messages = c.messages[n:]
	if n > 0 {
		c.version++
		c.floor = gone[n-1].Seq
		c.dropRosters()
		for _, own := range c.own {
			maps.DeleteFunc(own.private, func(seq int64, _ delivery.Status) bool { return seq <= c.floor })
			if own.place.Flag <= c.floor {
				own.place.Flag = 0
			}
		}
	}
	return gone
}

// compact forgets the times of messages that have changed since the last time, in the order in
// which they did, up to one that was sent later, and returns their number.
func (c *conversation) compact(x delivery.Compaction) (n int) {
	changed := slices.DeleteFunc(slices.Clone(c.messages), func(m *message) bool { return m.Version <= c.compacted })
	slices.SortFunc(changed, func(a, b *message) int { return cmp.Compare(a.Version, b.Version) })
	for n < min(x.Limit, len(changed)) && changed[n].sent.Before(x.Before) {
		changed[n].expire()
		c.compacted = changed[n].Version
		n++
	}
	return n
}

// newest returns the newest message that is not deleted.
func (c *conversation) newest() *message {
	for _, m := range slices.Backward(c.messages) {
		if !m.deleted {
			return m
		}
	}
	return nil
}

// take takes a step at the next version.
func (c *conversation) take(s step) delivery.Update {
	c.version++
	return s.message.take(s, c.version)
}

// stretch is how many messages an up-to mark looks at in one call.
const stretch = 5000

// upTo finds the steps of a mark up to a message, at most so many, and moves the user's place past
// what it leaves nothing to do at. It counts what is left out, and never moves the place past that,
// nor past what shows less than the mark. Strangers leave no place behind.
func (c *conversation) upTo(upTo delivery.UpTo, last *message, limit int) (result delivery.MarkedUpTo, steps []step) {
	at := c.places[upTo.User]
	begin := max(at[upTo.Status], upTo.After)
	messages := c.between(begin, last.Seq+1)
	result.Reached = last.Seq
	if len(messages) > stretch {
		messages = messages[:stretch]
		result.Reached = messages[stretch-1].Seq
	}
	for _, m := range messages {
		step, verdict := m.judge(upTo.User, upTo.Status, upTo.At, upTo.Admitted)
		if verdict == advances && len(steps) == limit {
			result.Reached = m.Seq - 1
			break
		}
		if _, received := m.receipt(upTo.User); received && m.cap(upTo.User) < upTo.Status {
			result.Capped = true
		}
		switch verdict {
		case advances:
			steps = append(steps, step)
		case lacksAdmission:
			result.LeftOut++
		}
	}
	result.More = result.Reached < last.Seq

	_, received := last.receipt(upTo.User)
	belongs := len(steps) > 0 || received || last.Sender == upTo.User
	whole := result.LeftOut == 0 && !result.Capped && (upTo.Covered || begin == at[upTo.Status])
	if belongs && whole {
		c.reach(upTo.User, upTo.Status, result.Reached)
	}
	return result, steps
}

// unread counts what the user has not read, from the user's place on.
func (c *conversation) unread(user string, limit int) delivery.Unread {
	own := c.ownOf(user)
	unread := delivery.Unread{Version: c.version, Floor: c.floor, Place: own.place}
	if m := c.newest(); m != nil {
		newest := c.view(m, user)
		newest.Body = delivery.Preview(newest.Body)
		unread.Newest = &newest
	}
	first := func(m *message) {
		if unread.First.Seq == 0 || m.Seq < unread.First.Seq {
			unread.First = delivery.Position{ID: m.ID, Seq: m.Seq}
		}
	}
	if flag := own.place.Flag; flag > 0 {
		for _, m := range c.messages[c.search(flag):] {
			if !m.deleted {
				unread.Flagged = true
				first(m)
				break
			}
		}
	}
	for _, m := range c.messages[c.search(own.place.Badge+1):] {
		own := c.state(m, user).Own(user)
		if m.deleted || m.Sender == user || own == 0 && !m.Open || own == delivery.Read {
			continue
		}
		if unread.Count == limit {
			unread.More = true
			break
		}
		first(m)
		unread.Count++
	}
	return unread
}

// between returns the messages with a seq after one and before another.
func (c *conversation) between(after, before int64) []*message {
	end := c.search(before)
	return c.messages[min(c.search(after+1), end):end]
}

// search returns the index of the first message whose seq is at least this one.
func (c *conversation) search(seq int64) int {
	at, _ := slices.BinarySearchFunc(c.messages, seq, func(m *message, seq int64) int { return cmp.Compare(m.Seq, seq) })
	return at
}

// page lists by seq or by version.
func (c *conversation) page(list delivery.List) delivery.Page {
	messages := c.messages
	switch {
	case list.Changes:
		messages = slices.Clone(messages)
		messages = slices.DeleteFunc(messages, func(m *message) bool { return m.Version <= list.After })
		slices.SortFunc(messages, func(a, b *message) int { return cmp.Compare(a.Version, b.Version) })
	case list.Before != 0:
		messages = slices.Clone(c.between(list.After, list.Before))
		slices.Reverse(messages)
	default:
		messages = messages[c.search(list.After+1):]
	}
	page := filler.Filler{List: list}
	for _, m := range messages {
		if m.deleted && (!list.Changes || list.After == 0) {
			continue
		}
		if !page.Add(c.view(m, list.Viewer)) {
			break
		}
	}
	done := page.Done(delivery.Cursor{Version: c.version})
	done.Floor = c.floor
	return done
}

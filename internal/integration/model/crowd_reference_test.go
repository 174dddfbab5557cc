package model

import (
	"cmp"
	"slices"

	"github.com/msgdelivery/delivery"
)

// crowd is what a store and the tracker over it should be for groups of many members, some of whom
// hide what they do. It knows statuses, counts and versions, and no times. All its messages have
// frozen recipients.
type crowd struct {
	groups map[string]*group
}

// group is a conversation of a crowd.
type group struct {
	version   int64
	compacted int64   // the version up to which posts were compacted
	messages  []*post // in order of seq, deleted ones too
	readers   map[string]*reader
}

// post is a message.
type post struct {
	delivery.Header
	group           *group
	author          string // the Sender, until that is erased
	version         int64
	members         map[string]bool // its roster
	cap             func(user string) delivery.Status
	shown           map[string]delivery.Status
	expired         map[string]bool   // whose receipts lack a time
	failures        map[string]string // codes, by recipient
	delivered, read int
	deleted         bool
}

// reader is a user in a group: what the user alone knows. Badge and delivered are its own place.
type reader struct {
	private                map[int64]delivery.Status // by seq
	delivered, badge, flag int64
	reach                  [delivery.Read + 1]int64 // up to where public up-to marks have left nothing to show, by status
	erased                 bool
}

// reader returns a user of a group.
func (g *group) reader(user string) *reader {
	if g.readers[user] == nil {
		g.readers[user] = &reader{private: map[int64]delivery.Status{}}
	}
	return g.readers[user]
}

// concerns reports whether a post is for a user.
func (p *post) concerns(user string) bool {
	return !p.deleted && p.author != user && p.members[user]
}

// seen is the user's receipt, as others see it.
func (p *post) seen(user string) delivery.Status { return max(delivery.Sent, p.shown[user]) }

// own is the user's receipt, as the user knows it.
func (p *post) own(user string) delivery.Status {
	r, by := p.group.reader(user), delivery.Status(0)
	switch {
	case p.Seq <= r.badge:
		by = delivery.Read
	case p.Seq <= r.delivered:
		by = delivery.Delivered
	}
	return max(p.seen(user), r.private[p.Seq], by)
}

// status is what a quorum has reached.
func (p *post) status() delivery.Status {
	switch {
	case p.Readers > 0 && p.read >= min(p.Quorum, p.Readers):
		return delivery.Read
	case p.delivered >= p.Quorum:
		return delivery.Delivered
	}
	return delivery.Sent
}

func (g *group) next() int64 {
	g.version++
	return g.version
}

func (g *group) send(id, sender string, members map[string]bool, cap func(user string) delivery.Status) *post {
	p := &post{group: g, author: sender, members: members, cap: cap, shown: map[string]delivery.Status{}, expired: map[string]bool{}, failures: map[string]string{}}
	p.version = g.next()
	p.Header = delivery.Header{ID: id, Sender: sender, Seq: p.version}
	for user := range members {
		if user != sender && cap(user) >= delivery.Delivered {
			p.Total++
		}
		if user != sender && cap(user) == delivery.Read {
			p.Readers++
		}
	}
	p.Quorum = max(1, p.Total)
	g.messages = append(g.messages, p)
	return p
}

// refusal is why the user may not mark a post that was not deleted, or nil.
func (p *post) refusal(user string) error {
	switch {
	case p.author == user && !p.group.reader(user).erased:
		return delivery.ErrOwnMessage
	case !p.members[user] || p.group.reader(user).erased:
		return delivery.ErrNotRecipient
	}
	return nil
}

// placing is why a user may not dismiss or flag a post, given why the user may not mark it: senders
// have a place, too.
func placing(refusal error) error {
	if refusal == delivery.ErrOwnMessage {
		return nil
	}
	return refusal
}

// knows reports whether a user has sent a message that is there, is a recipient of one, or has a
// place of their own.
func (g *group) knows(user string) bool {
	r := g.reader(user)
	return r.delivered > 0 || r.flag > 0 || slices.ContainsFunc(g.messages, func(p *post) bool { return p.concerns(user) || !p.deleted && p.author == user })
}

// shows is what others see of a mark.
func shows(hide delivery.Hide, status delivery.Status) delivery.Status {
	switch hide {
	case delivery.HideRead:
		return delivery.Delivered
	case delivery.HideAll:
		return 0
	}
	return status
}

// advance makes the public part of a mark, and reports whether it was a step.
func (p *post) advance(user string, to delivery.Status) bool {
	was := p.seen(user)
	if to = min(to, p.cap(user)); to <= was {
		return false
	}
	p.version, p.shown[user] = p.group.next(), to
	delete(p.failures, user)
	if was < delivery.Delivered {
		p.delivered++
	}
	if to == delivery.Read {
		p.read++
	}
	return true
}

// fail records a failure of a recipient.
func (p *post) fail(user, code string) {
	if p.seen(user) == delivery.Sent && p.cap(user) > delivery.Sent && p.failures[user] != code {
		p.version, p.failures[user] = p.group.next(), code
	}
}

// mark marks a post that the user may mark.
func (p *post) mark(user string, hide delivery.Hide, status delivery.Status) {
	r := p.group.reader(user)
	p.advance(user, shows(hide, status))
	if status > p.own(user) {
		r.private[p.Seq] = status
	}
	if status == delivery.Read && r.flag <= p.Seq {
		r.flag = 0
	}
}

// upTo marks all up to a post, and returns how many receipts advanced as others see it.
func (p *post) upTo(user string, hide delivery.Hide, status delivery.Status) (changed int, err error) {
	g, r, to := p.group, p.group.reader(user), shows(hide, status)
	capped := false // by a message that has not been passed
	for _, m := range g.messages {
		if m.Seq > p.Seq || !m.concerns(user) || r.erased {
			continue
		}
		capped = capped || m.Seq > r.reach[to] && m.cap(user) < to
		if m.advance(user, to) {
			changed++
		}
	}
	hidden := to < status || status == delivery.Read && r.flag > 0 && r.flag <= p.Seq
	if to != 0 && changed == 0 && !capped && !p.deleted && (!hidden || r.erased) && p.refusal(user) == delivery.ErrNotRecipient {
		return 0, delivery.ErrNotRecipient
	}
	passed := !capped && (changed > 0 || p.concerns(user) || !p.deleted && p.author == user)
	if to < status || capped {
		before := *r
		r.delivered = max(r.delivered, p.Seq)
		if status == delivery.Read {
			r.badge = max(r.badge, p.Seq)
		}
		known := max(before.delivered, before.badge, before.reach[delivery.Delivered])
		if status == delivery.Read {
			known = max(before.badge, before.reach[delivery.Read])
		}
		passed = passed || known < p.Seq || status == delivery.Read && before.flag > 0 && before.flag <= p.Seq
	}
	if passed {
		for s := delivery.Delivered; s <= to; s++ {
			r.reach[s] = max(r.reach[s], p.Seq)
		}
	}
	if status == delivery.Read && r.flag <= p.Seq {
		r.flag = 0
	}
	return changed, nil
}

// dismiss moves a badge.
func (p *post) dismiss(user string) {
	r := p.group.reader(user)
	r.delivered, r.badge = max(r.delivered, p.Seq), max(r.badge, p.Seq)
	if r.flag <= p.Seq {
		r.flag = 0
	}
}

// delete leaves a tombstone.
func (p *post) delete() {
	p.deleted, p.version = true, p.group.next()
}

// compact compacts up to n posts, in order of their last changes, and returns their number.
func (g *group) compact(n int) int {
	posts := slices.DeleteFunc(slices.Clone(g.messages), func(p *post) bool { return p.version <= g.compacted })
	slices.SortFunc(posts, func(a, b *post) int { return cmp.Compare(a.version, b.version) })
	posts = posts[:min(n, len(posts))]
	for _, p := range posts {
		g.compacted = p.version
		for user, status := range p.shown {
			p.expired[user] = status >= delivery.Delivered
		}
	}
	return len(posts)
}

// unread is what a user has not read.
func (g *group) unread(user string) delivery.Unread {
	u, r := delivery.Unread{Version: g.version}, g.reader(user)
	var flagged delivery.Position
	for _, p := range g.messages {
		if p.deleted {
			continue
		}
		at := delivery.Position{ID: p.ID, Seq: p.Seq}
		if p.concerns(user) && !r.erased && p.own(user) < delivery.Read {
			if u.Count++; u.Count == 1 {
				u.First = at
			}
		}
		if r.flag > 0 && p.Seq >= r.flag && flagged.Seq == 0 {
			flagged = at
		}
	}
	if u.Flagged = flagged.Seq > 0; u.Flagged && (u.First.Seq == 0 || flagged.Seq < u.First.Seq) {
		u.First = flagged
	}
	return u
}

// erase takes a user's name out.
func (c *crowd) erase(user string) {
	for _, g := range c.groups {
		r := g.reader(user)
		*r = reader{private: map[int64]delivery.Status{}, erased: true}
		for _, p := range g.messages {
			if p.author == user {
				p.Sender = ""
			}
		}
	}
}

// receipts are those of a post, in order of recipient, erased ones last.
func (p *post) receipts() (all []delivery.Receipt) {
	var nameless []delivery.Receipt
	reason := func(user string) delivery.Reason {
		switch cap := p.cap(user); {
		case cap == delivery.Sent:
			return "untracked"
		case cap == delivery.Delivered && p.seen(user) == delivery.Delivered:
			return "capped"
		}
		if p.expired[user] {
			return "expired"
		}
		return ""
	}
	for user := range p.members {
		if p.author == user {
			continue
		}
		if p.group.reader(user).erased {
			nameless = append(nameless, delivery.Receipt{Message: p.ID, Status: p.seen(user), Failure: p.failures[user], Reason: reason(user)})
		} else {
			all = append(all, delivery.Receipt{Message: p.ID, Recipient: user, Status: p.seen(user), Failure: p.failures[user], Reason: reason(user)})
		}
	}
	slices.SortFunc(all, func(a, b delivery.Receipt) int { return cmp.Compare(a.Recipient, b.Recipient) })
	slices.SortFunc(nameless, inAnyOrder)
	return append(all, nameless...)
}

// inAnyOrder orders receipts that have no names.
func inAnyOrder(a, b delivery.Receipt) int {
	return cmp.Or(cmp.Compare(a.Status, b.Status), cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.Failure, b.Failure))
}

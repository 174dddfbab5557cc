package model

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/msgdelivery/delivery"
)

// compact compacts up to n messages of a group. How many one call takes is the store's to choose.
func (m *market) compact(g string, n int) {
	m.Helper()
	got, err := m.keeper.Compact(m.ctx, delivery.Compaction{Conversation: g, Before: time.Now().Add(time.Hour), Limit: n})
	m.must(err)
	if all := m.ref.groups[g].compact(got.Compacted); got.Compacted > n || got.Compacted != all || got.Compacted == 0 && m.ref.groups[g].compact(1) > 0 {
		m.Errorf("Compact of up to %d messages of %s: %+v", n, g, got)
	}
}

// unread compares a user's badges, and what the user's other devices know.
func (m *market) unread(user string) {
	m.Helper()
	groups := slices.Sorted(maps.Keys(m.ref.groups))
	got, err := m.tracker.Unread(m.ctx, delivery.Actor{User: user}, groups...)
	m.must(err)
	for i, u := range got {
		g := m.ref.groups[groups[i]]
		want := g.unread(user)
		if u.Count != want.Count || u.First != want.First || u.Flagged != want.Flagged || u.Version != want.Version {
			m.Errorf("Unread of %s in %s: %+v, want %+v", user, groups[i], u, want)
		}
		if r := g.reader(user); !r.erased && u.Place.Flag != r.flag {
			m.Errorf("the flag of %s in %s is %d, want %d", user, groups[i], u.Place.Flag, r.flag)
		}
		if device := m.devices[delivery.Reader{User: user, Conversation: groups[i]}]; device.Rev > u.Place.Rev && !g.reader(user).erased {
			m.Errorf("an event said %+v to %s in %s, whose place is %+v", device, user, groups[i], u.Place)
		}
	}
}

// look compares the receipts of a message.
func (m *market) look(p *post) {
	m.Helper()
	var got []delivery.Receipt
	for q := (delivery.ReceiptQuery{Message: p.ID, Limit: delivery.MaxBatch}); ; {
		page, err := m.tracker.Receipts(m.ctx, q)
		if p.deleted {
			m.refused("Receipts", err, delivery.ErrNotFound)
			return
		}
		m.must(err)
		got = append(got, page.Receipts...)
		if q.After = page.Next; !page.More {
			break
		}
	}
	for i := range got {
		got[i].Version, got[i].DeliveredAt, got[i].ReadAt = 0, time.Time{}, time.Time{}
	}
	named := func(r delivery.Receipt) bool { return r.Recipient != "" }
	if end := slices.IndexFunc(got, func(r delivery.Receipt) bool { return !named(r) }); end >= 0 {
		slices.SortFunc(got[end:], inAnyOrder)
	}
	if want := p.receipts(); !slices.Equal(got, want) {
		m.Errorf("receipts of %s:\n%v\nwant\n%v", p.ID, got, want)
	}
}

// catchUp brings a client's view up to date, and compares it.
func (m *market) catchUp(g string) {
	m.Helper()
	for more := true; more; {
		page, err := m.tracker.Changes(m.ctx, g, m.cursors[g], delivery.MaxBatch)
		m.must(err)
		for _, message := range page.Messages {
			m.pages[g][message.ID] = message
		}
		m.cursors[g], more = page.Cursor, page.More
	}
	for _, p := range m.ref.groups[g].messages {
		got, there := m.pages[g][p.ID]
		if p.deleted {
			if there && !got.Deleted {
				m.Errorf("%s is deleted, and the client has %+v", p.ID, got)
			}
			continue
		}
		if got.Version != p.version || got.Delivered != p.delivered || got.Read != p.read || got.Failed != len(p.failures) || got.Status != p.status() || got.Total != p.Total || got.Readers != p.Readers {
			m.Errorf("the client has %+v, want version %d, %d delivered of %d, %d read of %d, %d failed, %v", got, p.version, p.delivered, p.Total, p.read, p.Readers, len(p.failures), p.status())
		}
	}
}

// hear takes events.
func (m *market) hear(_ context.Context, events []delivery.Event) error {
	for _, e := range events {
		for v := e.From; v <= e.To && v > 0; v++ {
			m.told[e.Conversation][v]++
		}
		for _, u := range e.Updates {
			if u.Own != nil {
				at := delivery.Reader{User: e.User, Conversation: u.Own.Conversation}
				if u.Own.Place.Rev > m.devices[at].Rev {
					m.devices[at] = u.Own.Place
				}
			} else if u.Version > m.last[u.Message].Version {
				m.last[u.Message] = u
			}
		}
	}
	return nil
}

// all compares everything.
func (m *market) all() {
	m.Helper()
	for name, g := range m.ref.groups {
		m.catchUp(name)
		for v := int64(1); v <= g.version; v++ {
			if m.told[name][v] != 1 {
				m.Errorf("version %d of %s was told %d times", v, name, m.told[name][v])
			}
		}
	}
	for _, p := range m.posts {
		m.look(p)
		u := m.last[p.ID]
		if u.Version != p.version || !p.deleted && (u.Delivered != p.delivered || u.Read != p.read || u.Failed != len(p.failures) || u.Status != p.status()) {
			m.Errorf("the last event of %s says %+v, want version %d, %d delivered, %d read, %d failed", p.ID, u, p.version, p.delivered, p.read, len(p.failures))
		}
	}
	for _, user := range m.users {
		m.unread(user)
		for name, g := range m.ref.groups {
			unread, err := m.tracker.Unread(m.ctx, delivery.Actor{User: user}, name)
			m.must(err)
			if device := m.devices[delivery.Reader{User: user, Conversation: name}]; device.Rev > 0 && device != unread[0].Place && !g.reader(user).erased {
				m.compareDevice(user, name, device, unread[0].Place)
			}
		}
	}
	for _, user := range []string{m.users[3], m.users[7], m.users[len(m.users)-1]} {
		for name, g := range m.ref.groups {
			m.views(user, name, g)
		}
	}
}

// compareDevice compares what the last own event said with the place.
func (m *market) compareDevice(user, g string, device, place delivery.Place) {
	m.Helper()
	if device.Rev != place.Rev || device.Flag != place.Flag || device.Badge > place.Badge || device.Delivered > place.Delivered {
		m.Errorf("the devices of %s know %+v of %s, whose place is %+v", user, device, g, place)
	}
}

// views compares what a second device shows after it has read all anew.
func (m *market) views(user, name string, g *group) {
	m.Helper()
	for q := (delivery.Query{Conversation: name, Viewer: user, Limit: delivery.MaxBatch}); ; {
		page, err := m.tracker.Messages(m.ctx, q)
		m.must(err)
		for _, got := range page.Messages {
			q.After = got.Seq
			p := g.messages[slices.IndexFunc(g.messages, func(p *post) bool { return p.ID == got.ID })]
			want := delivery.Status(0)
			if p.concerns(user) && !g.reader(user).erased {
				want = p.own(user)
			}
			has := delivery.Status(0)
			if got.Own != nil {
				has = got.Own.Status
			}
			if has != want {
				m.Errorf("%s sees %s as %v, want %v", user, p.ID, has, want)
			}
		}
		if !page.More {
			return
		}
	}
}

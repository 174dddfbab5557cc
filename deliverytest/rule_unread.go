package deliverytest

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/msgdelivery/delivery"
)

var unreadCases = []storeCase{
	{"what is pending is counted, begins at the first unread message and ends at the newest one", func(p *probe) {
		p.five()
		p.pending("bob", badge{Unread: 5, First: place("m1", 1), Newest: place("m5", 5), Version: 5})
		p.mark(read("m1", "bob", noon), read("m3", "bob", noon))
		p.pending("bob", badge{Unread: 3, First: place("m2", 2), Newest: place("m5", 5), Version: 7})
		p.mark(read("m2", "bob", noon), read("m4", "bob", noon), read("m5", "bob", noon))
		p.pending("bob", badge{Newest: place("m5", 5), Version: 10})
	}},
	{"what was delivered is pending until it is read", func(p *probe) {
		p.five()
		p.mark(delivered("m1", "bob", noon), read("m2", "bob", noon))
		p.markUpTo(upTo("m4", delivery.Delivered))
		p.pending("bob", badge{Unread: 4, First: place("m1", 1), Newest: place("m5", 5), Version: 9})
	}},
	{"a user's own messages are not pending, nor those frozen without the user; open ones are for all others", func(p *probe) {
		p.create(open("c", "m1", "bob"), frozen("c", "m2", "alice", "carol"), frozen("c", "m3", "bob", "alice"),
			open("c", "m4", "alice"), frozen("c", "m5", "alice", "bob"), frozen("c", "m6", "alice"))
		last := place("m6", 6)
		p.pending("bob", badge{Unread: 2, First: place("m4", 4), Newest: last, Version: 6})
		p.pending("alice", badge{Unread: 2, First: place("m1", 1), Newest: last, Version: 6})
		p.pending("carol", badge{Unread: 3, First: place("m1", 1), Newest: last, Version: 6})
		p.pending("mallory", badge{Unread: 2, First: place("m1", 1), Newest: last, Version: 6})
		p.mark(admitted(read("m1", "mallory", noon)), admitted(delivered("m4", "mallory", noon)))
		p.pending("mallory", badge{Unread: 1, First: place("m4", 4), Newest: last, Version: 8})
		p.pending("carol", badge{Unread: 3, First: place("m1", 1), Newest: last, Version: 8})
	}},
	{"after a mark up to the newest message nothing is pending but what comes later", func(p *probe) {
		p.five()
		p.create(frozen("c", "own", "bob", "alice"))
		p.markUpTo(upTo("own", delivery.Read))
		p.pending("bob", badge{Newest: place("own", 6), Version: 11})
		p.create(frozen("c", "m7", "alice", "bob"), frozen("c", "m8", "alice", "carol"), open("c", "m9", "alice"))
		p.pending("bob", badge{Unread: 2, First: place("m7", 12), Newest: place("m9", 14), Version: 14})
	}},
	{"what an up-to mark did not reach, or left out for want of admission, is still pending", func(p *probe) {
		p.create(frozen("c", "m1", "alice", "bob"), open("c", "m2", "alice"), frozen("c", "m3", "alice", "bob"), frozen("c", "m4", "alice", "bob"))
		p.markUpTo(upTo("m3", delivery.Read))
		p.pending("bob", badge{Unread: 2, First: place("m2", 2), Newest: place("m4", 4), Version: 6})
		mark := upTo("m4", delivery.Read)
		mark.Admitted = true
		p.markAllUpTo(1, mark)
		p.pending("bob", badge{Unread: 1, First: place("m4", 4), Newest: place("m4", 4), Version: 7})
	}},
	{"what is pending is counted up to the limit, and the newest message is the newest all the same", func(p *probe) {
		p.five()
		for _, c := range []struct {
			limit, unread int
			more          bool
		}{{1, 1, true}, {4, 4, true}, {5, 5, false}, {6, 5, false}} {
			p.same(fmt.Sprint("Unread up to ", c.limit), p.unread("bob", "c", c.limit),
				badge{Unread: c.unread, More: c.more, First: place("m1", 1), Newest: place("m5", 5), Version: 5})
		}
	}},
	{"nothing is pending in a conversation that does not exist, or in another", func(p *probe) {
		p.five()
		for _, conversation := range []string{"nowhere", "C", "c "} {
			p.same("Unread in "+conversation, p.unread("bob", conversation, 10), badge{})
		}
	}},
	{"several conversations are answered in the order of the call, each with its newest message", func(p *probe) {
		long := open("b", "m3", "alice")
		long.Body = strings.Repeat("é", delivery.MaxPreview+1)
		p.create(frozen("a", "m1", "alice", "bob"), frozen("a", "m2", "bob", "alice"), long)
		p.mark(admitted(delivered("m3", "bob", noon)))
		all, err := p.store.Unread(p.ctx, "bob", []string{"b", "nowhere", "a"}, 10)
		p.must("Unread", err)
		newest := p.list(delivery.List{Conversation: "b", Limit: 1, Before: delivery.Latest, Viewer: "bob"}).Messages[0]
		newest.Body = strings.Repeat("é", delivery.MaxPreview)
		own := p.message("m2")
		p.same("Unread", all, []delivery.Unread{
			{Conversation: "b", Count: 1, First: place("m3", 1), Newest: &newest, Version: 2},
			{Conversation: "nowhere"},
			{Conversation: "a", Count: 1, First: place("m1", 1), Newest: &own, Version: 2},
		})
	}},
	{"what is pending is of one moment, whatever is sent and read meanwhile", func(p *probe) {
		// One message at a time is sent and then read: at odd versions it is pending, at even ones
		// nothing is.
		const messages, readers = 20, 4
		p.conversations["c"] = true
		begun, done := make(chan bool), make(chan bool)
		p.together(1+readers, func(worker int) (err error) {
			for worker > 0 { // it reads whenever something is written
				select {
				case begun <- true:
				case <-done:
					return err
				}
				all, failed := p.store.Unread(p.ctx, "bob", []string{"c"}, 10)
				if failed != nil {
					return failed
				}
				got := badgeOf(all[0])
				odd := got.Version % 2
				if failed == nil && (int64(got.Unread) != odd || got.First.Seq != odd*got.Version || got.Newest.Seq < got.Version-1) {
					failed = fmt.Errorf("Unread returned %+v", got)
				}
				err = cmp.Or(err, failed)
			}
			defer close(done)
			for i := range messages {
				id := fmt.Sprint("m", i)
				<-begun
				if _, err := create(p.ctx, p.store, []delivery.NewMessage{frozen("c", id, "alice", "bob")}); err != nil {
					return err
				}
				<-begun
				if _, err := advanceUpTo(p.ctx, p.store, plenty, upTo(id, delivery.Read)); err != nil {
					return err
				}
			}
			return nil
		})
	}},
}

func place(id string, seq int64) delivery.Position { return delivery.Position{ID: id, Seq: seq} }

// badge is an [delivery.Unread] without its names and with the place of the newest message alone.
type badge struct {
	Unread        int
	More          bool
	First, Newest delivery.Position
	Version       int64
}

func badgeOf(u delivery.Unread) badge {
	b := badge{Unread: u.Count, More: u.More, First: u.First, Version: u.Version}
	if u.Newest != nil {
		b.Newest = place(u.Newest.ID, u.Newest.Seq)
	}
	return b
}

// unread asks what a user has not read in a conversation.
func (p *probe) unread(user, conversation string, limit int) badge {
	p.Helper()
	all, err := p.store.Unread(p.ctx, user, []string{conversation}, limit)
	p.must("Unread", err)
	if len(all) != 1 || all[0].Conversation != conversation {
		p.Fatalf("Unread returned %+v for conversation %q", all, conversation)
	}
	return badgeOf(all[0])
}

// pending checks what a user has not read in conversation c.
func (p *probe) pending(user string, want badge) {
	p.Helper()
	p.same("what is unread for "+user, p.unread(user, "c", 100), want)
}

package deliverytest

import (
	"fmt"
	"time"

	"github.com/msgdelivery/delivery"
)

var hourCases = []storeCase{
	{"an hour counts messages by their status, and recipients of those that are not open by what others see", func(p *probe) {
		p.create(
			frozen("c", "m1", "alice", "bob", "carol"), frozen("c", "m2", "alice", "bob", "carol"), frozen("c", "m3", "alice", "bob", "carol"),
			open("c", "m4", "alice"), open("c", "m5", "alice"), capped("d", "n1", "alice"),
		)
		p.mark(delivered("m1", "bob", noon))
		p.mark(delivered("m2", "bob", noon), delivered("m2", "carol", noon))
		p.mark(read("m3", "bob", noon), read("m3", "carol", noon))
		p.mark(admitted(read("m4", "bob", noon)))
		p.mark(read("n1", "bob", noon), read("n1", "carol", noon), read("n1", "dan", noon))
		p.ownMark(private("m1", "carol", delivery.Read))
		p.ownMark(private("m2", "bob", delivery.Read))
		hour := p.hour()
		p.same("messages", hour.Messages, delivery.Funnel{Sent: 6, Delivered: 4, Read: 3})
		p.same("recipients", hour.Recipients, delivery.Funnel{Sent: 8, Delivered: 7, Read: 3})
		p.same("deleted messages", hour.Deleted, 0)
	}},
	{"times are counted by the bounds that they do not exceed", func(p *probe) {
		var want delivery.Hour
		for i, bound := range delivery.LatencyBounds {
			on, over := fmt.Sprint("on", i), fmt.Sprint("over", i)
			p.create(open("c", on, "alice"), open("c", over, "alice"))
			p.mark(admitted(delivered(on, "bob", noon.Add(bound))), admitted(read(over, "bob", noon.Add(bound+time.Microsecond))))
			want.ToDelivered[i]++
			want.ToDelivered[i+1]++
			want.ToRead[i+1]++
		}
		p.create(open("c", "unread", "alice"))
		hour := p.hour()
		p.same("times until messages were delivered", hour.ToDelivered, want.ToDelivered)
		p.same("times until messages were read", hour.ToRead, want.ToRead)
	}},
	{"hours are returned from the one that is asked for", func(p *probe) {
		p.create(open("c", "m", "alice"))
		start := p.hour().Start
		for _, c := range []struct {
			from  time.Time
			limit int
			want  int
		}{{start, 2, 1}, {start, 0, 0}, {start.Add(time.Microsecond), 2, 0}, {start.Add(-time.Hour), 3, 1}} {
			hours, err := p.store.(delivery.HourStore).Hours(p.ctx, c.from, c.limit)
			p.must("Hours", err)
			found := 0
			for _, h := range hours {
				found += h.Messages.Sent
			}
			p.same(fmt.Sprintf("the messages of up to %d hours from %v on", c.limit, c.from.Sub(start)), found, c.want)
		}
	}},
}

// hourKeeperCases are the rules for a store that is a [delivery.Keeper] too.
var hourKeeperCases = []storeCase{
	{"a deleted message counts as deleted alone, and an erased user's go on counting", func(p *probe) {
		p.create(frozen("c", "m1", "alice", "bob"), frozen("c", "m2", "alice", "bob"), frozen("c", "m3", "bob", "alice"), open("c", "m4", "bob"))
		p.mark(read("m1", "bob", noon), read("m2", "bob", noon))
		p.delete("m2", "m4")
		p.erase("bob", 10)
		hour := p.hour()
		p.same("messages", hour.Messages, delivery.Funnel{Sent: 2, Delivered: 1, Read: 1})
		p.same("recipients", hour.Recipients, delivery.Funnel{Sent: 2, Delivered: 1, Read: 1})
		p.same("deleted messages", hour.Deleted, 2)
		p.same("times", []int{hour.ToDelivered[0], hour.ToRead[0]}, []int{1, 1})
		p.unaudited()
	}},
}

// hour has this hour and the one before counted, and returns what both have, with the start of the
// later one that has messages.
func (p *probe) hour() (all delivery.Hour) {
	p.Helper()
	store := p.store.(delivery.HourStore)
	began := time.Now().Add(-time.Hour).Truncate(time.Hour)
	for range 2 {
		_, err := store.CountHour(p.ctx)
		p.must("CountHour", err)
	}
	hours, err := store.Hours(p.ctx, began, delivery.MaxBatch)
	p.must("Hours", err)
	for _, h := range hours {
		p.same("when an hour began", h.Start, h.Start.UTC().Truncate(time.Hour))
		if !h.Start.After(all.Start) || h.AsOf.Before(h.Start) || h.AsOf.After(time.Now().Add(time.Second)) {
			p.Errorf("an hour after that of %v began at %v and was counted at %v", all.Start, h.Start, h.AsOf)
		}
		if h.Messages.Sent+h.Deleted > 0 {
			all.Start = h.Start
		}
		all.Deleted += h.Deleted
		for _, f := range []struct {
			sum *delivery.Funnel
			of  delivery.Funnel
		}{{&all.Messages, h.Messages}, {&all.Recipients, h.Recipients}} {
			f.sum.Sent, f.sum.Delivered, f.sum.Read = f.sum.Sent+f.of.Sent, f.sum.Delivered+f.of.Delivered, f.sum.Read+f.of.Read
		}
		for i := range h.ToDelivered {
			all.ToDelivered[i] += h.ToDelivered[i]
			all.ToRead[i] += h.ToRead[i]
		}
	}
	return all
}

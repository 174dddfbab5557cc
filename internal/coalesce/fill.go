package coalesce

import "slices"

// many reports whether more than a few items wait.
func (l *line[In, Out]) many() bool {
	weight := 0
	for _, e := range l.entries {
		if weight += e.weight; weight > few {
			return true
		}
	}
	return false
}

// fill takes for a batch what waits and whose keys no other batch has. In a crowd that is a
// writer's share. A user who waits alone gets all of it. Otherwise users with few items go first,
// without the others, whose batch would take longer. The next batch begins with one of the others,
// so that none waits forever.
func (g *Group[In, Out]) fill(b *batch[In, Out]) {
	share := g.max
	if writers := cap(g.Slots); writers > 1 && (g.leaders > 1 || g.pending > Crowd) {
		share = min(share, (g.pending+writers-1)/writers)
	}
	var light, heavy, served []*line[In, Out]
	for _, l := range g.order {
		if len(g.order) > 1 && l.many() {
			heavy = append(heavy, l)
		} else {
			light = append(light, l)
		}
	}
	next := func() {
		if g.pull(b, heavy[0], b.weight+turn) {
			served = append(served, heavy[0])
		}
		heavy = heavy[1:]
	}
	waiting := len(heavy) > 0
	for g.passed && len(heavy) > 0 && len(served) == 0 {
		next()
	}
	for _, l := range light {
		g.pull(b, l, share)
	}
	if g.passed = len(served) == 0 && len(b.entries) > 0 && waiting; !g.passed {
		for len(heavy) > 0 && b.weight < small {
			next()
		}
	}
	g.order = slices.DeleteFunc(g.order, func(l *line[In, Out]) bool {
		if len(l.entries) == 0 {
			delete(g.lines, l.user)
		}
		return len(l.entries) == 0 || slices.Contains(served, l)
	})
	for _, l := range served {
		if len(l.entries) > 0 {
			g.order = append(g.order, l) // its next turn comes after the others'
		}
	}
}

// pull moves entries of a line to the batch, in their order, until it weighs the limit, and reports
// whether it moved any. Entries with a key of the batch's come too, up to the maximum, since no
// other writer could take them.
func (g *Group[In, Out]) pull(b *batch[In, Out], l *line[In, Out], limit int) bool {
	n := len(b.entries)
	stay, waits := l.entries[:0], make(map[string]bool) // the keys of what stays
	for _, e := range l.entries {
		owner := g.taken[e.Key]
		weight := b.weight + e.weight
		fits := len(b.entries) == 0 || weight <= limit || owner == b && weight <= g.max
		if !fits || owner != nil && owner != b || waits[e.Key] {
			stay = append(stay, e)
			waits[e.Key] = e.Key != ""
			continue
		}
		if e.Key != "" && owner == nil {
			g.taken[e.Key] = b
			b.keys = append(b.keys, e.Key)
		}
		b.entries = append(b.entries, e)
		b.weight = weight
		b.callers[e.call] = true
	}
	clear(l.entries[len(stay):])
	l.entries = stay
	return len(b.entries) > n
}

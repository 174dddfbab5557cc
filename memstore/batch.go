package memstore

import (
	"cmp"
	"strings"

	"github.com/msgdelivery/delivery"
)

// batch is marks with their messages, those of the same index.
type batch struct {
	marks []delivery.Mark
	found []*message
}

// compare orders two marks by what those that share an event have in common.
func (b batch) compare(i, j int) int {
	if c, d := b.found[i].conversation, b.found[j].conversation; c != d {
		return cmp.Or(cmp.Compare(c.shard.number, d.shard.number), strings.Compare(c.id, d.id))
	}
	return strings.Compare(b.marks[i].Socket, b.marks[j].Socket)
}

// next returns the first marks in order, those that share an event, and the rest.
func (b batch) next(order []int) (group, rest []int) {
	n := 1
	for n < len(order) && b.compare(order[0], order[n]) == 0 {
		n++
	}
	return order[:n], order[n:]
}

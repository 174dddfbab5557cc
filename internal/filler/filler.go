// Package filler fills pages of messages, as the stores make them.
package filler

import (
	"slices"

	"github.com/msgdelivery/delivery"
)

// Filler fills a page for the List.
type Filler struct {
	List delivery.List

	page delivery.Page
	size int
}

// Add puts the next message on the page: the next in the order of the list, and with List.Before
// set the next one back. It reports whether there was room, and if not, the page is done.
func (f *Filler) Add(m delivery.Message) bool {
	n := len(f.page.Messages)
	f.size += m.Size()
	if n == f.List.Limit || n > 0 && f.List.Bytes > 0 && f.size > f.List.Bytes {
		return f.End()
	}
	f.page.Messages = append(f.page.Messages, m)
	return true
}

// End says that there is more, and no room for it. It returns false.
func (f *Filler) End() (room bool) {
	f.page.More = true
	return false
}

// Done returns the page of a conversation that is at this cursor.
func (f *Filler) Done(at delivery.Cursor) delivery.Page {
	f.page.Cursor = at
	switch {
	case f.List.Changes && f.page.More:
		f.page.Version = f.page.Messages[len(f.page.Messages)-1].Version
	case !f.List.Changes && f.List.Before != 0:
		slices.Reverse(f.page.Messages)
	}
	return f.page
}

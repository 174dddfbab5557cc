package memstore

import (
	"maps"
	"slices"

	"github.com/msgdelivery/delivery"
)

// roster is a set of users, which never changes.
type roster struct {
	members          []string // in order
	caps             map[string]delivery.Status
	tracked, readers int
}

// rosterOf makes the roster that a message brings.
func rosterOf(m delivery.NewMessage) roster {
	r := roster{members: append([]string{}, m.Members...), caps: map[string]delivery.Status{}}
	for i, user := range m.Members {
		r.caps[user] = m.CapOf(i)
	}
	r.tracked, r.readers = m.Sizes()
	return r
}

// cap returns the most that others may ever see of a user, 0 if that is no member.
func (r roster) cap(user string) delivery.Status { return r.caps[user] }

// renamed returns the roster with a member under another name, which comes last, or without it.
func (r roster) renamed(user, name string) roster {
	at, member := slices.BinarySearch(r.members, user)
	if !member {
		return r
	}
	r.members, r.caps = slices.Delete(slices.Clone(r.members), at, at+1), maps.Clone(r.caps)
	if name != "" {
		r.members = append(r.members, name)
		r.caps[name] = r.caps[user]
	}
	delete(r.caps, user)
	return r
}

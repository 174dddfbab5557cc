package delivery

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"slices"
)

// Audience says who may mark a message. It is frozen when the message is sent, whoever joins or
// leaves the conversation later. Every message needs exactly one of Recipients, Roster and Open.
// The zero Audience is an error, so that a list which is nil by mistake does not let everyone in.
type Audience struct {
	// Recipients are the users who may mark the message, at most [MaxRecipients]. Repeats and the
	// sender are dropped. For a message to nobody, set an empty list that is not nil.
	Recipients []string

	// Untracked and HideRead list Recipients whose status others see only in part. The lists belong
	// to this message and never change. Others see no mark of an untracked user, and never see that
	// a user who hides reads has read the message. Only these users themselves know of the marks
	// that are hidden from others. The quorum for Delivered does not wait for untracked users. The
	// quorum for Read waits neither for them nor for users who hide reads: see Quorum. A user in
	// both lists is untracked. Naming a user who is no recipient, such as the sender, has no
	// effect.
	//
	// Everyone who sees the message can see that a user is untracked or hides reads
	// ([Tracker.Receipts]). Do not make the lists depend on the sender. For example, if users were
	// untracked only in messages from those whom they have blocked, everyone could see who blocks
	// whom.
	Untracked, HideRead []string

	// Roster is the set of users who may mark the message, named by a key that the app chooses.
	Roster Roster

	// Open says that every user but the sender may mark the message, if [Options.Authorize] allows
	// that user to mark in the conversation.
	Open bool

	// Quorum is the number of recipients who must reach a status before the message has it. The
	// default and the maximum are the number of recipients whom others may ever see at the status,
	// and so differ by status. For Delivered that is [Header.Total]: all who are tracked. For Read
	// it is [Header.Readers]: those of them who do not hide reads. If there are no such recipients,
	// the message never has the status. For an open message the default is 1, and the largest value
	// is [MaxRecipients].
	Quorum int
}

// Roster is a set of users that the app knows by a key, such as a version of a group's membership.
// Once a conversation has a roster, the cost of sending to that roster does not depend on its size,
// and the app need not load its members.
//
// A key must always stand for the same users, with the same ones untracked and hiding reads. The
// first use of a key in a conversation decides; other conversations are independent of it.
type Roster struct {
	// Key is a string of 1 to [MaxID] bytes of UTF-8 without NUL. Empty means no roster.
	Key string

	// Members returns the users. The sender may be among them and is no recipient of its own
	// messages. Send calls Members only if the conversation has no roster with that key. If Members
	// returns an error, the send fails with it, and nothing is stored. If Members is nil, a key
	// that is not known is an error.
	Members func(ctx context.Context) (Members, error)
}

// Members are the users of a [Roster].
type Members struct {
	Users               []string // at most [MaxRecipients], in any order
	Untracked, HideRead []string // as in an [Audience]
}

// fewMembers is how many members travel with every message. A longer list is left at home until
// the store asks for it, because the store mostly has it.
const fewMembers = 32

// outgoing is a message on its way to the store.
type outgoing struct {
	NewMessage
	ask func(ctx context.Context) (set, error) // the members, if the store has no such roster
}

// address fills in whom the message is for.
func (o *outgoing) address(a Audience) error {
	keyed := a.Roster.Key != "" || a.Roster.Members != nil
	switch {
	case a.Open && a.Recipients != nil:
		return &InvalidError{Field: "audience", Reason: "is open and has recipients"}
	case keyed && (a.Open || a.Recipients != nil):
		return &InvalidError{Field: "audience", Reason: "has a roster and is open or has recipients"}
	case !a.Open && !keyed && a.Recipients == nil:
		return &InvalidError{Field: "audience", Reason: "is not set: it has no recipients and no roster and is not open"}
	case a.Recipients == nil && (a.Untracked != nil || a.HideRead != nil):
		return &InvalidError{Field: "audience", Reason: "names users who are untracked or hide reads, and has no list of recipients"}
	case a.Quorum < 0:
		return &InvalidError{Field: "quorum", Reason: "is negative"}
	case a.Quorum > MaxRecipients:
		return &InvalidError{Field: "quorum", Reason: fmt.Sprintf("is more than %d", MaxRecipients)}
	}
	o.Open, o.Quorum = a.Open, a.Quorum
	switch {
	case a.Open:
		o.Quorum = max(a.Quorum, 1)
		return nil
	case keyed:
		o.Roster = "=" + a.Roster.Key
		o.ask = a.Roster.members
		return checkID("roster", a.Roster.Key)
	}
	// The set holds the sender too, so that all members of a group who write to the others share
	// one.
	members, err := setOf("recipients", Members{append(slices.Clone(a.Recipients), o.Sender), a.Untracked, a.HideRead}, MaxRecipients+1)
	o.Roster = members.hash()
	if len(members.users) > fewMembers {
		o.ask = func(context.Context) (set, error) { return members, nil }
	} else {
		o.Members, o.Caps = members.users, members.caps
	}
	return err
}

var errNoRoster = &InvalidError{Field: "roster", Reason: "is not known in the conversation, and has no Members"}

// members asks the app.
func (r Roster) members(ctx context.Context) (set, error) {
	if r.Members == nil {
		return set{}, errNoRoster
	}
	members, err := r.Members(ctx)
	if err != nil {
		return set{}, fmt.Errorf("delivery: members of a roster: %w", err)
	}
	return setOf("roster", members, MaxRecipients)
}

// set is what a roster is made of: users in order, each once, and their caps as a [NewMessage] has
// them.
type set struct {
	users []string
	caps  []Status
}

func setOf(field string, members Members, most int) (s set, err error) {
	for _, list := range []struct {
		field string
		users []string
	}{{field, members.Users}, {"untracked", members.Untracked}, {"hide_read", members.HideRead}} {
		if len(list.users) > most {
			return set{}, tooMany(list.field, MaxRecipients)
		}
		for _, user := range list.users {
			if err := checkID(list.field, user); err != nil {
				return set{}, err
			}
		}
	}
	s.users = slices.Compact(slices.Sorted(slices.Values(members.Users)))
	if s.users == nil {
		s.users = []string{}
	}
	s.cap(members.HideRead, Delivered)
	s.cap(members.Untracked, Sent)
	return s, nil
}

// cap gives those of the users who are in the set that cap.
func (s *set) cap(users []string, cap Status) {
	for _, user := range users {
		i, in := slices.BinarySearch(s.users, user)
		if !in {
			continue
		}
		if s.caps == nil {
			s.caps = slices.Repeat([]Status{Read}, len(s.users))
		}
		s.caps[i] = cap
	}
}

// hash returns the key of a roster that the app gave as a list: no two sets share one.
func (s set) hash() string {
	hash := sha256.New()
	for i, user := range s.users {
		cap := Read
		if s.caps != nil {
			cap = s.caps[i]
		}
		hash.Write(binary.AppendUvarint(nil, uint64(len(user))))
		hash.Write([]byte(user))
		hash.Write([]byte{byte(cap)})
	}
	return "#" + base64.RawURLEncoding.EncodeToString(hash.Sum(nil))
}

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
	// sender are dropped. A message for nobody has a list that is empty, and not nil.
	Recipients []string

	// Roster names the users who may mark the message by a key of the app's.
	Roster Roster

	// Open says that every user but the sender may mark the message whom [Options.Authorize] lets
	// mark in the conversation.
	Open bool

	// Quorum is the number of recipients who must reach a status before the message has it. The
	// default, and the largest value that counts, is the number of recipients. For an open message
	// the default is 1, and the largest value is [MaxRecipients].
	Quorum int
}

// Roster is a set of users that the app knows by a key, such as a version of a group's membership.
// Sending to a roster that the conversation has had before costs the same whatever its size, and
// the app need not read its members.
//
// The set of a key must never change. The first use of a key in a conversation decides; other
// conversations are independent of it.
type Roster struct {
	// Key is a string of 1 to [MaxID] bytes of UTF-8 without NUL. Empty means no roster.
	Key string

	// Members returns the users, at most [MaxRecipients], in any order. The sender may be among
	// them and is no recipient of its own messages. Members is called only if the conversation has
	// no roster of that key. Its error fails the send, with nothing stored. If Members is nil, a
	// key that is not known is an error.
	Members func(ctx context.Context) ([]string, error)
}

// fewMembers is how many members travel with every message. A longer list is left at home until
// the store asks for it, because the store mostly has it.
const fewMembers = 32

// outgoing is a message on its way to the store.
type outgoing struct {
	NewMessage
	ask func(ctx context.Context) ([]string, error) // the members, if the store has no such roster
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
	members, err := membersOf("recipients", append(slices.Clone(a.Recipients), o.Sender), MaxRecipients+1)
	o.Roster, o.Members = hashOf(members), members
	if len(members) > fewMembers {
		o.Members, o.ask = nil, func(context.Context) ([]string, error) { return members, nil }
	}
	return err
}

// members asks the app.
func (r Roster) members(ctx context.Context) ([]string, error) {
	if r.Members == nil {
		return nil, &InvalidError{Field: "roster", Reason: "is not known in the conversation, and has no Members"}
	}
	members, err := r.Members(ctx)
	if err != nil {
		return nil, fmt.Errorf("delivery: members of a roster: %w", err)
	}
	return membersOf("roster", members, MaxRecipients)
}

// membersOf returns the users sorted and each once.
func membersOf(field string, users []string, most int) ([]string, error) {
	if len(users) > most {
		return nil, tooMany(field, MaxRecipients)
	}
	for _, user := range users {
		if err := checkID(field, user); err != nil {
			return nil, err
		}
	}
	members := slices.Compact(slices.Sorted(slices.Values(users)))
	if members == nil {
		members = []string{}
	}
	return members, nil
}

// hashOf returns the key of a roster that the app gave as a list: no two lists share one.
func hashOf(members []string) string {
	hash := sha256.New()
	for _, m := range members {
		hash.Write(binary.AppendUvarint(nil, uint64(len(m))))
		hash.Write([]byte(m))
	}
	return "#" + base64.RawURLEncoding.EncodeToString(hash.Sum(nil))
}

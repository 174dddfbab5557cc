package delivery

import (
	"fmt"
	"slices"
)

// Audience says who may mark a message. It is frozen when the message is sent, whoever joins or
// leaves the conversation later. Every message needs one. The zero Audience is an error, so that a
// list which is nil by mistake does not let everyone in.
type Audience struct {
	// Recipients are the users who may mark the message, at most [MaxRecipients]. Repeats and the
	// sender are dropped. A message for nobody has a list that is empty, and not nil.
	Recipients []string

	// Open says that every user but the sender may mark the message whom [Options.Authorize] lets
	// mark in the conversation. Recipients are nil then; anything else is an error.
	Open bool

	// Quorum is the number of recipients who must reach a status before the message has it. The
	// default is the number of Recipients, which is also the largest value. For an open message the
	// default is 1, and the largest value is [MaxRecipients].
	Quorum int
}

// resolve returns the recipients distinct, sorted and without the sender, nil for an open message,
// and the quorum.
func (a Audience) resolve(sender string) (recipients []string, quorum int, err error) {
	switch {
	case a.Open && a.Recipients != nil:
		return nil, 0, &InvalidError{Field: "audience", Reason: "is open and has recipients"}
	case !a.Open && a.Recipients == nil:
		return nil, 0, &InvalidError{Field: "audience", Reason: "is not set: it has no recipients and is not open"}
	case len(a.Recipients) > MaxRecipients:
		return nil, 0, tooMany("recipients", MaxRecipients)
	case a.Quorum < 0:
		return nil, 0, &InvalidError{Field: "quorum", Reason: "is negative"}
	case a.Quorum > MaxRecipients:
		return nil, 0, &InvalidError{Field: "quorum", Reason: fmt.Sprintf("is more than %d", MaxRecipients)}
	case a.Open:
		return nil, max(a.Quorum, 1), nil
	}
	for _, r := range a.Recipients {
		if err := checkID("recipients", r); err != nil {
			return nil, 0, err
		}
	}
	recipients = slices.Compact(slices.Sorted(slices.Values(a.Recipients)))
	recipients = slices.DeleteFunc(recipients, func(r string) bool { return r == sender })
	if recipients == nil {
		recipients = []string{}
	}
	most := max(len(recipients), 1)
	if a.Quorum > most {
		return nil, 0, &InvalidError{Field: "quorum", Reason: "is more than there are recipients"}
	}
	if a.Quorum == 0 {
		return recipients, most, nil
	}
	return recipients, a.Quorum, nil
}

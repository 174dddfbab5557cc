package delivery

import (
	"fmt"
	"slices"
)

// Audience says who may mark a message. It is set when the message is sent, and stays so whoever
// joins or leaves the conversation later. The zero Audience is none, and an error: a list that is
// empty by mistake lets nobody in.
type Audience struct {
	// Recipients are the users who may mark the message, up to [MaxRecipients]. Repeats and the
	// sender are dropped, and none may be left; the list is then empty, and not nil.
	Recipients []string

	// Open lets any user but the sender mark the message whom [Options.Authorize] lets mark in the
	// conversation. An open message has no Recipients.
	Open bool

	// Quorum is how many recipients must reach a status before the message has it. It defaults to 1
	// for an open message, and otherwise to the number of recipients, which it may not exceed. Of an
	// open message it may not exceed [MaxRecipients].
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

package delivery

// A cap is the highest status of a user that others may ever see of a message. It is frozen when
// the message is sent: [Sent] for an untracked user, [Delivered] for a user who hides reads, [Read]
// for everybody else. It belongs to the member of a roster. For an open message, every user's cap
// is Read.

// Shown returns the status that others see of a user. The parameter own is the status that the user
// has marked, and the parameter cap is the highest one that others may see. The result is the lower
// of the two.
func Shown(own, cap Status) Status { return min(own, cap) }

// Reason says why others see only a part of what a [Receipt] could show.
type Reason string

const (
	// Untracked means that the message's audience lists the recipient as untracked: others see none
	// of the recipient's marks.
	Untracked Reason = "untracked"
	// Capped means that the recipient has the message and hides reads: others never see more than
	// that the message was delivered.
	Capped Reason = "capped"
	// Expired means that a time of the receipt is not known any more: [Tracker.Compact] has removed
	// it, or [Tracker.Import] did not have it.
	Expired Reason = "expired"
)

// ReasonFor returns the [Reason] of the receipt r. The parameter cap is the highest status of its
// recipient that others may ever see. It is [Untracked] or [Capped] if the cap keeps others from
// ever seeing more, [Expired] if a time is not known any more, and "" otherwise. Every [Store] sets
// [Receipt.Reason] with it.
func ReasonFor(r Receipt, cap Status) Reason {
	switch {
	case cap == Sent:
		return Untracked
	case cap == Delivered && r.Status == Delivered:
		return Capped
	case r.Status.Reaches(Delivered) && r.DeliveredAt.IsZero(), r.Status.Reaches(Read) && r.ReadAt.IsZero():
		return Expired
	}
	return ""
}

// On reports whether a receipt belongs on the page. Without a Status every receipt does. With a
// Status, a receipt does if it is at exactly that status and its Reason is neither [Untracked] nor
// [Capped]. With Failed, only receipts with a Failure do.
func (q ReceiptList) On(r Receipt) bool {
	if q.Failed {
		return r.Failure != ""
	}
	return q.Status == 0 || r.Status == q.Status && r.Reason != Untracked && r.Reason != Capped
}

// QuorumFor returns how many recipients must reach a status before the message has it. It is Quorum
// or the number of recipients whom others could ever see at that status, whichever is smaller. If
// that number is 0, the result is Quorum. An open message, whose recipients are not known, can
// reach it, and any other message never has the status.
func (h Header) QuorumFor(status Status) int {
	if status == Read && h.Readers > 0 {
		return min(h.Quorum, h.Readers)
	}
	return h.Quorum
}

// CapOf returns the cap of the message's i-th member: the highest status of the member that others
// may see.
func (m NewMessage) CapOf(i int) Status {
	if m.Caps == nil {
		return Read
	}
	return m.Caps[i]
}

// Sizes returns the number of members whose cap ([NewMessage.CapOf]) is at least Delivered, and the
// number of those whose cap is Read. The sender counts, too.
func (m NewMessage) Sizes() (tracked, readers int) {
	for i := range m.Members {
		tracked += seen(m.CapOf(i), Delivered)
		readers += seen(m.CapOf(i), Read)
	}
	return tracked, readers
}

// SizedFrom returns the header to store for the message. The parameters tracked and readers are the
// [NewMessage.Sizes] of its roster. The parameter sender is the sender's cap in the roster, or 0 if
// the sender is no member.
func (m NewMessage) SizedFrom(tracked, readers int, sender Status) Header {
	return m.Sized(tracked-seen(sender, Delivered), readers-seen(sender, Read))
}

// seen is 1 if others may see a user with that cap at the status.
func seen(cap, status Status) int {
	if cap.Reaches(status) {
		return 1
	}
	return 0
}

package delivery

// A cap is the highest status of a user that others may ever see of a message. It is frozen when
// the message is sent: [Sent] for an untracked user, [Delivered] for a user who hides reads, [Read]
// for everybody else. It belongs to the member of a roster. For an open message, every user's cap
// is Read.

// Shown returns the status that others see of a user who has reached own: at most cap, the highest
// status that they may see.
func Shown(own, cap Status) Status { return min(own, cap) }

// Reason says why others see no more of a recipient.
type Reason string

const (
	// Untracked says that others learn nothing of the recipient, as the message's audience said.
	Untracked Reason = "untracked"
	// Capped says that others learn no more of the recipient than that the message was delivered.
	Capped Reason = "capped"
	// Expired says that a time of the receipt is gone: see [Tracker.Compact].
	Expired Reason = "expired"
)

// ReasonFor returns the [Reason] of a receipt: the recipient's cap keeps others from ever seeing
// more, or a time is gone. If neither is so, it is "". It is how every [Store] fills
// [Receipt.Reason].
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

// On reports whether a receipt belongs on the page. Without a Status every receipt does. With one,
// only receipts at exactly that status do, and none whose recipient's cap is the [Reason] for it.
// With Failed, only receipts with a Failure do.
func (q ReceiptList) On(r Receipt) bool {
	if q.Failed {
		return r.Failure != ""
	}
	return q.Status == 0 || r.Status == q.Status && r.Reason != Untracked && r.Reason != Capped
}

// QuorumFor returns how many recipients must reach a status before the message has it: the smaller
// of Quorum and the number of recipients who may be seen to reach it. If nobody may be seen to
// reach the status, the message never does.
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

// Sizes returns how many of the members others may see at Delivered, and how many at Read. The
// sender counts, too.
func (m NewMessage) Sizes() (tracked, readers int) {
	for i := range m.Members {
		tracked += seen(m.CapOf(i), Delivered)
		readers += seen(m.CapOf(i), Read)
	}
	return tracked, readers
}

// SizedFrom returns the stored header, given the [NewMessage.Sizes] of the roster and the sender's
// cap in it, 0 if the sender is no member.
func (m NewMessage) SizedFrom(tracked, readers int, sender Status) Header {
	return m.Sized(tracked-seen(sender, Delivered), readers-seen(sender, Read))
}

// seen is 1 if a user with that cap may be seen at the status.
func seen(cap, status Status) int {
	if cap.Reaches(status) {
		return 1
	}
	return 0
}

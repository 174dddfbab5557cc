package delivery

import "time"

// Limits on what a caller may hand in. Input over a limit gets an [*InvalidError], except for
// traces, which are dropped.
const (
	MaxID         = 128      // bytes in an id of a message, conversation, user or socket
	MaxBody       = 64 << 10 // bytes in a message's body
	MaxTrace      = 64       // bytes in a trace, as [Options.Trace] returns it
	MaxTraces     = 20       // in an [Event]
	MaxRecipients = 100_000  // frozen recipients of one message
	MaxBatch      = 500      // messages in one call of [Tracker.Mark], and in one page
)

// Draft is a message about to be sent.
type Draft struct {
	// ID is any string of 1 to [MaxID] bytes of UTF-8 without NUL, compared byte for byte: ids that
	// look alike are different ids. Empty means a new UUIDv7. If the caller sets ID, repeating the
	// send is safe: it has no further effect.
	ID string

	// Conversation is the id of the message's conversation, in the same form as ID. Each
	// conversation has its own order, versions and channel.
	Conversation string

	// Sender is the user who sends, and who may never mark the message; same form as ID.
	Sender string

	// Body is up to [MaxBody] bytes of UTF-8 without NUL. It may be empty.
	Body string

	// Audience says who may mark the message.
	Audience

	// Socket, if set, is the connection that is not told of this message.
	Socket string
}

// Header is the part of a message that never changes after it was sent.
type Header struct {
	ID           string    `json:"id"`
	Conversation string    `json:"conversation"`
	Sender       string    `json:"sender"` // "" if the user was erased
	Seq          int64     `json:"seq"`    // the conversation's version when the message was sent, which is the message's position there
	Open         bool      `json:"open"`
	Total        int       `json:"total"`   // frozen recipients that are tracked; 0 for an open audience
	Readers      int       `json:"readers"` // those of them who do not hide reads; 0 for an open audience
	Quorum       int       `json:"quorum"`
	SentAt       time.Time `json:"sent_at,omitzero"`
}

// deleted reports whether the header is what a tombstone holds. The sender does not tell: that of
// an erased user is empty too.
func (h Header) deleted() bool { return h.Quorum == 0 }

// Message is a message and what became of it.
type Message struct {
	Header
	Body string `json:"body"`
	Tally

	// Own is the viewer's receipt, private marks included, if a [Query] named a viewer who may mark
	// the message.
	Own *Own `json:"own,omitempty"`

	// Deleted says that the message was deleted. Only [Tracker.Changes] returns such messages. All
	// that is left of one is the ID, the Conversation, the Seq and the Version of its deletion.
	Deleted bool `json:"deleted,omitempty"`
}

// Tally is the part of a message that its receipts change.
type Tally struct {
	Version     int64     `json:"version"`          // the conversation's version at the message's last change
	Status      Status    `json:"status,omitzero"`  // what a quorum of recipients has reached
	Delivered   int       `json:"delivered"`        // recipients whom it reached, readers included
	Read        int       `json:"read"`             // recipients who saw it
	Failed      int       `json:"failed,omitempty"` // recipients with a recorded failure whom the message has not reached
	DeliveredAt time.Time `json:"delivered_at,omitzero"`
	ReadAt      time.Time `json:"read_at,omitzero"`
}

// Count updates the tally of the message with the header h after one of the message's receipts
// changed. The parameters was and now are the receipt before and after the change. A [Store] that
// updates its counters in Go, and not in SQL, must use Count. Count leaves Version to the store.
//
// When a receipt completes the quorum of a status, Count sets DeliveredAt or ReadAt to the time in
// that receipt, and never changes it again. The quorum of Read may be complete before that of
// Delivered, because recipients who hide reads count only for the quorum of Delivered. In that case
// the message gets both times from the ReadAt of the receipt that completes the quorum of Read.
// ReadAt is never before DeliveredAt.
func (t *Tally) Count(h Header, was, now Receipt) {
	if was.Failure != "" && now.Failure == "" {
		t.Failed--
	}
	if was.Failure == "" && now.Failure != "" {
		t.Failed++
	}
	if !was.Status.Reaches(Delivered) && now.Status.Reaches(Delivered) {
		if t.Delivered++; t.Delivered == h.QuorumFor(Delivered) && !t.Status.Reaches(Delivered) {
			t.DeliveredAt = now.DeliveredAt
			t.Status = Delivered
		}
	}
	if !was.Status.Reaches(Read) && now.Status.Reaches(Read) {
		if t.Read++; t.Read == h.QuorumFor(Read) {
			if !t.Status.Reaches(Delivered) {
				t.DeliveredAt = now.ReadAt
			}
			t.ReadAt = latest(now.ReadAt, t.DeliveredAt)
			t.Status = Read
		}
	}
}

// latest returns the later of two times.
func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// Receipt is what is known of one recipient of one message.
type Receipt struct {
	Message     string    `json:"message"`
	Recipient   string    `json:"recipient"` // "" if the user was erased
	Status      Status    `json:"status"`
	Version     int64     `json:"version"` // the conversation's version at the receipt's last change; the message's Seq after [Tracker.Compact] or [Tracker.Import]
	DeliveredAt time.Time `json:"delivered_at,omitzero"`
	ReadAt      time.Time `json:"read_at,omitzero"`

	// Failure is the code of the last failure that the app has recorded ([Tracker.Fail]), as long
	// as the Status is [Sent]. Otherwise it is empty. It is always empty for untracked recipients.
	Failure string `json:"failure,omitempty"`

	// Reason is set if the message's audience never lets others see more than Status, or if a time is
	// not known any more. Only [Tracker.Receipts] sets it.
	Reason Reason `json:"reason,omitempty"`
}

// Advance moves the receipt forward to a status, and reports whether it advanced. The header is
// that of the receipt's message, and the status must be a result of [Shown]. Advance does not set
// Version: the store does. A receipt that does not exist yet is the zero Receipt.
//
// Advance sets DeliveredAt when the receipt first reaches Delivered, and ReadAt when it first
// reaches Read. It never changes them afterwards. Neither time is before SentAt, and ReadAt is
// never before DeliveredAt. A receipt that advances loses its Failure.
func (r *Receipt) Advance(h Header, to Status, at time.Time) bool {
	if !to.Valid() || to <= r.Status {
		return false
	}
	at = latest(at, h.SentAt)
	if !r.Status.Reaches(Delivered) && to.Reaches(Delivered) {
		r.DeliveredAt = at
	}
	if to.Reaches(Read) {
		r.ReadAt = latest(at, r.DeliveredAt)
	}
	r.Status, r.Failure = to, ""
	return true
}

// Own is a receipt as its recipient knows it. Its status is the highest that the recipient has
// marked, hidden marks included, or [Read] after [Tracker.Dismiss]. There is one exception: the
// receipt returned by a mark that hides nothing does not include earlier hidden marks. See
// [Tracker.MarkDelivered]. The version and the times are those of the marks that others may see,
// and zero if others see nothing. They are zero, too, in the answer to a mark with [HideAll]. Own
// has no Failure. It is a separate type so that it is not shown to other users by mistake.
type Own Receipt

// Query asks for messages of one conversation, in order of seq. With a Conversation alone it asks
// for the oldest ones.
type Query struct {
	Conversation string

	// After and Before bound the Seq of the messages; both are exclusive. With Before unset the
	// page is the first Limit messages after After; with Before set it is the last Limit messages
	// before Before. For the newest page, set Before to [Latest].
	After, Before int64

	// Limit is how many messages at most. Defaults to 50; at most [MaxBatch]. Large messages fill a
	// page before that: see [MaxPage].
	Limit int

	// Viewer, if set, is the user whose receipts fill [Message.Own].
	Viewer string
}

// ReceiptQuery asks for receipts of one message, in the order of their recipients.
type ReceiptQuery struct {
	Message string

	// After is the recipient after whom the page begins: the [ReceiptPage.Next] of the page before.
	After string

	// Limit is how many receipts at most. Defaults to 50; at most [MaxBatch].
	Limit int

	// Status, if set, leaves out all receipts but those at exactly this status: [Sent] are the
	// recipients whom the message has not reached, [Delivered] those who have it and have not read
	// it. Untracked recipients are listed under no status, and recipients who hide reads are not
	// listed under Delivered, because others will never see more of them.
	Status Status

	// Failed leaves out all receipts but those with a [Receipt.Failure]. Such receipts are always
	// at [Sent], so Failed cannot be combined with Status.
	Failed bool
}

// ReceiptPage is an answer to [Tracker.Receipts]. A page of sqlstore is read at one moment, unless
// the message has thousands of recipients. Then a user who is erased meanwhile can be on a page
// twice, once without the name.
type ReceiptPage struct {
	// Receipts are ordered by recipient, byte for byte. Those of erased users come last.
	Receipts []Receipt `json:"receipts"`

	// More says that there may be more receipts, after Next. With a [ReceiptQuery.Status], or with
	// Failed, a page may have fewer receipts than the Limit, or none, and yet say that there are
	// more.
	More bool   `json:"more"`
	Next string `json:"next,omitempty"`
}

// Latest is a [Query.Before] that asks for a conversation's newest messages.
const Latest int64 = 1<<63 - 1

// Cursor says up to which version a client knows a conversation. [Tracker.Changes] continues from
// there. The zero Cursor is for a client that knows nothing. A client that learns of later versions
// by events or by its own marks may raise Version; Epoch stays as the last [Page] had it.
type Cursor struct {
	Version int64 `json:"version"`
	Epoch   int64 `json:"epoch,string"` // of the store; another one begins when the store was restored
}

// Page is an answer to [Tracker.Messages] or [Tracker.Changes], read at one moment.
type Page struct {
	// Messages stand in order of Seq, or of Version where changes were asked for.
	Messages []Message `json:"messages"`

	// Cursor is what to pass to [Tracker.Changes] next: the conversation's version at that moment
	// or, if there are more changes, the version of the page's last message.
	Cursor

	// More says that the page was cut, at its limit or at [MaxPage].
	More bool `json:"more"`

	// Floor is the Seq up to which all messages of the conversation were removed ([Tracker.Prune]),
	// 0 if none were. A client drops the messages that it has at or below Floor.
	Floor int64 `json:"floor,omitempty"`

	// Reset says that the store cannot tell what changed, since it is behind the client or was
	// restored. The client forgets the conversation and starts over. The page has no messages, and
	// its Version is 0.
	Reset bool `json:"reset,omitempty"`
}

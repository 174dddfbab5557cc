package delivery

// Place is where a user stands in one conversation, private marks included: all of the user's
// devices show the same, and nobody else is told. Its zero value is that of a user who has done
// nothing there.
type Place struct {
	// Rev counts the user's private changes in the conversation. Such a change does not raise the
	// conversation's version. A device that learns of a higher Rev than its own must call
	// [Tracker.Unread] to get the present state.
	Rev int64 `json:"rev"`

	// Delivered and Badge are seqs. All messages at or before Delivered have come to the user. None
	// at or before Badge counts as unread: the user has read or dismissed each of them.
	Delivered int64 `json:"delivered"`
	Badge     int64 `json:"badge"`

	// Flag is the seq of the message from which the user marked the conversation as unread
	// ([Tracker.MarkUnread]), or 0 if it is not marked.
	Flag int64 `json:"flag"`
}

// Status returns the status that follows from the place for the message with that seq: [Read],
// [Delivered], or 0 if the place does not reach it.
func (p Place) Status(seq int64) Status {
	switch {
	case seq <= p.Badge:
		return Read
	case seq <= p.Delivered:
		return Delivered
	}
	return 0
}

// OwnAct is what an [OwnMark] does.
type OwnAct uint8

const (
	OwnMarked     OwnAct = iota + 1 // the message is at the Status
	OwnMarkedUpTo                   // all messages at or before it are at the Status
	OwnDismissed                    // nothing at or before it counts as unread
	OwnFlagged                      // the conversation counts as unread from it on
)

// OwnMark is what [Store.AdvanceOwn] applies: a validated change of what a user alone knows.
//
// Reach is the status up to which AdvanceUpTo has already advanced the user's receipts of this
// message and of all earlier ones, as far as the user's caps allow. It is 0 if that is not known.
type OwnMark struct {
	Act          OwnAct
	Conversation string // that the message must be in, if set
	Message      string
	User         string
	Socket       string // not told of the change, if set
	Status       Status // Delivered or Read; always Read for OwnDismissed, and 0 for OwnFlagged
	Reach        Status // for OwnMarkedUpTo
	Admitted     bool   // the app's rule lets the user mark open messages here
	Tell         bool   // an event tells the user's devices
	Trace        string // of the call; see [Event.AddTrace]
}

// MarkedOwn is the result of [Store.AdvanceOwn] for an [OwnMark].
type MarkedOwn struct {
	Header   Header // of the message; zero if there is none in that conversation
	May      bool   // the user may make the mark
	Changed  bool   // it changed something
	Advanced bool   // it raised the user's own status of the message
	Status   Status // that status, after the mark; 0 if there is none
	Place    Place  // after all marks of the call
}

// OwnState is what a store knows when it applies an [OwnMark].
type OwnState struct {
	Header  Header  // of the message, or what its tombstone holds; zero if there is none
	Reader  bool    // the user has sent in the conversation, is a recipient there, or has marked there, in private or not
	Receipt Receipt // what others may see of the user; zero if there is none
	Private Status  // what is kept of private marks of the message; 0 if nothing
	Place   Place   // including the changes by earlier marks of the call
}

// Own returns the user's own status of the message: the highest of the receipt that others may see,
// the private mark, and the status by the place. It is 0 if the user may not mark the message.
func (s OwnState) Own(user string) Status {
	if s.Header.deleted() || s.Header.Sender == user || !s.Header.Open && !s.Receipt.Status.Valid() {
		return 0
	}
	return max(s.Receipt.Status, s.Private, s.Place.Status(s.Header.Seq))
}

// View returns what [Message.Own] is for the user, nil if the user may not mark the message.
func (s OwnState) View(user string) *Own {
	status := s.Own(user)
	if status == 0 {
		return nil
	}
	own := Own(s.Receipt)
	own.Message, own.Recipient, own.Status = s.Header.ID, user, status
	return &own
}

// Apply returns what becomes of the mark, and whether its status is to be kept as a private mark. A
// [Store] that applies such marks in Go, and not in SQL, must use Apply. Apply leaves [Place.Rev]
// to the store, which raises it once in each conversation in which a call changed something.
func (m OwnMark) Apply(s OwnState) (out MarkedOwn, keep bool) {
	if s.Header.ID == "" || m.Conversation != "" && m.Conversation != s.Header.Conversation {
		return MarkedOwn{}, false
	}
	own := s.Own(m.User)
	out = MarkedOwn{Header: s.Header, Place: s.Place, Status: own}
	switch {
	case s.Header.deleted():
		out.May = m.Act != OwnMarked && (s.Reader || m.Admitted)
	case s.Header.Sender == m.User:
		out.May = m.Act != OwnMarked
	case s.Header.Open:
		out.May = m.Admitted
	case m.Act == OwnMarkedUpTo: // it passes over what is not for the user
		out.May = s.Reader
	default:
		out.May = s.Receipt.Status.Valid()
	}
	if !out.May {
		return out, false
	}
	seq, p := s.Header.Seq, &out.Place
	switch m.Act {
	case OwnFlagged:
		p.Flag = seq
	case OwnMarked:
		if keep = m.Status > own; keep {
			s.Private = m.Status
		}
	default:
		p.Delivered = max(p.Delivered, seq)
		if m.Status == Read {
			p.Badge = max(p.Badge, seq)
		}
	}
	if m.Status == Read && p.Flag <= seq {
		p.Flag = 0
	}
	out.Changed = keep || *p != s.Place
	s.Place = *p
	out.Status = s.Own(m.User)
	out.Advanced = out.Status > own
	return out, keep
}

// OwnEvents returns the events that tell a user's devices of changes: one for each conversation
// with changes to tell. Every [Store] must make them with OwnEvents.
func OwnEvents(marks []OwnMark, results []MarkedOwn) (events []Event) {
	at := make(map[string]int)
	for i, m := range marks {
		r := results[i]
		if !m.Tell || !r.Changed {
			continue
		}
		e, known := at[r.Header.Conversation]
		if !known {
			e = len(events)
			at[r.Header.Conversation] = e
			events = append(events, Event{Kind: OwnChanged, User: m.User, Except: m.Socket})
		}
		own := OwnUpdate{Conversation: r.Header.Conversation, Status: r.Status, Place: r.Place}
		events[e].AddTrace(m.Trace)
		events[e].Updates = append(events[e].Updates, Update{Message: r.Header.ID, Own: &own})
	}
	return events
}

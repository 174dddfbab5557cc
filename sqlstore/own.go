package sqlstore

import (
	"cmp"
	"context"
	"slices"

	"github.com/msgdelivery/delivery"
)

// Private state of a user is in the user's own row of a conversation's readers, and in
// delivery_own. To change it takes no lock of the conversation, so nobody else can tell from a wait
// that it was changed. All writes of it only go forward, or say by themselves what they expect: so
// they are right whatever other devices of the user write at the same time. The rows of the
// messages are locked for reading, so that none is pruned meanwhile.

// own holds a dialect's texts for it. A place is: rev, delivered place, read place, own delivered,
// badge, flag.
type own struct {
	look   string // [message], user → key, header…, whether the user is a reader, place…, receipt without its ids…, private status
	hold   string // [key, seq, message] → key; of the messages that are there, which it keeps from being pruned; "" where that needs nothing
	inTx   string // the same, in a caller's transaction; "" if hold serves there
	take   string // [key, seq, message] → key; of the messages that nobody keeps so, for the caller to prune; likewise
	move   string // [key, name, own delivered, badge, flag, delivered place, read place]: moves a reader's places forward to these; a flag of 0 stays, and one of -n clears a flag up to n
	join   string // the same, and makes the reader
	keep   string // [key, seq, name, status]: at least this; the name is a reader
	forget string // [key, name, own delivered, badge]: drops the private marks that a place has reached
	places string // [key, name] → key, place…
	views  string // [seq], conversation, user → place…, seq, private status
}

const placeCols = "p.rev, p.delivered_seq, p.read_seq, p.own_delivered, p.badge, p.flag"

// alone returns the private status and the place of a reader p, and the join with them: [seq].
func (d *dialect) alone() (columns, join string) {
	return "o.status, " + placeCols, d.orNone("delivery_own o", "PRIMARY", "o.reader = p.reader AND o.seq = ?")
}

// ownPlace scans a place.
type ownPlace struct {
	delivery.Place
	shown [2]int64 // delivered and read: what others may see is never more than the user knows
}

func (p *ownPlace) columns() []any {
	return []any{
		orZero[int64]{&p.Rev}, orZero[int64]{&p.shown[0]}, orZero[int64]{&p.shown[1]},
		orZero[int64]{&p.Delivered}, orZero[int64]{&p.Badge}, orZero[int64]{&p.Flag},
	}
}

func (p *ownPlace) place() delivery.Place {
	p.Badge = max(p.Badge, p.shown[1])
	p.Delivered = max(p.Delivered, p.shown[0], p.Badge)
	return p.Place
}

// looked is how things stand with one message.
type looked struct {
	key   int64
	state delivery.OwnState
	place ownPlace
}

func (l *looked) columns() []any {
	columns := append([]any{&l.key}, headerColumns(&l.state.Header)...)
	columns = append(append(columns, &l.state.Reader), l.place.columns()...)
	return append(append(columns, progressColumns(&l.state.Receipt)...), status{&l.state.Private})
}

func (s *session) advanceOwn(ctx context.Context, marks []delivery.OwnMark, lease delivery.Lease) (out []delivery.MarkedOwn, claimed []delivery.Claimed, err error) {
	ids := make([]string, len(marks))
	for i, m := range marks {
		ids[i] = m.Message
	}
	user := marks[0].User
	err = s.write(ctx, func(q delivery.DBTX) error {
		out, claimed = make([]delivery.MarkedOwn, len(marks)), nil
		rows, err := queryInto(ctx, q, len(marks), (*looked).columns, s.own.look, idList(ids), user)
		if err != nil {
			return err
		}
		found := make(map[string]*looked, len(rows))
		moves := map[int64]*move{} // by conversation
		for i := range rows {
			l := &rows[i]
			l.state.Header = stripped(l.state.Header)
			found[l.state.Header.ID] = l
			if moves[l.key] == nil {
				place := l.place.place()
				moves[l.key] = &move{before: place, now: place, reader: l.state.Reader}
			}
		}
		var kept, held []row
		for i, m := range marks {
			l := found[m.Message]
			if l == nil {
				continue
			}
			at := moves[l.key]
			l.state.Place = at.now
			result, keep := m.Apply(l.state)
			out[i], at.now, at.changed = result, result.Place, at.changed || result.Changed
			if result.Header.ID == "" { // it is in another conversation
				at.now = l.state.Place
			}
			if result.May {
				at.flag(m, l.state.Header.Seq)
			}
			if result.Changed {
				at.reach = at.reach.moved(m.Reach, l.state.Header.Seq)
				held = append(held, row{l.key, l.state.Header.Seq, m.Message})
			}
			if keep {
				kept = append(kept, row{l.key, l.state.Header.Seq, user, uint8(m.Status)})
			}
		}
		if err := s.putOwn(ctx, q, user, moves, held, kept); err != nil {
			return err
		}
		for i := range out {
			if l := found[marks[i].Message]; l != nil && out[i].Header.ID != "" {
				out[i].Place = moves[l.key].now
			}
		}
		if events := delivery.OwnEvents(marks, out); len(events) > 0 {
			claimed, err = s.writes.announce(ctx, q, events, lease)
		}
		return err
	})
	return out, claimed, err
}

// move is what becomes of a place.
type move struct {
	before, now delivery.Place
	changed     bool  // this, or a private mark
	reader      bool  // the user is one
	flagged     int64 // the flag that the marks set, if one does
	covered     int64 // the seq up to which the marks clear a flag
	reach       places
}

// flag applies what a mark says of the flag, without a look at the one that is there: another
// device may change it meanwhile.
func (m *move) flag(mark delivery.OwnMark, seq int64) {
	switch {
	case mark.Act == delivery.OwnFlagged:
		m.flagged = seq
	case mark.Status == delivery.Read:
		m.covered = max(m.covered, seq)
		if m.flagged <= seq {
			m.flagged = 0
		}
	}
}

// putOwn writes the places that changed, and what private marks are kept, and fills in what the
// places are then. If a message or the user is gone since they were looked at, it reports that the
// transaction is to start anew.
func (s *session) putOwn(ctx context.Context, q delivery.DBTX, user string, moves map[int64]*move, held, kept []row) error {
	var moved, joined, reached, asked []row
	for _, key := range sortedKeys(moves, cmp.Compare[int64]) {
		m := moves[key]
		if !m.changed {
			continue
		}
		if m.reader {
			moved = append(moved, row{key, user, m.now.Delivered, m.now.Badge, cmp.Or(m.flagged, -m.covered), m.reach[delivery.Delivered], m.reach[delivery.Read]})
		} else {
			joined = append(joined, row{key, user, m.now.Delivered, m.now.Badge, m.flagged, m.reach[delivery.Delivered], m.reach[delivery.Read]})
		}
		asked = append(asked, row{key, user})
		if m.now.Delivered > m.before.Delivered || m.now.Badge > m.before.Badge {
			reached = append(reached, row{key, user, m.now.Delivered, m.now.Badge})
		}
	}
	if len(asked) == 0 {
		return nil
	}
	for _, rows := range [][]row{held, kept} {
		slices.SortFunc(rows, func(a, b row) int {
			return cmp.Or(cmp.Compare(a[0].(int64), b[0].(int64)), cmp.Compare(a[1].(int64), b[1].(int64)))
		})
	}
	if s.own.hold != "" {
		text := s.own.hold
		if s.tx != nil {
			text = cmp.Or(s.own.inTx, text)
		}
		there, err := query(ctx, q, scanInt, text, toJSON(held))
		if err == nil && len(there) < len(held) {
			err = errSnapshot
		}
		if err != nil {
			return err
		}
	}
	if len(moved) > 0 {
		result, err := q.ExecContext(ctx, s.own.move, toJSON(moved))
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n < int64(len(moved)) {
			return cmp.Or(err, errSnapshot)
		}
	}
	if err := execAll(ctx, q, batch{s.own.join, joined}, batch{s.own.keep, kept}, batch{s.own.forget, reached}); err != nil {
		return err
	}
	type at struct {
		key   int64
		place ownPlace
	}
	columns := func(a *at) []any { return append([]any{&a.key}, a.place.columns()...) }
	return each(ctx, q, into(columns), func(a at) bool {
		moves[a.key].now = a.place.place()
		return true
	}, s.own.places, toJSON(asked))
}

// view fills in what a message is to its viewer, by what others may see and what the viewer alone
// knows.
func view(m *delivery.Message, viewer string, private delivery.Status, place delivery.Place) {
	state := delivery.OwnState{Header: m.Header, Private: private, Place: place}
	if m.Own != nil {
		state.Receipt = delivery.Receipt(*m.Own)
	}
	m.Own = state.View(viewer)
}

// viewPage does so for messages of one conversation.
func (s *session) viewPage(ctx context.Context, q delivery.DBTX, list delivery.List, messages []delivery.Message) error {
	bySeq := make(map[int64]*delivery.Message, len(messages))
	seqs := make([]int64, len(messages))
	for i := range messages {
		seqs[i], bySeq[messages[i].Seq] = messages[i].Seq, &messages[i]
	}
	type known struct {
		place   ownPlace
		seq     int64
		private delivery.Status
	}
	columns := func(k *known) []any { return append(k.place.columns(), &k.seq, status{&k.private}) }
	return each(ctx, q, into(columns), func(k known) bool {
		if m := bySeq[k.seq]; m != nil && !m.Deleted {
			view(m, list.Viewer, k.private, k.place.place())
		}
		return true
	}, s.own.views, toJSON(seqs), list.Conversation, list.Viewer)
}

// announce puts the events of a transaction into the outbox.
func (*postgresWrites) announce(ctx context.Context, q delivery.DBTX, events []delivery.Event, lease delivery.Lease) ([]delivery.Claimed, error) {
	payloads := make([]string, len(events))
	for i, e := range events {
		var err error
		if payloads[i], err = encodeEvent(e); err != nil {
			return nil, err
		}
	}
	ids, err := query(ctx, q, scanInt, `
INSERT INTO delivery_outbox (ready_at, lease, attempts, payload)
SELECT clock_timestamp() + $2::bigint * INTERVAL '1 microsecond', $3::bigint, ($3::bigint <> 0)::int, payload
FROM json_array_elements_text($1::json) WITH ORDINALITY AS e(payload, n) ORDER BY n
RETURNING id`, toJSON(payloads), lease.For.Microseconds(), lease.Token)
	if err != nil || lease.Token == 0 {
		return nil, err
	}
	claimed := make([]delivery.Claimed, len(events))
	for i, e := range events {
		e.ID = ids[i]
		claimed[i] = delivery.Claimed{Event: e, Lease: lease.Token, Attempts: 1}
	}
	return claimed, nil
}

package sqlstore

import (
	"cmp"
	"context"
	"slices"
	"strings"

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

// lockedOwnTexts returns the texts of SQLite and MySQL.
func lockedOwnTexts(t *tongue, hold, inTx, take, move, forget string) own {
	row := func(text string) string { return t.rows(text) }
	most := func(column string) string {
		return column + " = " + t.most + "(delivery_readers." + column + ", " + t.later(column) + ")"
	}
	over := t.over("conv, name", strings.Join([]string{
		most("own_delivered"), most("badge"), most("delivered_seq"), most("read_seq"), "rev = delivery_readers.rev + 1", "flag = " + flagNow("delivery_readers.flag", t.later("flag")),
	}, ", "))
	return own{
		look: `
SELECT /*! STRAIGHT_JOIN */ c.conv, ` + headerCols + `, p.reader IS NOT NULL, ` + placeCols + `, ` + lockedOwn("p") + `, o.status` +
			lockedByID(t.ids) + lockedConversation + lockedMaybeSender + `
LEFT JOIN delivery_readers p /*! FORCE INDEX (PRIMARY) */ ON p.conv = m.conv AND p.name = ?
LEFT JOIN delivery_members b /*! FORCE INDEX (PRIMARY) */ ON b.roster = m.roster AND b.reader = p.reader
LEFT JOIN delivery_receipts r /*! FORCE INDEX (PRIMARY) */ ON r.conv = m.conv AND r.seq = m.seq AND r.reader = p.reader AND r.version > 0
LEFT JOIN delivery_own o /*! FORCE INDEX (PRIMARY) */ ON o.reader = p.reader AND o.seq = m.seq` + lockedNamed,
		hold: hold,
		inTx: inTx,
		take: take,
		move: cmp.Or(move, `
INSERT INTO delivery_readers (conv, name, delivered_seq, read_seq, own_delivered, badge, flag, rev)
SELECT j.conv, j.name, j.delivered_seq, j.read_seq, j.own_delivered, j.badge, j.flag, 1
FROM `+row(ownMoved)+lockedReader+over),
		join: `
INSERT INTO delivery_readers (conv, name, delivered_seq, read_seq, own_delivered, badge, flag, rev)
SELECT conv, name, delivered_seq, read_seq, own_delivered, badge, flag, 1
FROM ` + row(ownMoved) + over,
		keep: `
INSERT INTO delivery_own (reader, seq, status)
SELECT /*! STRAIGHT_JOIN */ p.reader, j.seq, j.status
FROM ` + row("conv BIGINT, seq BIGINT, name ID, status TINYINT") + lockedReader +
			t.over("reader, seq", "status = "+t.most+"(delivery_own.status, "+t.later("status")+")"),
		forget: forget,
		views: `
SELECT /*! STRAIGHT_JOIN */ ` + placeCols + `, j.id, o.status
FROM ` + strings.Replace(t.ids, "VARCHAR(128) CHARACTER SET utf8mb4", "BIGINT", 1) + ` j
CROSS JOIN delivery_conversations c /*! FORCE INDEX (delivery_conversations_id) */ ON c.id = ?
CROSS JOIN delivery_readers p /*! FORCE INDEX (PRIMARY) */ ON p.conv = c.conv AND p.name = ?
LEFT JOIN delivery_own o /*! FORCE INDEX (PRIMARY) */ ON o.reader = p.reader AND o.seq = j.id`,
		places: `
SELECT /*! STRAIGHT_JOIN */ j.conv, ` + placeCols + ` FROM ` + row("conv BIGINT, name ID") + lockedReader,
	}
}

// ownMoved are the columns of a place that moves.
const ownMoved = "conv BIGINT, name ID, own_delivered BIGINT, badge BIGINT, flag BIGINT, delivered_seq BIGINT, read_seq BIGINT"

// flagNow is what becomes of a flag, given what a call says of it.
func flagNow(was, said string) string {
	return "CASE WHEN " + said + " > 0 THEN " + said + " WHEN " + was + " <= -" + said + " THEN 0 ELSE " + was + " END"
}

var sqliteOwn = lockedOwnTexts(&sqliteTongue, "", "", "", "", `
WITH reached (reader, delivered, badge) AS MATERIALIZED (
	SELECT p.reader, j.value->>2, j.value->>3 FROM json_each(?) j
	CROSS JOIN delivery_readers p ON p.conv = j.value->>0 AND p.name = j.value->>1
)
DELETE FROM delivery_own WHERE (reader, seq) IN (
	SELECT o.reader, o.seq FROM reached CROSS JOIN delivery_own o
		ON o.reader = reached.reader AND o.seq <= delivered AND (o.seq <= badge OR o.status = `+sqlDelivered+`)
)`)

// mysqlKept finds messages in the index of ids alone. A locking read for sharing then locks their
// entries there, which a deletion leaves as they are, and not their rows, which a deletion changes.
// At REPEATABLE READ it would lock the gaps before the entries, too. So in callers' transactions
// mysqlRows finds the rows.
var (
	mysqlKept = mysqlKeep("m.id = j.id AND m.conv = j.conv AND m.seq = j.seq", "delivery_messages_id")
	mysqlRows = mysqlKeep("m.conv = j.conv AND m.seq = j.seq", "PRIMARY")
)

func mysqlKeep(on, index string) string {
	return `
SELECT STRAIGHT_JOIN m.conv FROM ` + mysqlTable(columns("conv BIGINT, seq BIGINT, id ID")) + `
JOIN delivery_messages m FORCE INDEX (` + index + `) ON ` + on
}

var mysqlOwn = lockedOwnTexts(&mysqlTongue, mysqlKept+mysqlShare, mysqlRows+mysqlShare, mysqlKept+"\nFOR UPDATE SKIP LOCKED", `
UPDATE `+mysqlTable(columns(ownMoved))+`
STRAIGHT_JOIN delivery_readers p FORCE INDEX (PRIMARY) ON p.conv = j.conv AND p.name = j.name
SET p.own_delivered = GREATEST(p.own_delivered, j.own_delivered), p.badge = GREATEST(p.badge, j.badge), p.rev = p.rev + 1,
	p.delivered_seq = GREATEST(p.delivered_seq, j.delivered_seq), p.read_seq = GREATEST(p.read_seq, j.read_seq), p.flag = `+flagNow("p.flag", "j.flag"), `
DELETE o FROM `+mysqlTable(columns("conv BIGINT, name ID, delivered BIGINT, badge BIGINT"))+`
STRAIGHT_JOIN delivery_readers p FORCE INDEX (PRIMARY) ON p.conv = j.conv AND p.name = j.name
STRAIGHT_JOIN delivery_own o FORCE INDEX (PRIMARY) ON o.reader = p.reader AND o.seq <= j.delivered
WHERE o.seq <= j.badge OR o.status = `+sqlDelivered)

const pgJoin = `
INSERT INTO delivery_readers AS p (conv, name, delivered_seq, read_seq, own_delivered, badge, flag, rev)
SELECT (j->>0)::bigint, j->>1, (j->>5)::bigint, (j->>6)::bigint, (j->>2)::bigint, (j->>3)::bigint, (j->>4)::bigint, 1 FROM json_array_elements($1::json) AS j`

var pgMove = `
ON CONFLICT (conv, name) DO UPDATE SET
	own_delivered = greatest(p.own_delivered, excluded.own_delivered), badge = greatest(p.badge, excluded.badge), rev = p.rev + 1,
	delivered_seq = greatest(p.delivered_seq, excluded.delivered_seq), read_seq = greatest(p.read_seq, excluded.read_seq),
	flag = ` + flagNow("p.flag", "excluded.flag")

var pgOwnTexts = own{
	look: `
SELECT m.conv, ` + pgHeader + `, p.reader IS NOT NULL, ` + placeCols + `, ` + pgStanding + `, coalesce(r.version, m.seq), r.delivered_at, r.read_at, o.status` + pgNamed + `
CROSS JOIN LATERAL (SELECT id FROM delivery_conversations WHERE conv = m.conv LIMIT 1) c
LEFT JOIN LATERAL (SELECT * FROM delivery_readers WHERE conv = m.conv AND name = $2::text LIMIT 1) p ON true` + pgReceipt + `
LEFT JOIN LATERAL (SELECT status FROM delivery_own WHERE reader = p.reader AND seq = m.seq LIMIT 1) o ON true`,
	hold: `
SELECT m.conv FROM json_array_elements($1::json) AS j
CROSS JOIN LATERAL (SELECT conv FROM delivery_messages WHERE conv = (j->>0)::bigint AND seq = (j->>1)::bigint LIMIT 1 FOR KEY SHARE) m`,
	take: `
SELECT m.conv FROM json_array_elements($1::json) AS j
CROSS JOIN LATERAL (SELECT conv FROM delivery_messages WHERE conv = (j->>0)::bigint AND seq = (j->>1)::bigint LIMIT 1 FOR UPDATE SKIP LOCKED) m`,
	move: pgJoin + `
CROSS JOIN LATERAL (SELECT FROM delivery_readers WHERE conv = (j->>0)::bigint AND name = j->>1 LIMIT 1 FOR NO KEY UPDATE) r` + pgMove,
	join: pgJoin + pgMove,
	keep: `
INSERT INTO delivery_own AS o (reader, seq, status)
SELECT p.reader, (j->>1)::bigint, (j->>3)::smallint FROM json_array_elements($1::json) AS j
CROSS JOIN LATERAL (SELECT reader FROM delivery_readers WHERE conv = (j->>0)::bigint AND name = j->>2 LIMIT 1) p
ON CONFLICT (reader, seq) DO UPDATE SET status = greatest(o.status, excluded.status)`,
	forget: `
DELETE FROM delivery_own o USING (
	SELECT p.reader, (j->>2)::bigint AS delivered, (j->>3)::bigint AS badge FROM json_array_elements($1::json) AS j
	CROSS JOIN LATERAL (SELECT reader FROM delivery_readers WHERE conv = (j->>0)::bigint AND name = j->>1 LIMIT 1) p
) p
WHERE o.reader = p.reader AND o.seq <= p.delivered AND (o.seq <= p.badge OR o.status = ` + sqlDelivered + `)`,
	views: `
SELECT ` + placeCols + `, j.seq::bigint, o.status
FROM json_array_elements_text($1::json) AS j(seq)
CROSS JOIN LATERAL (SELECT conv FROM delivery_conversations WHERE id = $2::text LIMIT 1) c
CROSS JOIN LATERAL (SELECT * FROM delivery_readers WHERE conv = c.conv AND name = $3::text LIMIT 1) p
LEFT JOIN LATERAL (SELECT status FROM delivery_own WHERE reader = p.reader AND seq = j.seq::bigint LIMIT 1) o ON true`,
	places: `
SELECT (j->>0)::bigint, ` + placeCols + ` FROM json_array_elements($1::json) AS j
CROSS JOIN LATERAL (SELECT * FROM delivery_readers WHERE conv = (j->>0)::bigint AND name = j->>1 LIMIT 1) p`,
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

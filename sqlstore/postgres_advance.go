package sqlstore

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/msgdelivery/delivery"
)

// Why marks are exact.
//
// Every change in a conversation holds its row until the commit and moves its version. An advance
// is one statement, and all of a statement reads one snapshot, which may be older than the lock the
// statement takes: the last holder may have committed in between, so that receipts and counters in
// the snapshot are stale. Therefore the statement takes the row only if it is free and, in its
// newest version (which is what a locking read checks under READ COMMITTED), still at the version
// and the drops that the snapshot shows: then nothing in the conversation has changed since the
// snapshot, and nobody was erased, nor can that happen now. Otherwise nothing is done for that
// conversation: no version is taken that could become a gap.
//
// Such marks are blocked. A call inside a caller's transaction first waits for the rows and then
// runs the same statement, whose snapshot is younger than the locks. Under a stricter isolation of
// the caller's, a stale snapshot is a serialization error.

// pgAdvance applies a batch: $1 to $6, $9 and $10 are columns of marks, $7 is the lease's length,
// $8 its token.
//
// Each event's id stands in the row of its first step.
var pgAdvance = `
WITH mark AS MATERIALIZED (
	SELECT *, shown > was AND (roster IS NOT NULL OR admitted AND sender IS DISTINCT FROM reader) AS needed
	FROM (
		SELECT k.ord, k.message, k."user", k.socket, k.trace, least(k.status, ` + pgCap + `) AS shown, k.admitted AND k.within IN ('', c.id) AS admitted, greatest(k.at, m.sent_at) AS at, m.*,
			c.id AS conversation, c.version AS seen, c.drops, ` + pgAuthor + ` AS author, p.reader, p.flag,
			` + pgStanding + ` AS was, r.version AS last, r.delivered_at, r.read_at, t.delivered_count, t.read_count, t.failed, ` + pgFailing("p.reader") + ` AS failing
		FROM unnest((SELECT $1::text[]), (SELECT $2::text[]), (SELECT $3::text[]), (SELECT $4::int[]), (SELECT $5::timestamptz[]), (SELECT $6::boolean[]),
				(SELECT $9::text[]), (SELECT $10::text[])) WITH ORDINALITY AS k(message, "user", socket, status, at, admitted, trace, within, ord)
		CROSS JOIN LATERAL (
			SELECT id, conv, seq, sender, roster, recipients, total, readers, quorum, sent_at FROM delivery_messages WHERE id = k.message AND sender IS NOT NULL LIMIT 1
		) m
		CROSS JOIN LATERAL (SELECT id, version, drops FROM delivery_conversations WHERE conv = m.conv LIMIT 1) c
		CROSS JOIN LATERAL (
			SELECT delivered_count, read_count, failed FROM delivery_states WHERE conv = m.conv AND seq = m.seq LIMIT 1
		) t` + pgReader("m.conv", `k."user"`) + pgReceipt + `
		OFFSET 0
	) m
),
turn AS MATERIALIZED (
	SELECT c.conv, w.steps FROM delivery_conversations c
	JOIN (SELECT conv, seen, drops, count(*) AS steps FROM mark WHERE needed GROUP BY conv, seen, drops) w
		ON c.conv = w.conv AND c.version = w.seen AND c.drops = w.drops
	WHERE c.conv = ANY (ARRAY(SELECT conv FROM mark WHERE needed))
	FOR NO KEY UPDATE OF c SKIP LOCKED
),
taken AS (
	UPDATE delivery_conversations c SET version = c.version + turn.steps
	FROM unnest(ARRAY(SELECT conv FROM turn), ARRAY(SELECT steps FROM turn)) AS turn(conv, steps)
	WHERE c.conv = turn.conv AND c.conv = ANY (ARRAY(SELECT conv FROM turn))
	RETURNING c.conv
),
-- Who marks an open message for the first time may be new to the conversation.
met AS (
	INSERT INTO delivery_readers (conv, name, delivered_seq, read_seq)
	SELECT DISTINCT conv, "user", 0, 0 FROM mark JOIN taken USING (conv) WHERE needed AND reader IS NULL
	RETURNING conv, name, reader
),
step AS MATERIALIZED (
	SELECT ord, mark.conv, seq, conversation, message, author, total, readers, quorum, coalesce(mark.reader, met.reader) AS reader, "user", socket, trace, was,
		shown AS status, ` + pgStamps("shown") + `,
		seen + row_number() OVER (PARTITION BY mark.conv ORDER BY socket COLLATE "C", ord) AS version,
		delivered_count + count(*) FILTER (WHERE was < ` + sqlDelivered + `) OVER earlier AS delivered,
		read_count + count(*) FILTER (WHERE shown = ` + sqlRead + `) OVER earlier AS read,
		failed - count(*) FILTER (WHERE was < ` + sqlDelivered + ` AND failing) OVER earlier AS failed
	FROM mark JOIN taken USING (conv) LEFT JOIN met ON met.conv = mark.conv AND name = "user"
	WHERE needed
	WINDOW earlier AS (PARTITION BY mark.conv, seq ORDER BY socket COLLATE "C", ord)
),` + pgPutReceipts + `,
state AS (` + pgPutStates + `),
told AS MATERIALIZED (
	SELECT nextval('delivery_outbox_id_seq') AS id, conv, min(version) AS first,
		` + pgEventOfSteps + ` AS payload
	FROM step u GROUP BY conv, socket COLLATE "C"
),
event AS (
	INSERT INTO delivery_outbox (id, ready_at, lease, attempts, payload)
	SELECT id, clock_timestamp() + $7::bigint * INTERVAL '1 microsecond', $8::bigint, ($8::bigint <> 0)::int, payload FROM told
)
SELECT mark.ord, mark.id, conversation, mark.author, mark.seq, roster IS NULL, mark.total, mark.readers, mark.quorum, sent_at,
	coalesce(step.status, was), coalesce(step.version, ` + pgVersion("was", "mark.seq", "mark.last") + `),
	coalesce(step.delivered_at, mark.delivered_at), coalesce(step.read_at, mark.read_at), mark.flag,
	step.ord IS NOT NULL, needed AND step.ord IS NULL, false, step.delivered, step.read, step.failed, told.id
FROM mark
LEFT JOIN (SELECT ord, status, version, delivered_at, read_at, delivered, read, failed FROM step) step USING (ord)
LEFT JOIN told ON told.conv = mark.conv AND told.first = step.version`

// pgAdvanceOne is pgAdvance for one mark, in 0.5× the time and in few steps, as starting one costs
// more than running it: $1 message, $2 user, $3 socket, $4 status, $5 at, $6 admitted, $7 the
// lease's length, $8 its token, $9 the trace, $10 the conversation that it is admitted to. A mark
// of an open message by a user whom the conversation does not know comes back untouched, and so
// does one of a message with failures: these are left to pgAdvance.
var pgAdvanceOne = `
WITH mark AS MATERIALIZED (
	SELECT m.id, m.conv, m.seq, m.roster, m.total, m.readers, m.quorum, m.sent_at, c.id AS conversation, c.version AS seen, c.drops, ` + pgAuthor + ` AS author, p.reader, p.flag,
		$6::boolean AND $10::text IN ('', c.id) AND m.sender <> p.reader OR m.roster IS NOT NULL AS may,
		greatest($5::timestamptz, m.sent_at) AS at, least($4::int, b.cap) AS shown,
		CASE WHEN r.status IS NOT NULL THEN r.status WHEN m.roster IS NULL THEN 0 WHEN b.cap IS NOT NULL THEN ` + absent("p") + ` END AS was, r.version AS last, r.delivered_at, r.read_at, t.delivered_count, t.read_count, t.failed
	FROM delivery_messages m
	JOIN delivery_conversations c ON c.conv = m.conv
	CROSS JOIN LATERAL (SELECT * FROM delivery_states WHERE conv = m.conv AND seq = m.seq LIMIT 1) t` + pgReader("m.conv", "$2::text") + pgReceipt + `
	LEFT JOIN LATERAL (
		SELECT cap FROM delivery_members WHERE roster = m.roster AND reader = p.reader AND reader <> m.sender LIMIT 1
	) b ON true
	WHERE m.id = $1::text AND m.sender IS NOT NULL LIMIT 1
),
turn AS MATERIALIZED (
	SELECT c.conv FROM delivery_conversations c
	WHERE c.conv = (SELECT conv FROM mark WHERE may AND shown > was AND failed = 0) AND c.version = (SELECT seen FROM mark)
		AND c.drops = (SELECT drops FROM mark)
	FOR NO KEY UPDATE OF c SKIP LOCKED
),
taken AS (
	UPDATE delivery_conversations c SET version = c.version + 1 WHERE c.conv = (SELECT conv FROM turn)
	RETURNING c.version
),
step AS MATERIALIZED (
	SELECT conv, seq, conversation, id AS message, author, total, readers, quorum, reader, "user",
		was, shown AS status, taken.version,
		` + pgStamps("shown") + `,
		delivered_count + (was < ` + sqlDelivered + `)::int AS delivered, read_count + (shown = ` + sqlRead + `)::int AS read, failed,
		nextval('delivery_outbox_id_seq') AS event
	FROM (SELECT *, $2::text AS "user" FROM mark) mark, taken
),
receipt AS (` + pgPutReceipt + pgOverReceipt + `),
state AS (` + pgState + `
	SELECT conv, seq, version, ` + pgStatus + `, delivered, read,
		` + pgDeliveredAt + `, ` + pgReadAt + `, failed
	FROM step u ` + pgOverState + `
),
event AS (
	INSERT INTO delivery_outbox (id, ready_at, lease, attempts, payload)
	SELECT event, clock_timestamp() + $7::bigint * INTERVAL '1 microsecond', $8::bigint, ($8::bigint <> 0)::int,
		` + pgEvent(sqlStatusChanged, `conversation`, `version`, `version`, `$3::text`, `CASE WHEN $9::text <> '' THEN ARRAY[$9::text] END`, pgUpdate) + `
	FROM step u
)
SELECT 1, mark.id, mark.conversation, mark.author, mark.seq, roster IS NULL, mark.total, mark.readers, mark.quorum, sent_at,
	coalesce(step.status, mark.was), coalesce(step.version, ` + pgVersion("mark.was", "mark.seq", "last") + `),
	coalesce(step.delivered_at, mark.delivered_at), coalesce(step.read_at, mark.read_at), mark.flag,
	step.version IS NOT NULL, may AND shown > mark.was AND step.version IS NULL,
	mark.roster IS NULL AND mark.reader IS NULL AND $6::boolean OR may AND shown > mark.was AND mark.failed > 0, step.delivered, step.read, step.failed, event
FROM mark LEFT JOIN step ON true`

// pgLock waits for the rows of the conversations that these messages are in: $1 their ids.
const pgLock = `
SELECT FROM delivery_conversations
WHERE conv = ANY (ARRAY(SELECT m.conv` + pgNamed + `))
ORDER BY id FOR NO KEY UPDATE`

func (*postgresWrites) advance(ctx context.Context, s *session, marks []delivery.Mark, lease delivery.Lease) (marked []delivery.Marked, claimed []delivery.Claimed, err error) {
	if s.tx == nil {
		err = s.single(ctx, func(q delivery.DBTX) error {
			marked, claimed, err = pgApply(ctx, q, marks, lease)
			return err
		})
		return marked, claimed, err
	}
	err = s.write(ctx, func(q delivery.DBTX) error {
		marked, err = pgWaiting(ctx, q, marks, func(m *delivery.Mark) string { return m.Message }, func(some []delivery.Mark) ([]delivery.Marked, error) {
			marked, _, err := pgApply(ctx, q, some, lease)
			return marked, err
		}, func(m *delivery.Marked) bool { return m.Blocked })
		if err != nil {
			return err
		}
		var missing []string
		for i := range marked {
			if marked[i].Header.ID == "" {
				missing = append(missing, marks[i].Message)
			}
		}
		return pgProbe(ctx, q, pgProbeMissing, missing)
	})
	return marked, nil, err
}

// pgApply applies the marks in one statement, as far as it may without waiting.
func pgApply(ctx context.Context, q delivery.DBTX, marks []delivery.Mark, lease delivery.Lease) ([]delivery.Marked, []delivery.Claimed, error) {
	var rows []pgMarked
	var err error
	if len(marks) == 1 {
		m := &marks[0]
		rows, err = queryInto(ctx, q, len(marks), (*pgMarked).columns, pgAdvanceOne,
			m.Message, m.User, m.Socket, uint8(m.Status), precise(m.At), m.Admitted, lease.For.Microseconds(), lease.Token, m.Trace, m.Conversation)
	}
	if err == nil && (len(marks) > 1 || len(rows) > 0 && rows[0].left) {
		var messages, users, sockets, statuses, times, admitted, traces, within pgArray
		for i := range marks {
			m := &marks[i]
			messages.text(m.Message)
			users.text(m.User)
			sockets.text(m.Socket)
			statuses.number(int64(m.Status))
			times.time(precise(m.At))
			admitted.number(int64(bit(m.Admitted)))
			traces.text(m.Trace)
			within.text(m.Conversation)
		}
		rows, err = queryInto(ctx, q, len(marks), (*pgMarked).columns, pgAdvance, messages.String(), users.String(), sockets.String(),
			statuses.String(), times.String(), admitted.String(), lease.For.Microseconds(), lease.Token, traces.String(), within.String())
	}
	if err != nil {
		return nil, nil, err
	}
	marked := make([]delivery.Marked, len(marks))
	for i := range rows {
		row := &rows[i]
		m, mark := &row.Marked, &marks[row.ord-1]
		switch {
		case m.Blocked:
			m.Receipt, m.Flag = delivery.Receipt{}, 0
		case m.Receipt.Status != 0:
			m.Receipt.Message, m.Receipt.Recipient = mark.Message, mark.User
		}
		marked[row.ord-1] = *m
	}
	if lease.Token == 0 {
		return marked, nil, nil
	}
	return marked, pgClaims(marks, rows, lease), nil
}

// pgMarked is a row of what pgAdvance returns.
type pgMarked struct {
	ord int
	delivery.Marked
	left                    bool  // not tried: pgAdvance is to make the reader, or to look for a failure
	delivered, read, failed int   // counters of the message after the advance
	event                   int64 // id of the event that begins with this step
}

func (m *pgMarked) columns() []any {
	columns := append([]any{&m.ord}, headerColumns(&m.Header)...)
	columns = append(columns, progressColumns(&m.Receipt)...)
	return append(columns, orZero[int64]{&m.Flag}, orZero[bool]{&m.Changed}, orZero[bool]{&m.Blocked}, orZero[bool]{&m.left},
		orZero[int]{&m.delivered}, orZero[int]{&m.read}, orZero[int]{&m.failed}, orZero[int64]{&m.event})
}

// pgClaims returns the events as they were born under the lease, in order of conversation and
// version. They say what their payloads do.
func pgClaims(marks []delivery.Mark, rows []pgMarked, lease delivery.Lease) (claimed []delivery.Claimed) {
	steps := make([]*pgMarked, 0, len(rows))
	for i := range rows {
		if rows[i].Changed {
			steps = append(steps, &rows[i])
		}
	}
	slices.SortFunc(steps, func(a, b *pgMarked) int {
		return cmp.Or(
			strings.Compare(a.Header.Conversation, b.Header.Conversation),
			cmp.Compare(a.Receipt.Version, b.Receipt.Version),
		)
	})
	for _, m := range steps {
		if m.event != 0 || len(claimed) == 0 {
			claimed = append(claimed, delivery.Claimed{Lease: lease.Token, Attempts: 1, Event: delivery.Event{
				ID: m.event, Kind: delivery.StatusChanged, Conversation: m.Header.Conversation,
				From: m.Receipt.Version, Except: marks[m.ord-1].Socket,
			}})
		}
		e, receipt := &claimed[len(claimed)-1].Event, m.Receipt
		update := updateOf(m.Header, m.tally())
		update.Receipt = &receipt
		e.To = update.Version
		e.Updates = append(e.Updates, update)
		e.AddTrace(marks[m.ord-1].Trace)
	}
	return claimed
}

// tally returns the message's counters and status after an advance.
func (m *pgMarked) tally() delivery.Tally {
	t := delivery.Tally{Version: m.Receipt.Version, Status: delivery.Sent, Delivered: m.delivered, Read: m.read, Failed: m.failed}
	if t.Delivered >= m.Header.Quorum {
		t.Status = delivery.Delivered
	}
	if t.Read >= m.Header.QuorumFor(delivery.Read) {
		t.Status = delivery.Read
	}
	return t
}

package sqlstore

import (
	"context"

	"github.com/msgdelivery/delivery"
)

// pgAdvanceUpTo applies a batch of up-to marks: $1 to $9 are columns of marks, $10 is the limit of
// steps, $11 how many messages it looks at for each mark, $12 how many updates an event may have,
// $13 the lease's length, $14 its token.
//
// It takes the rows of conversations as pgAdvance does, and those alone in which it has something
// to write. A place moves only in a conversation that was taken.
var pgAdvanceUpTo = `
WITH asked AS MATERIALIZED (
	SELECT * FROM unnest((SELECT $1::text[]), (SELECT $2::text[]), (SELECT $3::text[]), (SELECT $4::text[]), (SELECT $5::int[]),
			(SELECT $6::timestamptz[]), (SELECT $7::boolean[]), (SELECT $8::bigint[]), (SELECT $9::boolean[]), (SELECT $15::text[]))
		WITH ORDINALITY AS k(conversation, message, "user", socket, status, at, admitted, after, covered, trace, ord)
	CROSS JOIN LATERAL (
		SELECT id, conv, seq, sender, roster, recipients, total, readers, quorum, sent_at FROM delivery_messages WHERE id = k.message LIMIT 1
	) m
),
room AS MATERIALIZED (
	SELECT conv, id AS conversation, version AS seen, drops FROM delivery_conversations WHERE conv = ANY (ARRAY(SELECT DISTINCT conv FROM asked))
),
mark AS MATERIALIZED (
	SELECT m.*, m.seq AS named, c.seen, c.drops, ` + pgAuthor + ` AS author, p.reader, p.flag, p.delivered_seq, p.read_seq, ` + pgStanding + ` AS was, r.version AS last,
		r.delivered_at, r.read_at, coalesce(CASE WHEN m.status = ` + sqlRead + ` THEN p.read_seq ELSE p.delivered_seq END, 0) AS place
	FROM asked m
	CROSS JOIN LATERAL (SELECT seen, drops FROM room WHERE conv = m.conv AND conversation = m.conversation LIMIT 1) c` + pgReader("m.conv", `m."user"`) + pgReceipt + `
),
-- Each mark looks at the messages after its beginning, up to the named one or as many as it may.
look AS MATERIALIZED (
	SELECT l.*, CASE WHEN named - beginning <= $11::bigint THEN named ELSE coalesce((
			SELECT seq FROM delivery_messages WHERE conv = l.conv AND seq > l.beginning AND seq <= l.named
			ORDER BY conv, seq LIMIT 1 OFFSET $11::bigint - 1
		), named) END AS till
	FROM (SELECT *, least(greatest(place, after), named) AS beginning FROM mark) l
),
-- Those of others that are not where the mark wants them, or show less of it (capped); a frozen message without the user
-- is none. The number counts the steps.
needed AS MATERIALIZED (
	SELECT look.ord, look.conv, look.conversation, look.seen, look.reader, look."user", look.socket, look.trace, look.named, f.*,
		count(*) FILTER (WHERE steps AND NOT lacking) OVER (ORDER BY look.ord, f.seq) AS n
	FROM look
	CROSS JOIN LATERAL (
		SELECT m.*, roster IS NULL AND NOT look.admitted AS lacking, status > was AS steps, status < look.status AS capped
		FROM (
			SELECT m.seq, m.id AS message, m.sender, m.roster, m.total, m.readers, m.quorum, greatest(look.at, m.sent_at) AS at, r.delivered_at,
				` + pgStanding + ` AS was, least(look.status, ` + pgCap + `) AS status
			FROM (
				SELECT * FROM delivery_messages WHERE conv = look.conv AND seq > look.beginning AND seq <= look.till
				ORDER BY conv, seq LIMIT $11::bigint
			) m
			CROSS JOIN LATERAL (SELECT look.reader, look.delivered_seq, look.read_seq) p` + pgReceipt + `
			OFFSET 0
		) m
		WHERE sender IS NOT NULL AND sender IS DISTINCT FROM look.reader AND (status > was OR was > 0 AND status < look.status)
	) f
),
-- What is found from the first step beyond the limit on was not looked at.
bound AS MATERIALIZED (
	SELECT ord, seq FROM needed WHERE n > $10::bigint ORDER BY ord, seq LIMIT 1
),
found AS MATERIALIZED (
	SELECT * FROM needed WHERE coalesce((ord, seq) < ((SELECT ord FROM bound), (SELECT seq FROM bound)), true)
),
plan AS MATERIALIZED (
	SELECT p.*, left_out = 0 AND NOT capped AND (covered OR beginning <= place) AND (steps > 0 OR was > 0 OR sender = reader) AND reached > place AS moves
	FROM (
		SELECT look.*, coalesce(f.steps, 0) AS steps, coalesce(f.left_out, 0) AS left_out, coalesce(f.capped, false) AS capped,
			CASE coalesce(sign(look.ord - (SELECT ord FROM bound)), -1)
				WHEN -1 THEN till WHEN 0 THEN (SELECT seq - 1 FROM bound) ELSE beginning END AS reached
		FROM look
		LEFT JOIN (
			SELECT ord, count(*) FILTER (WHERE steps AND NOT lacking) AS steps, count(*) FILTER (WHERE lacking) AS left_out, bool_or(capped) AS capped
			FROM found GROUP BY ord
		) f USING (ord)
	) p
),
turn AS MATERIALIZED (
	SELECT c.conv, w.steps FROM delivery_conversations c
	JOIN (
		SELECT conv, seen, drops, sum(steps)::bigint AS steps FROM plan WHERE steps > 0 OR moves GROUP BY conv, seen, drops
	) w ON c.conv = w.conv AND c.version = w.seen AND c.drops = w.drops
	WHERE c.conv = ANY (ARRAY(SELECT conv FROM plan WHERE steps > 0 OR moves))
	FOR NO KEY UPDATE OF c SKIP LOCKED
),
taken AS (
	UPDATE delivery_conversations c SET version = c.version + turn.steps
	FROM unnest(ARRAY(SELECT conv FROM turn WHERE steps > 0), ARRAY(SELECT steps FROM turn WHERE steps > 0)) AS turn(conv, steps)
	WHERE c.conv = turn.conv AND c.conv = ANY (ARRAY(SELECT conv FROM turn WHERE steps > 0))
	RETURNING c.conv
),
-- The place moves, of a reader who may be new to the conversation. If a private mark has the reader's row locked, the place
-- stays until the next up-to mark moves it: to wait here would be to wait with the conversations locked.
place AS (
	INSERT INTO delivery_readers AS p (conv, name, delivered_seq, read_seq)
	SELECT conv, "user", CASE WHEN moves THEN reached ELSE 0 END, CASE WHEN moves AND status = ` + sqlRead + ` THEN reached ELSE 0 END
	FROM plan
	LEFT JOIN LATERAL (SELECT true AS free FROM delivery_readers WHERE reader = plan.reader LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED) p ON true
	WHERE (moves OR steps > 0 AND reader IS NULL) AND conv = ANY (ARRAY(SELECT conv FROM turn)) AND (reader IS NULL OR free)
	ON CONFLICT (conv, name) DO UPDATE SET
		delivered_seq = greatest(p.delivered_seq, excluded.delivered_seq), read_seq = greatest(p.read_seq, excluded.read_seq)
	RETURNING conv, name, reader
),
step AS MATERIALIZED (
	SELECT ord, m.conv, m.seq, named, conversation, message, ` + pgAuthor + ` AS author, total, readers, quorum, coalesce(m.reader, p.reader) AS reader, "user", socket, trace,
		was, status,
		` + pgStamps("status") + `,
		seen + row_number() OVER (PARTITION BY m.conv ORDER BY socket COLLATE "C", ord, m.seq) AS version,
		(row_number() OVER (PARTITION BY m.conv, socket COLLATE "C" ORDER BY ord, m.seq) - 1) / $12::bigint AS part,
		t.delivered_count + count(*) FILTER (WHERE was < ` + sqlDelivered + `) OVER earlier AS delivered,
		t.read_count + count(*) FILTER (WHERE status = ` + sqlRead + `) OVER earlier AS read,
		t.failed - count(*) FILTER (WHERE was < ` + sqlDelivered + ` AND t.failing) OVER earlier AS failed
	FROM found m
	JOIN taken USING (conv)
	CROSS JOIN LATERAL (
		SELECT delivered_count, read_count, failed, ` + pgFailing("m.reader") + ` AS failing FROM delivery_states t WHERE conv = m.conv AND seq = m.seq LIMIT 1
	) t
	LEFT JOIN place p ON p.conv = m.conv AND p.name = "user"
	WHERE steps AND NOT lacking
	WINDOW earlier AS (PARTITION BY m.conv, m.seq ORDER BY socket COLLATE "C", ord)
),` + pgPutReceipts + `,
state AS (` + pgPutStates + `),
told AS MATERIALIZED (
	SELECT nextval('delivery_outbox_id_seq') AS id, ord, payload
	FROM (
		SELECT min(ord) AS ord, ` + pgEventOfSteps + ` AS payload
		FROM step u GROUP BY conv, socket COLLATE "C", part ORDER BY conv, min(version)
	) e
),
event AS (
	INSERT INTO delivery_outbox (id, ready_at, lease, attempts, payload)
	SELECT id, clock_timestamp() + $13::bigint * INTERVAL '1 microsecond', $14::bigint, ($14::bigint <> 0)::int, payload FROM told
)
SELECT plan.ord, plan.id, plan.conversation, plan.author, plan.named, plan.roster IS NULL, plan.total, plan.readers, plan.quorum, plan.sent_at,
	coalesce(s.status, plan.was), coalesce(s.version, ` + pgVersion("plan.was", "named", "plan.last") + `),
	coalesce(s.delivered_at, plan.delivered_at), coalesce(s.read_at, plan.read_at), plan.flag,
	coalesce(s.taken, 0), s.first, s.last, plan.left_out, plan.capped, plan.reached, plan.reached < plan.named,
	plan.steps > 0 AND s.ord IS NULL, e.id, e.payload
FROM plan
LEFT JOIN (
	SELECT ord, count(*) AS taken, min(version) AS first, max(version) AS last,
		max(status) FILTER (WHERE seq = named) AS status, max(version) FILTER (WHERE seq = named) AS version,
		max(delivered_at) FILTER (WHERE seq = named) AS delivered_at, max(read_at) FILTER (WHERE seq = named) AS read_at
	FROM step GROUP BY ord
) s USING (ord)
LEFT JOIN told e ON e.ord = plan.ord AND $14::bigint <> 0
ORDER BY e.id`

func (*postgresWrites) advanceUpTo(ctx context.Context, s *session, upTo []delivery.UpTo, limit int, lease delivery.Lease) (marked []delivery.MarkedUpTo, claimed []delivery.Claimed, err error) {
	if s.tx == nil {
		err = s.single(ctx, func(q delivery.DBTX) error {
			marked, claimed, err = pgApplyUpTo(ctx, q, upTo, limit, lease)
			return err
		})
		return marked, claimed, err
	}
	err = s.write(ctx, func(q delivery.DBTX) error {
		limit := limit
		marked, err = pgWaiting(ctx, q, upTo, func(u *delivery.UpTo) string { return u.Message }, func(some []delivery.UpTo) ([]delivery.MarkedUpTo, error) {
			marked, _, err := pgApplyUpTo(ctx, q, some, limit, lease)
			for i := range marked {
				limit -= marked[i].Changed
			}
			return marked, err
		}, func(m *delivery.MarkedUpTo) bool { return m.Blocked })
		if err != nil {
			return err
		}
		var missing []string
		for i := range marked {
			if marked[i].Header.ID == "" {
				missing = append(missing, upTo[i].Message)
			}
		}
		return pgProbe(ctx, q, pgProbeMissing, missing)
	})
	return marked, nil, err
}

// pgApplyUpTo applies up-to marks in one statement, as far as it may without waiting.
func pgApplyUpTo(ctx context.Context, q delivery.DBTX, upTo []delivery.UpTo, limit int, lease delivery.Lease) ([]delivery.MarkedUpTo, []delivery.Claimed, error) {
	var conversations, messages, users, sockets, statuses, times, admitted, after, covered, traces pgArray
	for i := range upTo {
		u := &upTo[i]
		conversations.text(u.Conversation)
		messages.text(u.Message)
		users.text(u.User)
		sockets.text(u.Socket)
		statuses.number(int64(u.Status))
		times.time(precise(u.At))
		admitted.number(int64(bit(u.Admitted)))
		after.number(u.After)
		covered.number(int64(bit(u.Covered)))
		traces.text(u.Trace)
	}
	rows, err := queryInto(ctx, q, len(upTo), (*pgMarkedUpTo).columns, pgAdvanceUpTo,
		conversations.String(), messages.String(), users.String(), sockets.String(), statuses.String(), times.String(),
		admitted.String(), after.String(), covered.String(),
		limit, lengthOfLooks(len(upTo)), delivery.MaxBatch, lease.For.Microseconds(), lease.Token, traces.String())
	if err != nil {
		return nil, nil, err
	}
	marked := make([]delivery.MarkedUpTo, len(upTo))
	var claimed []delivery.Claimed
	for i := range rows {
		row := &rows[i]
		m, u := &row.MarkedUpTo, &upTo[row.ord-1]
		m.Header = stripped(m.Header)
		switch {
		case m.Blocked:
			*m = delivery.MarkedUpTo{Header: m.Header, Blocked: true}
		case m.Receipt.Status != 0:
			m.Receipt.Message, m.Receipt.Recipient = u.Message, u.User
		}
		marked[row.ord-1] = *m
		if row.event != 0 {
			event, err := decodeEvent(row.event, row.payload)
			if err != nil {
				return nil, nil, err
			}
			claimed = append(claimed, delivery.Claimed{Event: event, Lease: lease.Token, Attempts: 1})
		}
	}
	return marked, claimed, nil
}

// pgMarkedUpTo is a row of what pgAdvanceUpTo returns: one for each mark whose message was found,
// and more for a mark with which several events begin.
type pgMarkedUpTo struct {
	ord int
	delivery.MarkedUpTo
	event   int64 // id of an event that begins with this mark; 0 if none does, or it is nobody's yet
	payload []byte
}

func (m *pgMarkedUpTo) columns() []any {
	columns := append([]any{&m.ord}, headerColumns(&m.Header)...)
	columns = append(columns, progressColumns(&m.Receipt)...)
	return append(columns, orZero[int64]{&m.Flag}, &m.Changed, orZero[int64]{&m.From}, orZero[int64]{&m.To}, &m.LeftOut, &m.Capped, &m.Reached, &m.More, &m.Blocked,
		orZero[int64]{&m.event}, &m.payload)
}

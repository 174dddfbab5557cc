package sqlstore

import (
	"context"
	"slices"
	"time"

	"github.com/msgdelivery/delivery"
)

// pgCreate stores new messages, if the conversations have their senders and rosters: $1 pgDrafts,
// $2 the lease's length, $3 its token. Else it stores none and says that something is lacking.
// While the drops of a conversation stay, it keeps what it has, so that all else to know under the
// lock is the newest version.
//
// It waits for no conversation: the messages in those that somebody else has locked come back
// without a seq. An id of a message that someone else stores at the same time breaks the unique
// index and with it the whole statement, so that no version is taken that could become a gap; the
// next try finds the message.
var pgCreate = `
WITH draft AS MATERIALIZED (
	SELECT *, open OR key IS NOT NULL AS ok, CASE WHEN open OR key IS NOT NULL THEN reader IS NULL ELSE brings END AS lacks
	FROM (` + pgDrafts + `) d
),
wanted AS MATERIALIZED (
	SELECT conv, drops, count(*) AS n FROM draft WHERE ok AND NOT (SELECT bool_or(lacks) FROM draft) GROUP BY conv, drops
),
free AS MATERIALIZED (
	SELECT c.conv FROM delivery_conversations c JOIN wanted w ON c.conv = w.conv AND c.drops = w.drops
	WHERE c.conv = ANY (ARRAY(SELECT conv FROM wanted))
	FOR NO KEY UPDATE OF c SKIP LOCKED
),
taken AS (
	UPDATE delivery_conversations c SET version = c.version + n
	FROM wanted w WHERE c.conv = w.conv AND c.conv = ANY (ARRAY(SELECT conv FROM free))
	RETURNING c.conv, c.version AS newest
),
message AS MATERIALIZED (
	SELECT d.*, ` + pgSeqs + ` FROM draft d LEFT JOIN taken t ON ok AND t.conv = d.conv
),` + pgStored

// pgCreateAll is pgCreate with the making of what is lacking. It takes a conversation only at the
// version that its snapshot shows, as pgAdvance does, so that what is lacking in the one is lacking
// in the other. Whoever makes a conversation holds its advisory lock until the commit, as nobody
// sees the row before: the unique index would make others wait for it.
//
// The first message of a batch with members makes the roster. Those before it have none.
var pgCreateAll = `
WITH draft AS MATERIALIZED (
	SELECT *, open OR key IS NOT NULL OR coalesce(maker <= ord, false) AS ok, false AS lacks
	FROM (SELECT *, min(ord) FILTER (WHERE brings) OVER (PARTITION BY conversation, roster) AS maker FROM (` + pgDrafts + `) d) d
),
wanted AS MATERIALIZED (
	SELECT conversation, conv, version, drops, count(*) AS n FROM draft WHERE ok GROUP BY conversation, conv, version, drops
),
free AS MATERIALIZED (
	SELECT c.conv FROM delivery_conversations c JOIN wanted w ON c.conv = w.conv AND c.version = w.version AND c.drops = w.drops
	WHERE c.conv = ANY (ARRAY(SELECT conv FROM wanted))
	FOR NO KEY UPDATE OF c SKIP LOCKED
),
known AS (
	UPDATE delivery_conversations c SET version = c.version + n
	FROM wanted w WHERE c.conv = w.conv AND c.conv = ANY (ARRAY(SELECT conv FROM free))
	RETURNING c.conv, c.id AS conversation, c.version AS newest
),
made AS (
	INSERT INTO delivery_conversations (id, version)
	SELECT conversation, n FROM wanted
	WHERE CASE WHEN conv IS NULL THEN pg_try_advisory_xact_lock(` + pgNewConversation("conversation") + `) ELSE false END
	ON CONFLICT (id) DO NOTHING
	RETURNING conv, id AS conversation, version
),
taken AS MATERIALIZED (
	SELECT d.ord, c.conv, newest, sender, reader, roster, members, caps, tracked, seen, key IS NULL AND maker = ord AS makes
	FROM draft d JOIN (SELECT * FROM known UNION ALL SELECT * FROM made) c USING (conversation) WHERE ok
),
member AS MATERIALIZED (
	SELECT t.conv, roster, n.name, coalesce(n.cap::smallint, ` + sqlRead + `) AS cap, p.reader
	FROM taken t CROSS JOIN LATERAL ROWS FROM (json_array_elements_text(members), json_array_elements_text(caps)) AS n(name, cap)` + pgReader("t.conv", "n.name") + `
	WHERE makes
),
reader AS (
	INSERT INTO delivery_readers (conv, name, delivered_seq, read_seq)
	SELECT conv, name, 0, 0 FROM (
		SELECT conv, name FROM member WHERE CASE WHEN reader IS NULL THEN true ELSE false END
		UNION SELECT conv, sender FROM taken WHERE CASE WHEN reader IS NULL THEN true ELSE false END
	) missing
	RETURNING conv, name, reader
),
roster AS (
	INSERT INTO delivery_rosters (conv, name, size, tracked, readers)
	SELECT conv, roster, json_array_length(members), tracked, seen FROM taken WHERE makes
	RETURNING conv, name, roster AS key, size, tracked, readers
),
belong AS (
	INSERT INTO delivery_members (roster, reader, cap)
	SELECT key, coalesce(m.reader, p.reader), cap
	FROM member m
	JOIN roster g ON g.conv = m.conv AND g.name = m.roster
	LEFT JOIN reader p ON p.conv = m.conv AND p.name = m.name
),
message AS MATERIALIZED (
	SELECT ord, ok, lacks, id, conversation, t.conv, d.sender, coalesce(d.reader, p.reader) AS reader, body, open, quorum, sent_at, socket, event_body, trace,
		coalesce(d.key, g.key) AS key, coalesce(recipients, ` + pgWithout("size", "m.cap", sqlSent) + `) AS recipients,
		coalesce(total, ` + pgWithout("g.tracked", "m.cap", sqlDelivered) + `) AS total, coalesce(d.readers, ` + pgWithout("g.readers", "m.cap", sqlRead) + `) AS readers, ` + pgSeqs + `
	FROM draft d
	LEFT JOIN taken t USING (ord)
	LEFT JOIN roster g ON g.conv = t.conv AND g.name = d.roster
	LEFT JOIN reader p ON p.conv = t.conv AND p.name = d.sender
	LEFT JOIN member m ON m.conv = t.conv AND m.roster = d.roster AND m.name = d.sender
),` + pgStored

var (
	// pgDrafts are the drafts whose ids are free, with what their conversations have for them.
	pgDrafts = `
		SELECT d.*, c.conv, c.version, c.drops, p.reader, g.roster AS key, ` + pgWithout("g.size", "m.cap", sqlSent) + ` AS recipients,
			` + pgWithout("g.tracked", "m.cap", sqlDelivered) + ` AS total, ` + pgWithout("g.readers", "m.cap", sqlRead) + ` AS readers
		FROM json_to_recordset($1::json) AS d(ord int, id text, conversation text, sender text, body text, open boolean,
			quorum int, sent_at timestamptz, roster text, brings boolean, members json, caps json, tracked int, seen int, socket text, event_body boolean, trace text)
		LEFT JOIN LATERAL (SELECT id FROM delivery_messages WHERE id = d.id LIMIT 1) taken ON true
		LEFT JOIN LATERAL (SELECT conv, version, drops FROM delivery_conversations WHERE id = d.conversation LIMIT 1) c ON true
		LEFT JOIN LATERAL (SELECT roster, size, tracked, readers FROM delivery_rosters WHERE conv = c.conv AND name = d.roster LIMIT 1) g ON true` +
		pgReader("c.conv", "d.sender") + `
		LEFT JOIN LATERAL (SELECT cap FROM delivery_members WHERE roster = g.roster AND reader = p.reader LIMIT 1) m ON true
		WHERE CASE WHEN taken.id IS NULL THEN true ELSE false END`

	// pgSeqs give the messages of a conversation the versions up to its newest.
	pgSeqs = `newest - count(*) OVER (PARTITION BY t.conv) + row_number() OVER (PARTITION BY t.conv ORDER BY ord) AS seq`

	// pgStored stores the messages and their events.
	pgStored = `
stored AS (
	INSERT INTO delivery_messages (conv, seq, id, sender, body, roster, recipients, total, readers, quorum, sent_at)
	SELECT conv, seq, id, reader, body, key, coalesce(recipients, 0), coalesce(total, 0), coalesce(readers, 0),
		CASE WHEN open THEN quorum ELSE greatest(1, least(coalesce(nullif(quorum, 0), total), total)) END, sent_at
	FROM message WHERE seq IS NOT NULL
),
state AS (
	INSERT INTO delivery_states (conv, seq, version, status, delivered_count, read_count)
	SELECT conv, seq, seq, ` + sqlSent + `, 0, 0 FROM message WHERE seq IS NOT NULL
),
event AS (
	INSERT INTO delivery_outbox (ready_at, lease, attempts, body_of, payload)
	SELECT clock_timestamp() + $2::bigint * INTERVAL '1 microsecond', $3::bigint, ($3::bigint <> 0)::int,
		CASE WHEN event_body AND body <> '' THEN id END,
		json_build_object('k', ` + sqlMessageSent + `, 'c', conversation, 'f', seq, 't', seq, 'x', socket, 'a', CASE WHEN trace <> '' THEN ARRAY[trace] END, 'u', json_build_array(
			json_build_object('i', id, 's', sender, 'v', seq, 'm', ` + sqlSent + `, 'd', 0, 'r', 0, 'n', coalesce(total, 0), 'h', nullif(total - readers, 0))))
	FROM message WHERE seq IS NOT NULL ORDER BY ord
	RETURNING id
)
SELECT ord, lacks, NOT ok, seq, total, readers, event
FROM (SELECT *, CASE WHEN seq IS NOT NULL THEN row_number() OVER (ORDER BY seq IS NULL, ord) END AS n FROM message) m
LEFT JOIN (SELECT row_number() OVER () AS n, id AS event FROM event) e USING (n)`
)

// pgWithout is how many members of a roster are its recipients: without the sender, if its cap,
// which is NULL if it is no member, counts here.
func pgWithout(members, cap, counts string) string {
	return members + ` - coalesce((` + cap + ` >= ` + counts + `)::int, 0)`
}

// pgLockNew waits for the rows of conversations, and makes those that are not there: $1 their ids.
var pgLockNew = `
INSERT INTO delivery_conversations AS c (id, version)
SELECT wanted.id, 0 FROM json_array_elements_text($1::json) AS wanted(id)
WHERE CASE WHEN EXISTS (SELECT FROM delivery_conversations WHERE id = wanted.id) THEN true
	ELSE pg_advisory_xact_lock(` + pgNewConversation("wanted.id") + `) IS NOT NULL END
ORDER BY wanted.id COLLATE "C"
ON CONFLICT (id) DO UPDATE SET version = c.version`

// pgNewConversation returns the numbers of the advisory lock of a conversation that is not there.
func pgNewConversation(id string) string {
	return `hashtext('delivery_conversations'), hashtext(` + id + `)`
}

// pgDraft is one message on its way to pgCreate.
type pgDraft struct {
	Ord          int       `json:"ord"`
	ID           string    `json:"id"`
	Conversation string    `json:"conversation"`
	Sender       string    `json:"sender"`
	Body         string    `json:"body"`
	Open         bool      `json:"open"`
	Quorum       int       `json:"quorum"` // as asked for
	SentAt       time.Time `json:"sent_at"`
	Roster       string    `json:"roster"`
	Brings       bool      `json:"brings"`  // the members of its roster
	Members      []string  `json:"members"` // only for pgCreateAll, as are the Caps
	Caps         []int     `json:"caps"`
	Tracked      int       `json:"tracked"` // how many of the members are, and
	Seen         int       `json:"seen"`    // how many of these do not hide reads
	Socket       string    `json:"socket"`
	EventBody    bool      `json:"event_body"`
	Trace        string    `json:"trace"`
}

func (*postgresWrites) create(ctx context.Context, s *session, messages []delivery.NewMessage, lease delivery.Lease) ([]delivery.Created, []delivery.Claimed, error) {
	drafts := make([]pgDraft, len(messages))
	conversations := make([]string, len(messages))
	for i := range messages {
		m := &messages[i]
		conversations[i] = m.Conversation
		drafts[i] = pgDraft{
			Ord: i, ID: m.ID, Conversation: m.Conversation, Sender: m.Sender, Body: m.Body, Open: m.Open,
			Quorum: m.Quorum, SentAt: precise(m.SentAt), Roster: m.Roster, Brings: m.Members != nil,
			Socket: m.Socket, EventBody: m.EventBody, Trace: m.Trace,
		}
	}
	text, batch := pgCreate, toJSON(drafts)

	var created []delivery.Created
	var claimed []delivery.Claimed
	err := s.single(ctx, func(q delivery.DBTX) error {
		if s.tx != nil { // where no statement can be tried again: look for the ids under the lock
			if _, err := q.ExecContext(ctx, pgLockNew, idList(conversations)); err != nil {
				return err
			}
		}
		rows, err := queryInto(ctx, q, len(messages), (*pgCreated).columns, text, batch, lease.For.Microseconds(), lease.Token)
		if err == nil && slices.ContainsFunc(rows, func(c pgCreated) bool { return c.lacks }) {
			for i := range messages {
				m, d := &messages[i], &drafts[i]
				d.Members = m.Members
				d.Tracked, d.Seen = m.Sizes()
				for _, cap := range m.Caps {
					d.Caps = append(d.Caps, int(cap))
				}
			}
			text, batch = pgCreateAll, toJSON(drafts)
			rows, err = queryInto(ctx, q, len(messages), (*pgCreated).columns, text, batch, lease.For.Microseconds(), lease.Token)
		}
		if err != nil {
			return err
		}
		created, claimed = pgResults(messages, rows, lease)
		if s.tx != nil { // which fails if the read does
			return pgExisting(ctx, s, messages, created)
		}
		return nil
	})
	if err == nil && s.tx == nil {
		err = pgExisting(ctx, s, messages, created)
	}
	if err != nil {
		return nil, nil, err
	}
	return created, claimed, nil
}

// pgResults returns what became of the messages whose ids were free.
func pgResults(messages []delivery.NewMessage, rows []pgCreated, lease delivery.Lease) (created []delivery.Created, claimed []delivery.Claimed) {
	created = make([]delivery.Created, len(messages))
	for _, row := range rows {
		c, m := &created[row.ord], &messages[row.ord]
		if row.seq == 0 {
			c.NoRoster, c.Blocked = row.noRoster, !row.noRoster
			continue
		}
		header := m.Sized(row.total, row.readers)
		header.Seq, header.SentAt = row.seq, precise(m.SentAt)
		tally := delivery.Tally{Version: row.seq, Status: delivery.Sent}
		c.Message, c.Roster = delivery.Message{Header: header, Body: m.Body, Tally: tally}, m.Roster
		if lease.Token != 0 {
			update := updateOf(header, tally)
			if m.EventBody {
				update.Body = m.Body
			}
			claimed = append(claimed, delivery.Claimed{Lease: lease.Token, Attempts: 1, Event: delivery.Event{
				ID: row.event, Kind: delivery.MessageSent, Conversation: m.Conversation, From: row.seq, To: row.seq,
				Except: m.Socket, Updates: []delivery.Update{update},
			}})
			claimed[len(claimed)-1].Event.AddTrace(m.Trace)
		}
	}
	return created, claimed
}

// pgExisting fills in the results of messages whose ids were taken. The other messages are stored
// by then, so outside a caller's transaction a read that fails is no error of theirs.
func pgExisting(ctx context.Context, s *session, messages []delivery.NewMessage, created []delivery.Created) error {
	index := make(map[string]int)
	var ids []string
	for i := range created {
		if created[i] == (delivery.Created{}) {
			index[messages[i].ID] = i
			ids = append(ids, messages[i].ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	there, err := s.load(ctx, ids)
	if err != nil && s.tx != nil {
		return err
	}
	for _, i := range index {
		created[i] = unreadable(err)
	}
	for _, c := range there {
		if i, asked := index[c.Message.ID]; asked {
			created[i] = taken(c)
		}
	}
	return nil
}

// pgCreated is a row of what pgCreate returns.
type pgCreated struct {
	ord      int
	lacks    bool // nothing of the batch is stored: pgCreateAll is to make what this message lacks
	noRoster bool
	seq      int64 // 0 if the message is not stored
	total    int
	readers  int
	event    int64 // id
}

func (c *pgCreated) columns() []any {
	return []any{&c.ord, &c.lacks, &c.noRoster, orZero[int64]{&c.seq}, orZero[int]{&c.total}, orZero[int]{&c.readers}, orZero[int64]{&c.event}}
}

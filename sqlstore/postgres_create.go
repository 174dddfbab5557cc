package sqlstore

import (
	"context"
	"time"

	"github.com/msgdelivery/delivery"
)

// pgCreate stores new messages: $1 pgDrafts, $2 the lease's length, $3 its token. It waits for no
// conversation: the messages in those that somebody else has locked come back without a seq.
//
// What a conversation has for ever, its rosters and its readers' numbers, is taken as the snapshot
// has it. Where something of that is not there yet, the conversation is taken only at the version
// that the snapshot shows, as for a mark: then it can be made. The newest version is taken under
// the lock in either case. Whoever makes a conversation holds its advisory lock until the commit,
// as nobody sees the row before: the unique index would make others wait for it. An id of a message
// that someone else stores at the same time breaks the unique index and with it the whole
// statement, so that no version is taken that could become a gap; the next try finds the message.
var pgCreate = `
WITH draft AS MATERIALIZED (
	SELECT d.* FROM json_to_recordset($1::json) AS d(ord int, id text, conversation text, sender text, body text, open boolean,
		quorum int, sent_at timestamptz, roster text, members json, socket text, event_body boolean)
	LEFT JOIN LATERAL (SELECT id FROM delivery_messages WHERE id = d.id LIMIT 1) taken ON true
	WHERE CASE WHEN taken.id IS NULL THEN true ELSE false END
),
room AS MATERIALIZED (
	SELECT d.conversation, c.conv, c.version FROM (SELECT DISTINCT conversation FROM draft) d
	LEFT JOIN LATERAL (SELECT conv, version FROM delivery_conversations WHERE id = d.conversation LIMIT 1) c ON true
),
-- What is there for each draft. The first one with members makes a roster that is not.
found AS MATERIALIZED (
	SELECT d.*, c.conv AS seen, c.version, r.roster AS known, r.size - (m.reader IS NOT NULL)::int AS total, p.reader AS author,
		min(ord) FILTER (WHERE members IS NOT NULL) OVER (PARTITION BY d.conversation, d.roster) AS maker
	FROM draft d JOIN room c USING (conversation)
	LEFT JOIN LATERAL (
		SELECT * FROM delivery_rosters WHERE (conv, name) >= (c.conv, d.roster) ORDER BY conv, name LIMIT 1
	) r ON r.conv = c.conv AND r.name = d.roster` + pgReader("c.conv", "d.sender") + `
	LEFT JOIN LATERAL (
		SELECT * FROM delivery_members WHERE (roster, reader) >= (r.roster, p.reader) ORDER BY roster, reader LIMIT 1
	) m ON m.roster = r.roster AND m.reader = p.reader
),
wanted AS MATERIALIZED (
	SELECT conversation, seen AS conv, version, count(*) AS n, bool_or(author IS NULL OR known IS NULL AND NOT open) AS makes
	FROM found WHERE open OR known IS NOT NULL OR maker <= ord GROUP BY conversation, seen, version
),
free AS MATERIALIZED (
	SELECT c.conv FROM delivery_conversations c JOIN wanted w ON c.conv = w.conv AND (c.version = w.version OR NOT w.makes)
	WHERE c.conv = ANY (ARRAY(SELECT conv FROM wanted))
	FOR NO KEY UPDATE OF c SKIP LOCKED
),
known AS (
	UPDATE delivery_conversations c SET version = c.version + n
	FROM wanted w WHERE c.conv = w.conv AND c.conv = ANY (ARRAY(SELECT conv FROM free))
	RETURNING c.conv, c.id AS conversation, c.version
),
made AS (
	INSERT INTO delivery_conversations (id, version)
	SELECT conversation, n FROM wanted
	WHERE CASE WHEN conv IS NULL THEN pg_try_advisory_xact_lock(` + pgNewConversation("conversation") + `) ELSE false END
	ON CONFLICT (id) DO NOTHING
	RETURNING conv, id AS conversation, version
),
stored AS MATERIALIZED (
	SELECT d.*, c.conv, c.version AS newest
	FROM found d JOIN (SELECT * FROM known UNION ALL SELECT * FROM made) c USING (conversation)
	WHERE open OR known IS NOT NULL OR maker <= ord
),
member AS MATERIALIZED (
	SELECT d.conv, d.roster, n.name, p.reader
	FROM stored d
	CROSS JOIN LATERAL json_array_elements_text(d.members) AS n(name)` + pgReader("d.conv", "n.name") + `
	WHERE known IS NULL AND maker = ord
),
reader AS (
	INSERT INTO delivery_readers (conv, name, delivered_seq, read_seq)
	SELECT conv, name, 0, 0 FROM (
		SELECT conv, name FROM member WHERE CASE WHEN reader IS NULL THEN true ELSE false END UNION SELECT conv, sender FROM stored WHERE author IS NULL
	) unknown
	RETURNING conv, name, reader
),
roster AS (
	INSERT INTO delivery_rosters (conv, name, size)
	SELECT conv, roster, json_array_length(members) FROM stored WHERE known IS NULL AND maker = ord
	RETURNING conv, name, roster, size
),
members AS (
	INSERT INTO delivery_members (roster, reader)
	SELECT r.roster, coalesce(m.reader, s.reader)
	FROM member m
	JOIN roster r ON r.conv = m.conv AND r.name = m.roster
	LEFT JOIN reader s ON s.conv = m.conv AND s.name = m.name
),
message AS MATERIALIZED (
	SELECT d.*, coalesce(d.known, r.roster) AS key, coalesce(d.author, s.reader) AS reader, row_number() OVER (ORDER BY ord) AS n,
		newest - count(*) OVER (PARTITION BY d.conv) + row_number() OVER (PARTITION BY d.conv ORDER BY ord) AS seq,
		coalesce(d.total, r.size - (m.name IS NOT NULL)::int, 0) AS recipients
	FROM stored d
	LEFT JOIN roster r ON r.conv = d.conv AND r.name = d.roster
	LEFT JOIN reader s ON s.conv = d.conv AND s.name = d.sender
	LEFT JOIN member m ON m.conv = d.conv AND m.roster = d.roster AND m.name = d.sender
),
body AS (
	INSERT INTO delivery_messages (conv, seq, id, sender, body, roster, total, quorum, sent_at)
	SELECT conv, seq, id, reader, body, key, recipients,
		CASE WHEN open THEN quorum ELSE greatest(1, least(coalesce(nullif(quorum, 0), recipients), recipients)) END, sent_at
	FROM message
),
state AS (
	INSERT INTO delivery_states (conv, seq, version, status, delivered_count, read_count)
	SELECT conv, seq, seq, ` + sqlSent + `, 0, 0 FROM message
),
event AS (
	INSERT INTO delivery_outbox (ready_at, lease, attempts, payload)
	SELECT clock_timestamp() + $2::bigint * INTERVAL '1 microsecond', $3::bigint, ($3::bigint <> 0)::int,
		json_build_object('k', ` + sqlMessageSent + `, 'c', conversation, 'f', seq, 't', seq, 'x', socket, 'u', json_build_array(
			json_build_object('i', id, 's', sender, 'v', seq, 'm', ` + sqlSent + `, 'd', 0, 'r', 0, 'n', recipients,
				'b', CASE WHEN event_body THEN body ELSE '' END)))
	FROM message ORDER BY ord
	RETURNING id
)
SELECT found.ord, NOT (open OR known IS NOT NULL OR coalesce(maker <= ord, false)), message.seq, message.recipients, e.id
FROM found
LEFT JOIN (SELECT ord, n, seq, recipients FROM message) message USING (ord)
LEFT JOIN (SELECT row_number() OVER () AS n, id FROM event) e USING (n)`

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
	Members      []string  `json:"members"` // null if they are not known
	Socket       string    `json:"socket"`
	EventBody    bool      `json:"event_body"`
}

func (*postgresWrites) create(ctx context.Context, s *session, messages []delivery.NewMessage, lease delivery.Lease) ([]delivery.Created, []delivery.Claimed, error) {
	drafts := make([]pgDraft, len(messages))
	conversations := make([]string, len(messages))
	for i := range messages {
		m := &messages[i]
		conversations[i] = m.Conversation
		drafts[i] = pgDraft{
			Ord: i, ID: m.ID, Conversation: m.Conversation, Sender: m.Sender, Body: m.Body, Open: m.Open,
			Quorum: m.Quorum, SentAt: precise(m.SentAt), Roster: m.Roster, Members: m.Members,
			Socket: m.Socket, EventBody: m.EventBody,
		}
	}
	batch := toJSON(drafts)

	var created []delivery.Created
	var claimed []delivery.Claimed
	err := s.single(ctx, func(q delivery.DBTX) error {
		if s.tx != nil { // where no statement can be tried again: look for the ids under the lock
			if _, err := q.ExecContext(ctx, pgLockNew, idList(conversations)); err != nil {
				return err
			}
		}
		rows, err := queryInto(ctx, q, len(messages), (*pgCreated).columns, pgCreate, batch, lease.For.Microseconds(), lease.Token)
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
		header := m.Sized(row.total)
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
			created[i] = c
		}
	}
	return nil
}

// pgCreated is a row of what pgCreate returns.
type pgCreated struct {
	ord      int
	noRoster bool
	seq      int64 // 0 if the message is not stored
	total    int
	event    int64 // id
}

func (c *pgCreated) columns() []any {
	return []any{&c.ord, &c.noRoster, orZero[int64]{&c.seq}, orZero[int]{&c.total}, orZero[int64]{&c.event}}
}

package sqlstore

import (
	"context"
	"time"

	"github.com/msgdelivery/delivery"
)

// pgCreate stores new messages: $1 pgDrafts, $2 the lease's length, $3 its token. It waits for no
// conversation: the messages in those that somebody else has locked come back without a seq.
//
// It needs no look at a conversation but its newest version, which is taken under the lock. Whoever
// makes a conversation holds its advisory lock until the commit, as nobody sees the row before: the
// unique index would make others wait for it. An id of a message that someone else stores at the
// same time breaks the unique index and with it the whole statement, so that no version is taken
// that could become a gap; the next try finds the message.
var pgCreate = `
WITH draft AS MATERIALIZED (
	SELECT d.* FROM json_to_recordset($1::json) AS d(ord int, id text, conversation text, sender text, body text, open boolean,
		total int, quorum int, sent_at timestamptz, recipients json, socket text, event_body boolean)
	LEFT JOIN LATERAL (SELECT id FROM delivery_messages WHERE id = d.id LIMIT 1) taken ON true
	WHERE taken.id IS NULL
),
wanted AS MATERIALIZED (
	SELECT d.*, c.conv FROM (SELECT conversation, count(*) AS n FROM draft GROUP BY conversation) d
	LEFT JOIN LATERAL (SELECT conv FROM delivery_conversations WHERE id = d.conversation LIMIT 1) c ON true
),
free AS MATERIALIZED (
	SELECT conv FROM delivery_conversations WHERE conv = ANY (ARRAY(SELECT conv FROM wanted))
	FOR NO KEY UPDATE SKIP LOCKED
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
message AS MATERIALIZED (
	SELECT d.*, conv, row_number() OVER (ORDER BY ord) AS n,
		version - count(*) OVER (PARTITION BY conv) + row_number() OVER (PARTITION BY conv ORDER BY ord) AS seq
	FROM draft d JOIN (SELECT * FROM known UNION ALL SELECT * FROM made) c USING (conversation)
),
stored AS (
	INSERT INTO delivery_messages (conv, seq, id, sender, body, open, total, quorum, sent_at)
	SELECT conv, seq, id, sender, body, open, total, quorum, sent_at FROM message
),
state AS (
	INSERT INTO delivery_states (conv, seq, version, status, delivered_count, read_count)
	SELECT conv, seq, seq, ` + sqlSent + `, 0, 0 FROM message
),
receipt AS (
	INSERT INTO delivery_receipts (conv, seq, recipient, status, version)
	SELECT conv, seq, recipient, ` + sqlSent + `, seq FROM message, json_array_elements_text(recipients) recipient
),
event AS (
	INSERT INTO delivery_outbox (ready_at, lease, attempts, payload)
	SELECT clock_timestamp() + $2::bigint * INTERVAL '1 microsecond', $3::bigint, ($3::bigint <> 0)::int,
		json_build_object('k', ` + sqlMessageSent + `, 'c', conversation, 'f', seq, 't', seq, 'x', socket, 'u', json_build_array(
			json_build_object('i', id, 's', sender, 'v', seq, 'm', ` + sqlSent + `, 'd', 0, 'r', 0, 'n', total,
				'b', CASE WHEN event_body THEN body ELSE '' END)))
	FROM message ORDER BY ord
	RETURNING id
)
SELECT draft.ord, message.seq, e.id
FROM draft
LEFT JOIN message USING (ord)
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
	Total        int       `json:"total"`
	Quorum       int       `json:"quorum"`
	SentAt       time.Time `json:"sent_at"`
	Recipients   []string  `json:"recipients,omitempty"`
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
			Total: m.Total, Quorum: m.Quorum, SentAt: precise(m.SentAt), Recipients: m.Members,
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

// pgResults returns what became of the messages that are stored or blocked.
func pgResults(messages []delivery.NewMessage, rows []pgCreated, lease delivery.Lease) (created []delivery.Created, claimed []delivery.Claimed) {
	created = make([]delivery.Created, len(messages))
	for _, row := range rows {
		if row.seq == 0 {
			created[row.ord].Blocked = true
			continue
		}
		m := &messages[row.ord]
		header := m.Header
		header.Seq, header.SentAt = row.seq, precise(m.SentAt)
		tally := delivery.Tally{Version: row.seq, Status: delivery.Sent}
		created[row.ord].Message = delivery.Message{Header: header, Body: m.Body, Tally: tally}
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
	ord   int
	seq   int64 // 0 if the message was blocked
	event int64 // id
}

func (c *pgCreated) columns() []any {
	return []any{&c.ord, orZero[int64]{&c.seq}, orZero[int64]{&c.event}}
}

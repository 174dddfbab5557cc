package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/msgdelivery/delivery"
)

var postgres = dialect{
	name:     "postgres",
	numbered: true,
	ids:      "(SELECT value AS id FROM json_array_elements_text(?::json))",
	ifFree:   " FOR UPDATE SKIP LOCKED",
	tell:     "INSERT INTO delivery_outbox (ready_at, lease, attempts, payload) VALUES (clock_timestamp(), 0, 0, ?)",
	clock:    pgClock,
	keep:     keepOnConflict,
	begin:    begin(pgBegin),
	inTx:     guard{enter: pgEnter, fail: pgFail},
	classify: pgClassify,
	settings: pgSettings,
	unmigrated: func(err error) bool {
		state := pgStateOf(err)
		return state == "42P01" || state == "42703" // table, column
	},
	reads:         pgReads,
	dropRedundant: dropRedundant,
	own:           pgOwnTexts,
	writes:        func() writes { return new(postgresWrites) },
	tables:        `SELECT tablename FROM pg_catalog.pg_tables WHERE schemaname = ANY (current_schemas(false))`,
	rights: `SELECT 'USAGE on the sequence delivery_outbox_id_seq'
		WHERE NOT has_sequence_privilege('delivery_outbox_id_seq', 'USAGE')`,
	migrate: pgMigrate,
}

// pgBegin begins a transaction of the store's own, in one round trip. Its statements keep to the
// indexes, as is said below. To a statement that can't, the planner gives a cost for which the
// server would compile it, unless jit is off. If the process stands still, or the network drops the
// connection without telling the server, the locks are free again after 5 s.
const pgBegin = `BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL enable_seqscan = off; SET LOCAL jit = off;
SET LOCAL idle_in_transaction_session_timeout = '5s'`

// pgClock is the clock, in microseconds.
const pgClock = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"

// postgresWrites does each write in one statement, which holds the change and its events. A claim
// or a settlement runs in a transaction; the others need none at READ COMMITTED. Batches travel as
// JSON or as the texts of arrays, so no driver's array types are needed.
type postgresWrites struct{ sweep sweep }

// Nothing tells the planner of Postgres how few rows a batch has and how many a conversation may
// have, and its guesses get worse with each join: it would rather read whole tables, or whole
// conversations. These keep the statements to the indexes, in every state of the statistics:
//
//   - LATERAL (… LIMIT 1): a lookup by the whole key, which counts as one row
//   - key = ANY (ARRAY(…)) beside a join: an array counts as few
//   - unnest((SELECT $1::text[]), …): an array that it cannot see counts as few, too
//   - INSERT … ON CONFLICT DO UPDATE, also where the row is known to exist: it looks into the index
//   - enable_seqscan = off in the store's own transactions. Only this keeps a DELETE to the index,
//     so claims and settlements run in transactions. Autovacuum often analyzes the outbox when it is
//     nearly empty, and plans made then would read all of it until the next ANALYZE.

// These texts look up more of a message m, once a statement has its row.
var (
	// pgAuthor is the name of the sender, empty if the user was erased.
	pgAuthor = `(SELECT CASE WHEN octet_length(name) > ` + strconv.Itoa(delivery.MaxID) + ` THEN '' ELSE name END FROM delivery_readers WHERE reader = m.sender)`

	// pgReceipt is a join with r, the receipt of the reader p, of whom all may be NULL.
	pgReceipt = `
	LEFT JOIN LATERAL (
		SELECT status, version, delivered_at, read_at FROM delivery_receipts
		WHERE conv = m.conv AND seq = m.seq AND reader = p.reader LIMIT 1
	) r ON true`

	// pgStanding is the status that p has: r's, or else what a recipient has without one, 0 if the
	// message is open, and NULL if it is not for p.
	pgStanding = `CASE WHEN r.status IS NOT NULL THEN r.status WHEN m.roster IS NULL THEN 0 ELSE (
		SELECT ` + absent("p") + ` FROM delivery_members b WHERE b.roster = m.roster AND b.reader = p.reader AND b.reader <> m.sender
	) END`

	// pgCap is the cap that p has. It is looked up only if a recipient has one.
	pgCap = `CASE WHEN m.readers < m.recipients THEN (SELECT cap FROM delivery_members WHERE roster = m.roster AND reader = p.reader) ELSE ` + sqlRead + ` END`
)

// pgFailing is whether a reader of the message m has a failure that others see as long as the
// reader's receipt is at Sent, or NULL. It is looked up only if the state t counts one.
func pgFailing(reader string) string {
	return `CASE WHEN t.failed > 0 THEN (
		SELECT true FROM delivery_failures WHERE conv = m.conv AND seq = m.seq AND reader = ` + reader + ` AND version > 0
	) END`
}

// pgVersion is the version of a receipt with that standing, if there is a receipt: without a row it
// is that of the message's sending.
func pgVersion(standing, seq, version string) string {
	return `CASE WHEN ` + standing + ` >= ` + sqlSent + ` THEN coalesce(` + version + `, ` + seq + `) END`
}

// pgReader is a join with p, the conversation's reader of that name.
func pgReader(conv, name string) string {
	return `
	LEFT JOIN LATERAL (
		SELECT reader, name, delivered_seq, read_seq, flag, rev FROM delivery_readers WHERE conv = ` + conv + ` AND name = ` + name + ` LIMIT 1
	) p ON true`
}

// Fragments of the statements that mark. They read a step, or u: one receipt's advance, with the
// counters of its message after it.
var (
	// pgPutReceipts looks for no conflict where there was no receipt: nobody else can make one,
	// since the conversation is locked and has not changed.
	pgPutReceipts = `
fresh AS (` + pgPutReceipt + ` WHERE was < ` + sqlDelivered + `),
known AS (` + pgPutReceipt + ` WHERE was >= ` + sqlDelivered + pgOverReceipt + `)`

	pgPutReceipt = `
	INSERT INTO delivery_receipts (conv, seq, reader, status, version, delivered_at, read_at)
	SELECT conv, seq, reader, status, version, delivered_at, read_at FROM step`

	pgOverReceipt = `
	ON CONFLICT (conv, seq, reader) DO UPDATE SET
		status = excluded.status, version = excluded.version,
		delivered_at = excluded.delivered_at, read_at = excluded.read_at
`

	pgState = `
	INSERT INTO delivery_states AS t (conv, seq, version, status, delivered_count, read_count, delivered_at, read_at, failed)`

	pgOverState = `
	ON CONFLICT (conv, seq) DO UPDATE SET
		version = excluded.version, status = excluded.status,
		delivered_count = excluded.delivered_count, read_count = excluded.read_count, failed = excluded.failed,
		delivered_at = coalesce(excluded.delivered_at, t.delivered_at),
		read_at = CASE WHEN excluded.read_at IS NULL THEN t.read_at ELSE greatest(excluded.read_at, excluded.delivered_at, t.delivered_at) END`
)

var (
	// pgReadQuorum is [delivery.Header.QuorumFor] for Read.
	pgReadQuorum = `least(u.quorum, nullif(u.readers, 0))`

	// pgDeliveredAt and pgReadAt are the times of the message that the step stamps, or NULL, as
	// [delivery.Tally.Count] says.
	pgDeliveredAt = `CASE WHEN was < ` + sqlDelivered + ` AND delivered = quorum AND read - (status = ` + sqlRead + `)::int < ` + pgReadQuorum + ` THEN delivered_at
		WHEN delivered < quorum THEN ` + pgReadAt + ` END`
	pgReadAt = `CASE WHEN status = ` + sqlRead + ` AND read = ` + pgReadQuorum + ` THEN read_at END`

	pgStatus = `CASE WHEN u.read >= ` + pgReadQuorum + ` THEN ` + sqlRead + ` WHEN u.delivered >= u.quorum THEN ` + sqlDelivered + ` ELSE ` + sqlSent + ` END`

	pgPutStates = pgState + `
	SELECT conv, seq, max(version), max(` + pgStatus + `), max(delivered), max(read),
		max(` + pgDeliveredAt + `), max(` + pgReadAt + `), min(failed)
	FROM step u GROUP BY conv, seq ` + pgOverState

	// pgUpdate is a step as a payloadUpdate. The server's functions that make JSON of objects take
	// several times as long. A time that is NULL leaves no trace in concat.
	pgUpdate = `concat('{"i":', to_json(u.message), ',"s":', to_json(u.author), ',"v":', u.version, ',"m":', ` + pgStatus + `,
		',"d":', u.delivered, ',"r":', u.read, ',"n":', u.total, ',"h":' || nullif(u.total - u.readers, 0), ',"f":' || nullif(u.failed, 0), ',"p":{"u":', to_json(u."user"), ',"s":', u.status,
		',"d":' || (extract(epoch FROM u.delivered_at) * 1000000)::bigint, ',"r":' || (extract(epoch FROM u.read_at) * 1000000)::bigint, '}}')`

	// pgEventOfSteps is the payload of an event of the steps of a group.
	pgEventOfSteps = pgEvent(sqlStatusChanged, `min(conversation)`, `min(version)`, `max(version)`, `socket COLLATE "C"`, pgTraces, `string_agg(`+pgUpdate+`, ',' ORDER BY version)`)

	// pgTraces are the traces of the steps of a group, as [delivery.Event.AddTrace] keeps them, or
	// NULL.
	pgTraces = fmt.Sprintf(`(array_agg(DISTINCT trace COLLATE "C") FILTER (WHERE trace <> ''))[1:%d]`, delivery.MaxTraces)
)

// pgStamps are the times of a step to that status: one is stamped where its status is reached, and
// at no other. The time at is not before the message was sent.
func pgStamps(status string) string {
	return `CASE WHEN was < ` + sqlDelivered + ` THEN at ELSE delivered_at END AS delivered_at,
		CASE WHEN ` + status + ` = ` + sqlRead + ` THEN greatest(at, delivered_at) END AS read_at`
}

// pgEvent returns the payload of an event of steps: it makes SQL from SQL.
func pgEvent(kind, conversation, from, to, socket, traces, updates string) string {
	return `concat('{"k":` + kind + `,"c":', to_json(` + conversation + `), ',"f":', ` + from + `, ',"t":', ` + to + `,
		',"x":', to_json(` + socket + `), ',"a":' || to_json(` + traces + `)::text, ',"u":[', ` + updates + `, ']}')`
}

// pgWaiting applies items in a caller's transaction, which waits for the conversations of the
// messages they name. An item comes back blocked only if its message came between the two
// statements: then that one's conversation was not waited for.
func pgWaiting[In, Out any](ctx context.Context, tx delivery.DBTX, items []In, message func(*In) string,
	apply func(items []In) ([]Out, error), blocked func(*Out) bool,
) ([]Out, error) {
	messages := make([]string, len(items))
	for i := range items {
		messages[i] = message(&items[i])
	}
	if _, err := tx.ExecContext(ctx, pgLock, idList(messages)); err != nil {
		return nil, err
	}
	outs, err := apply(items)
	if err != nil {
		return nil, err
	}
	var late []In
	var at []int
	for i := range outs {
		if blocked(&outs[i]) {
			late, at = append(late, items[i]), append(at, i)
		}
	}
	if len(late) == 0 {
		return outs, nil
	}
	lateOuts, err := pgWaiting(ctx, tx, late, message, apply, blocked)
	if err != nil {
		return nil, err
	}
	for k, i := range at {
		outs[i] = lateOuts[k]
	}
	return outs, nil
}

// pgMigrate runs apply in one transaction, under a lock that ends with it.
func pgMigrate(ctx context.Context, s *session, apply func(q delivery.DBTX) error) error {
	return s.write(ctx, func(q delivery.DBTX) error {
		if _, err := q.ExecContext(ctx, `SELECT pg_advisory_xact_lock(hashtext('delivery_migrations'))`); err != nil {
			return err
		}
		return apply(q)
	})
}

// pgEnter sees to it that a transaction is under way on the caller's connection. The server itself
// makes everything fail in a transaction after an error.
func pgEnter(ctx context.Context, tx delivery.DBTX) error {
	if _, ok := tx.(*sql.Conn); !ok {
		return nil
	}
	err := execEach(ctx, tx, "SAVEPOINT delivery_call", "RELEASE SAVEPOINT delivery_call")
	if pgStateOf(err) == "25P01" {
		return errNoTx
	}
	return err
}

// pgFail makes the transaction fail by a statement that the server refuses, in case that what
// failed was not a statement.
func pgFail(ctx context.Context, tx delivery.DBTX) error {
	_, err := tx.ExecContext(ctx, "RELEASE SAVEPOINT delivery_failed")
	switch state := pgStateOf(err); state {
	case "3B001", "25P02": // there is no such savepoint; the transaction has failed already
		return nil
	}
	return err
}

// pgStateOf returns the SQLSTATE of a server's error, "" if it is none.
func pgStateOf(err error) string {
	var e interface{ SQLState() string }
	if !errors.As(err, &e) {
		return ""
	}
	return e.SQLState()
}

// pgClassify goes by the SQLSTATE, which both drivers' errors tell.
func pgClassify(err error) fate {
	switch state := pgStateOf(err); state {
	case "": // not an answer
		return unknown
	case "40001", // serialization failure
		"40P01", // deadlock
		"55P03": // lock timeout
		return conflict
	case "25006": // read-only transaction
		return readOnly
	case "26000", // prepared statement does not exist
		"42P05": // or exists
		return pooled
	case "57P03", // starting up
		"57014", // statement_timeout, or cancelled by an administrator
		"25P04": // transaction_timeout
		return away
	case "23505": // unique violation
		for _, index := range []string{"delivery_messages_id_key", "delivery_readers_conv_name_key"} {
			if strings.Contains(err.Error(), index) {
				return conflict // someone stored the same message or reader first: the next try finds it
			}
		}
		return refused
	case "40003": // statement completion unknown
		return unknown
	case "57P01", "57P02", "57P05", "25P03": // shutdown, crash, idle for too long, so in a transaction
		return ended
	default:
		switch {
		case strings.HasPrefix(state, "08"): // connection failure, or all that pgbouncer has to say
			return ended
		case strings.HasPrefix(state, "53"): // disk full, out of memory, too many connections
			return away
		}
		return refused
	}
}

package sqlstore

import (
	"fmt"
	"strconv"

	"github.com/msgdelivery/delivery"
)

// pgNamed finds messages by their ids.
const pgNamed = `
FROM json_array_elements_text($1::json) AS named(id)
CROSS JOIN LATERAL (SELECT * FROM delivery_messages WHERE id = named.id LIMIT 1) m`

var (
	pgMessage = pgHeader + `, m.body, ` + pgTally
	pgHeader  = `m.id, c.id, ` + pgAuthor + `, m.seq, m.roster IS NULL, m.total, m.readers, m.quorum, m.sent_at`
	pgTally   = `t.version, t.status, t.delivered_count, t.read_count, t.delivered_at, t.read_at, t.failed`

	// A search for messages takes them in the order of the index, and a limit ends it. Ranges over
	// both columns, and conditions of CASE, make the planner expect many, whatever its statistics:
	// it would sort few. Of a limit that it cannot see it expects that 1/10 of them is wanted.

	// pgStands is whether a message was not deleted.
	pgStands = `CASE WHEN sender IS NULL THEN false ELSE true END`

	pgOwn = `m.id, p.name, ` + pgStanding + `, coalesce(r.version, m.seq), r.delivered_at, r.read_at`

	// pgFailure is a join with f, the failure of the reader p that others see as long as the reader's
	// receipt is at Sent.
	pgFailure = `
LEFT JOIN LATERAL (
	SELECT code, version FROM delivery_failures WHERE conv = m.conv AND seq = m.seq AND reader = p.reader AND version > 0 LIMIT 1
) f ON true`

	// A page is found in one table and filled from the others.
	pgPage = `
SELECT coalesce(c.version, 0), e.epoch, c.floor, p.rev, ` + pgMessage + `, ` + pgOwn + `
FROM (SELECT epoch FROM delivery_epoch WHERE id = 1) e
LEFT JOIN LATERAL (SELECT * FROM delivery_conversations WHERE id = $1::text LIMIT 1) c ON true%s`

	pgPageBySeq = pgPage + `
LEFT JOIN LATERAL (
	SELECT * FROM delivery_messages WHERE (conv, seq) > (c.conv, $2::bigint) AND (conv, seq) < (c.conv, $3::bigint) AND ` + pgStands + `
	ORDER BY conv %[2]s, seq %[2]s LIMIT $4::bigint
) m ON true
LEFT JOIN LATERAL (SELECT * FROM delivery_states WHERE conv = m.conv AND seq = m.seq LIMIT 1) t ON true` + pgReceipt + `
ORDER BY m.seq %[2]s`

	pgPageByVersion = pgPage + `
LEFT JOIN LATERAL (
	SELECT * FROM delivery_states WHERE conv = c.conv AND version > $2::bigint
	ORDER BY version LIMIT $3::bigint
) t ON true
LEFT JOIN LATERAL (SELECT * FROM delivery_messages WHERE conv = t.conv AND seq = t.seq LIMIT 1) m ON true` + pgReceipt + `
ORDER BY t.version`
)

var pgReads = reads{
	load: `
SELECT ` + pgMessage + `, g.name, m.recipients` + pgNamed + `
CROSS JOIN LATERAL (SELECT * FROM delivery_conversations WHERE conv = m.conv LIMIT 1) c
CROSS JOIN LATERAL (SELECT * FROM delivery_states WHERE conv = m.conv AND seq = m.seq LIMIT 1) t
LEFT JOIN LATERAL (SELECT name FROM delivery_rosters WHERE roster = m.roster LIMIT 1) g ON true`,

	// Of a frozen message all members of its roster have one, and of an open one those who have
	// marked it. An array counts as few: joins of so many rows as there may be are so dear to the
	// planner that it has the statement compiled first, which takes seconds.
	receipts: `
SELECT m.id, p.name, ` + pgStanding + `, coalesce(r.version, m.seq), r.delivered_at, r.read_at, ` + pgCap + `, f.code, f.version` + pgNamed + `
CROSS JOIN LATERAL unnest(CASE
	WHEN m.roster IS NULL THEN ARRAY(SELECT reader FROM delivery_receipts WHERE conv = m.conv AND seq = m.seq)
	ELSE ARRAY(SELECT reader FROM delivery_members WHERE roster = m.roster AND reader <> m.sender)
END) AS own(reader)
CROSS JOIN LATERAL (SELECT * FROM delivery_readers WHERE reader = own.reader LIMIT 1) p
LEFT JOIN LATERAL (SELECT * FROM delivery_receipts WHERE conv = m.conv AND seq = m.seq AND reader = own.reader LIMIT 1) r ON true` + pgFailure + `
ORDER BY p.name`,

	readers: `
SELECT p.name, ` + pgStanding + `, coalesce(r.version, m.seq), r.delivered_at, r.read_at, ` + pgCap + `, f.code, f.version
FROM (SELECT * FROM delivery_messages WHERE id = $1::text AND sender IS NOT NULL LIMIT 1) m
CROSS JOIN LATERAL (
	SELECT * FROM delivery_readers WHERE conv = m.conv AND name > $2::text ORDER BY name LIMIT $3::bigint
) p` + pgReceipt + pgFailure + `
ORDER BY p.name`,

	receiptsOf: `
SELECT ` + pgOwn + `, f.code, f.version
FROM json_array_elements($1::json) AS j(pair)
CROSS JOIN LATERAL (SELECT * FROM delivery_messages WHERE id = j.pair->>0 AND sender IS NOT NULL LIMIT 1) m
CROSS JOIN LATERAL (SELECT * FROM delivery_readers WHERE conv = m.conv AND name = j.pair->>1 LIMIT 1) p` + pgReceipt + pgFailure + `
WHERE ` + pgStanding + ` > 0`,

	after:   fmt.Sprintf(pgPageBySeq, pgReader("c.conv", "$5::text"), "ASC"),
	before:  fmt.Sprintf(pgPageBySeq, pgReader("c.conv", "$5::text"), "DESC"),
	changes: fmt.Sprintf(pgPageByVersion, pgReader("c.conv", "$4::text")),

	// An open message's receipt that is not there yet counts as Sent.
	unread: `
SELECT c.version, c.floor, u.count, first.id, first.seq, flagged.id, flagged.seq, ` + placeCols + `, private.status, ` + pgHeader + `, substr(m.body, 1, ` + strconv.Itoa(delivery.MaxPreview) + `), ` + pgTally + `, ` + pgOwn + `
FROM json_array_elements_text($1::json) AS asked(id)
CROSS JOIN LATERAL (SELECT * FROM delivery_conversations WHERE id = asked.id LIMIT 1) c
LEFT JOIN LATERAL (SELECT * FROM delivery_readers WHERE conv = c.conv AND name = $2::text LIMIT 1) p ON true
CROSS JOIN LATERAL (
	SELECT count(*) AS count, min(seq) AS first FROM (
		SELECT m.seq FROM delivery_messages m
		LEFT JOIN LATERAL (SELECT status FROM delivery_receipts WHERE conv = m.conv AND seq = m.seq AND reader = p.reader LIMIT 1) r ON true
		LEFT JOIN LATERAL (SELECT reader FROM delivery_members WHERE roster = m.roster AND reader = p.reader LIMIT 1) x ON true
		LEFT JOIN LATERAL (SELECT status FROM delivery_own WHERE reader = CASE WHEN p.rev > 0 THEN p.reader END AND seq = m.seq LIMIT 1) o ON true
		WHERE (m.conv, m.seq) > (c.conv, greatest(p.read_seq, p.badge, 0)) AND (m.conv, m.seq) <= (c.conv, c.version)
			AND CASE WHEN m.sender IS NULL OR m.sender = p.reader THEN false ELSE true END
			AND CASE WHEN o.status = ` + sqlRead + ` THEN false WHEN r.status IS NOT NULL THEN r.status < ` + sqlRead + ` ELSE m.roster IS NULL OR x.reader IS NOT NULL END
		ORDER BY m.conv, m.seq LIMIT (SELECT $3::bigint)
	) unread
) u
LEFT JOIN LATERAL (SELECT id, seq FROM delivery_messages WHERE conv = c.conv AND seq = u.first LIMIT 1) first ON true
LEFT JOIN LATERAL (
	SELECT id, seq FROM delivery_messages
	WHERE (conv, seq) >= (CASE WHEN p.flag > 0 THEN c.conv END, p.flag) AND (conv, seq) <= (c.conv, c.version) AND ` + pgStands + `
	ORDER BY conv, seq LIMIT 1
) flagged ON true
LEFT JOIN LATERAL (
	SELECT * FROM delivery_messages WHERE (conv, seq) > (c.conv, 0) AND (conv, seq) <= (c.conv, c.version) AND ` + pgStands + `
	ORDER BY conv DESC, seq DESC LIMIT 1
) m ON true
LEFT JOIN LATERAL (SELECT * FROM delivery_states WHERE conv = m.conv AND seq = m.seq LIMIT 1) t ON true
LEFT JOIN LATERAL (SELECT status FROM delivery_own WHERE reader = CASE WHEN p.rev > 0 THEN p.reader END AND seq = m.seq LIMIT 1) private ON true` + pgReceipt,

	dead: `SELECT id, payload, body, home, attempts, reason, at
FROM (SELECT * FROM delivery_dead WHERE id > $1::bigint ORDER BY id LIMIT $2::bigint) d` + pgBody + ` ORDER BY id`,

	backlog: `
SELECT count(*), (extract(epoch FROM clock_timestamp() - min(created_at)) * 1000000)::bigint,
	(extract(epoch FROM max(created_at) - clock_timestamp()) * 1000000)::bigint,
	(SELECT count(*) FROM delivery_dead)
FROM delivery_outbox`,
}

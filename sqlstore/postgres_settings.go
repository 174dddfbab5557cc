package sqlstore

import (
	"context"
	"strings"
	"time"

	"github.com/msgdelivery/delivery"
)

// pgBehind lists statements that bring sequences up to the ids that are there. Logical replication
// brings rows without the sequences that their ids came from. Who may not look at a sequence cannot
// tell.
const pgBehind = `
SELECT format('SELECT setval(%L, %s)', name, most)
FROM (VALUES
	('delivery_conversations_conv_seq', (SELECT max(conv) FROM delivery_conversations)),
	('delivery_readers_reader_seq', (SELECT max(reader) FROM delivery_readers)),
	('delivery_rosters_roster_seq', (SELECT max(roster) FROM delivery_rosters)),
	('delivery_outbox_id_seq', (SELECT greatest((SELECT max(id) FROM delivery_outbox), (SELECT max(id) FROM delivery_dead))))
) AS sequences (name, most)
WHERE most > CASE WHEN has_sequence_privilege(name, 'USAGE, SELECT') THEN coalesce(pg_sequence_last_value(name::regclass), 0) ELSE most END`

// pgSettings looks at what alters text on its way, at what the driver cannot read, and at
// sequences.
func pgSettings(ctx context.Context, q delivery.DBTX) (found findings, err error) {
	var server, client, dates, isolation string
	var migrated bool // or so far that there are sequences
	err = queryOne(ctx, q, []any{&server, &client, &dates, &isolation, &migrated}, `
SELECT current_setting('server_encoding'), current_setting('client_encoding'), current_setting('DateStyle'),
	current_setting('default_transaction_isolation'),
	num_nulls(to_regclass('delivery_conversations'), to_regclass('delivery_readers'), to_regclass('delivery_rosters'),
		to_regclass('delivery_outbox'), to_regclass('delivery_dead')) = 0`)
	if err != nil {
		return found, err
	}
	switch {
	case server != "UTF8":
		found.fault("the database's encoding is %s, which alters text: use a database made with ENCODING 'UTF8'", server)
	case client != "UTF8":
		found.fault("client_encoding is %s, which alters text: set it to UTF8 in the DSN or for the role", client)
	}
	if !strings.HasPrefix(dates, "ISO") {
		// Most drivers don't mind. If one does, the error is its own and not the server's, and so
		// harms no transaction.
		var at time.Time
		err := queryOne(ctx, q, []any{&at}, "SELECT timestamptz 'epoch'")
		if ctx.Err() != nil {
			return found, err
		}
		if err != nil || !at.Equal(time.Unix(0, 0)) {
			found.fault("the driver cannot read times while DateStyle is %q: set it to ISO, in the DSN or for the role", dates)
		}
	}
	found.isolate = isolation != "read committed"
	if migrated {
		cures, err := query(ctx, q, scanString, pgBehind)
		if err != nil {
			return found, err
		}
		if len(cures) > 0 {
			found.fault("sequences are behind the ids that are there, as after logical replication: run %s", strings.Join(cures, "; "))
		}
	}
	return found, nil
}

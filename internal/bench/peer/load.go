package peer

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
	"github.com/msgdelivery/delivery/sqlstore"
)

// fill writes the messages into the library's tables. The sender has the number of the
// conversation. It goes by SQL and not by Tracker.Send, since
// there may be millions.
var fill = []string{
	`INSERT INTO delivery_conversations (id, version)
	SELECT {conversation}, {each} FROM {numbers:conversations} ORDER BY n`,

	`INSERT INTO delivery_readers (conv, name, delivered_seq, read_seq)
	SELECT n + 1, '{sender}', 0, 0 FROM {numbers:conversations} ORDER BY n`,

	`INSERT INTO delivery_messages (conv, seq, id, sender, body, total, quorum, sent_at, stored_at)
	SELECT n % {conversations} + 1, {seq}, {id}, n % {conversations} + 1, '{body}', 0, 1, {now}, 0 FROM {numbers:messages}`,

	`INSERT INTO delivery_states (conv, seq, version, status, delivered_count, read_count)
	SELECT n % {conversations} + 1, {seq}, {seq}, 1, 0, 0 FROM {numbers:messages}`,
}

// words are what the kinds of database call things: {x:n} stands for n numbers from 0.
var words = map[engines.Kind]map[string]string{
	engines.Postgres: {
		"conversation": "'conversation-' || lpad((n + 1)::text, 6, '0')",
		"id":           "'01890000-0000-7000-8000-' || lpad(n::text, 12, '0')",
		"seq":          "n / {conversations} + 1",
		"now":          "now()",
		"numbers":      "generate_series(0, %d) n",
	},
	engines.MySQL: {
		"conversation": "concat('conversation-', lpad(n + 1, 6, '0'))",
		"id":           "concat('01890000-0000-7000-8000-', lpad(n, 12, '0'))",
		"seq":          "n DIV {conversations} + 1",
		"now":          "1700000000000000",
		"numbers":      "(SELECT seq AS n FROM seq_0_to_%d) numbers",
	},
	engines.SQLite: {
		"conversation": "printf('conversation-%06d', n + 1)",
		"id":           "printf('01890000-0000-7000-8000-%012d', n)",
		"seq":          "n / {conversations} + 1",
		"now":          "1700000000000000",
		"numbers":      "(WITH RECURSIVE t(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM t WHERE n < %d) SELECT n FROM t)",
	},
}

// prepareOurs makes the library's tables and fills them.
func prepareOurs(ctx context.Context, e Env) error {
	if err := sqlstore.Migrate(ctx, e.Pool, stores.Dialects[e.Kind]); err != nil {
		return err
	}
	return Fill(ctx, e)
}

// Fill writes the messages into the library's empty tables.
func Fill(ctx context.Context, e Env) error {
	w := words[e.Kind]
	numbers := func(n int) string { return fmt.Sprintf(w["numbers"], n-1) }
	replacer := strings.NewReplacer(
		"{conversation}", w["conversation"], "{id}", w["id"], "{now}", w["now"],
		"{seq}", strings.ReplaceAll(w["seq"], "{conversations}", strconv.Itoa(e.Conversations)),
		"{each}", strconv.Itoa(e.Messages/e.Conversations),
		"{conversations}", strconv.Itoa(e.Conversations),
		"{numbers:conversations}", numbers(e.Conversations), "{numbers:messages}", numbers(e.Messages),
		"{sender}", Sender, "{body}", Body,
	)
	write := func() error {
		for _, statement := range fill {
			if err := e.execute(ctx, replacer.Replace(statement)); err != nil {
				return err
			}
		}
		return nil
	}
	var err error
	if e.Kind == engines.Postgres {
		err = e.withoutIndexes(ctx, write)
	} else {
		err = write()
	}
	if err != nil {
		return err
	}
	return e.Settle(ctx)
}

// pgIndexes lists what removes and what makes the indexes of the tables that are filled.
const pgIndexes = `
select format('alter table %s drop constraint %I', t.oid::regclass, c.conname),
	format('alter table %s add constraint %I %s', t.oid::regclass, c.conname, pg_get_constraintdef(c.oid))
from pg_constraint c join pg_class t on t.oid = c.conrelid
where c.contype in ('p', 'u') and t.relname in ('delivery_messages', 'delivery_states')
union all
select format('drop index %s', i.indexrelid::regclass), pg_get_indexdef(i.indexrelid)
from pg_index i join pg_class t on t.oid = i.indrelid
where t.relname in ('delivery_messages', 'delivery_states') and not exists (select from pg_constraint where conindid = i.indexrelid)`

// withoutIndexes fills tables whose indexes are made afterwards, which takes a fraction of the
// time.
func (e Env) withoutIndexes(ctx context.Context, fill func() error) error {
	rows, err := e.Pool.QueryContext(ctx, pgIndexes)
	if err != nil {
		return err
	}
	defer rows.Close()
	var drops, makes []string
	for rows.Next() {
		var drop, make string
		if err := rows.Scan(&drop, &make); err != nil {
			return err
		}
		drops, makes = append(drops, drop), append(makes, make)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if err := e.execute(ctx, drops...); err != nil {
		return err
	}
	if err := fill(); err != nil {
		return err
	}
	return e.execute(ctx, makes...)
}

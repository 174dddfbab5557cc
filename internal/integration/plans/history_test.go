//go:build !race && !sqlite2

package plans

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
	"github.com/msgdelivery/delivery/sqlstore"
)

// history is a database in which the conversation c1 grows, beside others that together have a
// fifth of its messages, and at least some each. One message in ten is frozen for bob, cem and dan,
// has reached cem, and has a failure of dan's; the others are open.
type history struct {
	testing.TB
	kind          engines.Kind
	admin         *sql.DB
	visitors      []*visitor
	conversations int  // c1 to cn
	messages      int  // in c1
	newest        int  // seq of the newest message in c1
	deleted       int  // messages of c1
	visits        int  // so far
	idle          bool // operations need not find what they are for
	rules         map[delivery.OverdueFor][]overdueRule
	hour          time.Time // the beginning of one that has 40 messages of each conversation
}

// oldest is how many messages come before those that are deleted. The bodies of those behind it are
// in the outbox and in the dead letters.
const oldest = 300

// newHistory makes the tables, and pools for engines of one kind. Each has one connection, which
// has done everything on the empty tables: what a server remembers from then, it keeps.
func newHistory(t testing.TB, conversations int, of ...engines.Engine) *history {
	database := of[0].Database(t)
	h := &history{TB: t, idle: true, kind: database.Kind, admin: database.Open(t), conversations: conversations, rules: map[delivery.OverdueFor][]overdueRule{},
		hour: time.Now().Truncate(time.Hour).Add(-24 * time.Hour)}
	h.admin.SetMaxOpenConns(1)
	stores.Migrate(t, database.Engine, h.admin)
	switch h.kind {
	case engines.Postgres:
		h.each("ALTER TABLE %s SET (autovacuum_enabled = false)") // it would ANALYZE
	case engines.MySQL:
		h.exec("SET max_recursive_iterations = 1000000")
	}
	for _, e := range of {
		db := engines.Database{Engine: e, DSN: database.DSN}.Open(t)
		db.SetMaxOpenConns(1)
		v := &visitor{history: h, engine: e, db: db, store: stores.Open(t, e, db)}
		h.visitors = append(h.visitors, v)
		if h.kind == engines.Postgres {
			for range 5 { // from the sixth time on it may keep a plan for all arguments
				v.each(v.doOnce)
			}
		}
		v.each(v.doOnce)
	}
	// The app has more conversations and rosters than fit on a few pages, which Postgres would
	// rather read than an index.
	h.exec("INSERT INTO delivery_conversations (id, version) " + series(1, 3000) + "SELECT CONCAT('other', n), 0 FROM s")
	h.exec("INSERT INTO delivery_rosters (conv, name, size, tracked, readers) SELECT conv, 'other', 1, 1, 1 FROM delivery_conversations WHERE id LIKE 'other%'")
	h.exec("INSERT INTO delivery_members (roster, reader) SELECT roster, roster FROM delivery_rosters WHERE name = 'other'")
	h.exec("INSERT INTO delivery_failures (conv, seq, reader, version, code) SELECT conv, 1, conv, 1, 'lost' FROM delivery_conversations WHERE id LIKE 'other%'")
	h.exec("INSERT INTO delivery_rules (name, status, whose, since, head, tail) " + series(1, 3000) + "SELECT CONCAT('other', n), 3, 1, 0, 0, 0 FROM s")
	h.exec("INSERT INTO delivery_looked (conv, rule, seq, reader) SELECT conv, conv, 1, 0 FROM delivery_conversations WHERE id LIKE 'other%'")
	h.exec("INSERT INTO delivery_overdue (lease, number, rule, conv, seq, reader, attempts, ready_at) SELECT -conv, 0, conv, conv, 1, 1, 1, 0" +
		" FROM delivery_conversations WHERE id LIKE 'other%'")
	h.exec("DELETE FROM delivery_hours") // and none but the one that a visit names is due
	h.exec("INSERT INTO delivery_hours (began_at, ready_at) " + series(-9000, 24) +
		fmt.Sprintf("SELECT %d + n * %d, 9000000000000000 FROM s", time.Now().Truncate(time.Hour).UnixMicro(), time.Hour.Microseconds()))
	h.exec("INSERT INTO delivery_conversations (id, version) " + series(1, conversations) + "SELECT CONCAT('c', n), 0 FROM s")
	const in = " FROM delivery_conversations c, (SELECT 'ann' AS u UNION SELECT 'bob' UNION SELECT 'cem' UNION SELECT 'dan') u WHERE id > 'c0' AND id < 'd'"
	h.exec("INSERT INTO delivery_readers (conv, name, delivered_seq, read_seq) SELECT conv, u, 0, 0" + in)
	h.exec("INSERT INTO delivery_rosters (conv, name, size, tracked, readers) SELECT conv, 'them', 3, 3, 3" + in + " AND u = 'ann'")
	h.exec("INSERT INTO delivery_members (roster, reader) SELECT roster, reader FROM delivery_rosters g" +
		" JOIN delivery_readers p ON p.conv = g.conv AND p.name <> 'ann' WHERE g.conv IN (SELECT conv" + in + ")")
	return h
}

// grow fills up c1 to so many messages.
func (h *history) grow(messages int) {
	h.Helper()
	now, later := "0", "9000000000000000"
	if h.kind == engines.Postgres {
		now, later = "now()", "now() + INTERVAL '1 day'"
	}
	fill := func(which string, from, to int) {
		of := " FROM s, (SELECT c.conv, SUBSTR(id, 2) AS c, ann.reader AS ann, cem.reader AS cem, dan.reader AS dan, roster FROM delivery_conversations c" +
			" JOIN delivery_readers ann ON ann.conv = c.conv AND ann.name = 'ann' JOIN delivery_readers cem ON cem.conv = c.conv AND cem.name = 'cem' JOIN delivery_readers dan ON dan.conv = c.conv AND dan.name = 'dan'" +
			" JOIN delivery_rosters g ON g.conv = c.conv AND g.name = 'them' WHERE " + which + ") c"
		h.exec("INSERT INTO delivery_messages (conv, seq, id, sender, body, roster, recipients, total, readers, quorum, sent_at, stored_at) " + series(from, to) +
			"SELECT conv, n, CONCAT('m', c, '-', n), ann, '', CASE WHEN n % 10 = 0 THEN roster END" + strings.Repeat(", CASE WHEN n % 10 = 0 THEN 3 ELSE 0 END", 3) + ", 1, " + now + ", 0" + of)
		h.exec("INSERT INTO delivery_states (conv, seq, version, status, delivered_count, read_count) " + series(from, to) +
			"SELECT conv, n, n, 1, 0, 0" + of)
		h.exec("INSERT INTO delivery_receipts (conv, seq, reader, status, version) " + series(from, to) +
			"SELECT conv, n, cem, 2, n" + of + " WHERE n % 10 = 0")
		h.exec("INSERT INTO delivery_failures (conv, seq, reader, version, code) " + series(from, to) +
			"SELECT conv, n, dan, n, 'lost'" + of + " WHERE n % 10 = 0")
		h.exec(fmt.Sprintf("UPDATE delivery_conversations SET version = %d WHERE %s", to, which))
	}
	first := h.one("SELECT version FROM delivery_conversations WHERE id = 'c1'") + 1
	h.newest = first + messages - h.messages - 1
	fill("id = 'c1'", first, h.newest)
	if others := h.conversations - 1; others > 0 {
		// From the beginning on there are more in each than Unread counts.
		fill("id > 'c1' AND id < 'd'", h.messages/5/others+min(h.messages, 15)+1, messages/5/others+15)
	}
	h.exec("INSERT INTO delivery_readers (conv, name, delivered_seq, read_seq) " + series(1, 1000) +
		fmt.Sprintf("SELECT conv, CONCAT('r%d-', n), %d, %[2]d FROM delivery_conversations, s WHERE id = 'c1'", messages, h.newest-20))
	if h.kind == engines.Postgres {
		// As autovacuum does a minute after a thousand events. It leaves next to nothing of the outbox,
		// and the plans that are made next are made for that.
		h.idle = true
		h.exec("DELETE FROM delivery_outbox")
		h.exec("DELETE FROM delivery_dead")
		h.exec("VACUUM ANALYZE delivery_outbox, delivery_dead")
		for _, v := range h.visitors {
			v.each(v.doOnce)
		}
	}
	const outbox = "INSERT INTO delivery_outbox (ready_at, lease, attempts, created_at, body_of, payload)" +
		" %s SELECT %s, %d, 0, %s, CONCAT('m1-', n), '{\"u\":[{\"b\":\"text\"}]}' FROM s"
	bodies := series(oldest+1+h.messages/10, oldest+messages/10)
	h.exec(fmt.Sprintf(outbox, bodies, later, 0, now))
	h.exec(fmt.Sprintf(outbox, bodies, later, -1, now))
	h.exec("INSERT INTO delivery_dead (id, attempts, reason, at, body_of, payload) SELECT id, 1, '', created_at, body_of, payload FROM delivery_outbox WHERE lease = -1")
	h.exec("DELETE FROM delivery_outbox WHERE lease = -1")
	h.exec(fmt.Sprintf(outbox, series(1, 300), now, 0, now)) // is due
	if h.kind == engines.Postgres {
		h.exec("SELECT pg_stat_force_next_flush()") // what it counted is not what visitors did
	}
	if h.messages == 0 { // those of one hour
		h.exec(fmt.Sprintf("UPDATE delivery_messages SET stored_at = %d WHERE seq <= 40", h.hour.UnixMicro()))
	}
	h.messages, h.idle = messages, false
}

// series returns the head of a statement that selects from s, the numbers from first to last as n.
func series(first, last int) string {
	return fmt.Sprintf("WITH RECURSIVE s (n) AS (SELECT %d UNION ALL SELECT n + 1 FROM s WHERE n < %d) ", first, last)
}

func (h *history) analyze() {
	h.Helper()
	if h.kind == engines.MySQL {
		h.each("ANALYZE TABLE %s")
	} else {
		h.each("ANALYZE %s")
	}
	if h.kind == engines.Postgres {
		h.exec("SELECT pg_stat_force_next_flush()")
	}
}

// each executes a statement about each table.
func (h *history) each(statement string) {
	h.Helper()
	for _, table := range []string{"conversations", "messages", "states", "receipts", "failures", "readers", "rosters", "members", "outbox", "dead", "rules", "looked", "overdue", "hours"} {
		h.exec(fmt.Sprintf(statement, "delivery_"+table))
	}
}

func (h *history) exec(statement string) {
	h.Helper()
	if _, err := h.admin.ExecContext(h.Context(), statement); err != nil {
		h.Fatalf("%v\n%s", err, statement)
	}
}

func (h *history) one(query string) (n int) {
	h.Helper()
	if err := h.admin.QueryRowContext(h.Context(), query).Scan(&n); err != nil {
		h.Fatalf("%v\n%s", err, query)
	}
	return n
}

// id returns the id of the newest open message of c1 that so many are newer than.
func (h *history) id(newer int) string {
	seq := h.newest - newer
	if seq%10 == 0 {
		seq--
	}
	return fmt.Sprint("m1-", seq)
}

// visitor works in a history.
type visitor struct {
	*history
	engine engines.Engine
	db     *sql.DB // has one connection
	store  *sqlstore.Store
}

// visit returns the next visit.
func (v *visitor) visit() visit {
	v.Helper()
	v.visits++
	next := visit{history: v.history, n: v.visits}
	err := v.db.QueryRowContext(v.Context(), "SELECT COALESCE(MAX(version), 0) FROM delivery_conversations WHERE id = 'c1'").Scan(&next.version)
	if err != nil {
		v.Fatal(err)
	}
	return next
}

// each calls a function with each operation, alone and in a caller's transaction.
func (v *visitor) each(do func(o operation, inTx bool)) {
	for _, o := range operations {
		do(o, false)
		do(o, true)
	}
	for _, o := range ofTheRelay {
		do(o, false)
	}
}

func (v *visitor) doOnce(o operation, inTx bool) {
	v.Helper()
	v.do(o, v.visit(), inTx)
}

// do does an operation, in a transaction of the caller's or not.
func (v *visitor) do(o operation, this visit, inTx bool) {
	v.Helper()
	ctx := v.Context()
	this.Store = v.store
	if !inTx {
		if err := o.do(ctx, this); err != nil {
			v.Fatalf("%s: %v", o.name, err)
		}
		return
	}
	tx, err := v.db.BeginTx(ctx, nil)
	if err != nil {
		v.Fatal(err)
	}
	defer tx.Rollback()
	this.Store = v.store.InTx(v.explained(tx))
	if err := o.do(ctx, this); err != nil {
		v.Fatalf("%s: %v", o.name, err)
	}
	if err := tx.Commit(); err != nil {
		v.Fatal(err)
	}
}

// visit is one operation on its way.
type visit struct {
	*history
	delivery.Store
	n       int   // no other visit has this number
	version int64 // of c1, before
}

// operation is something to do in a history.
type operation struct {
	name string
	do   func(ctx context.Context, v visit) error
}

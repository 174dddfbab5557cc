package chaos

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
)

// watchers are the statements that have a database write down, in the table chaos_backwards, what
// must never happen to a receipt: a change that is no step forward, or its end. An update that
// changes nothing is none: MariaDB makes such where it reserves a receipt that somebody else has
// made.
var watchers = map[engines.Kind][]string{
	engines.SQLite: {
		`CREATE TABLE chaos_backwards (what TEXT NOT NULL)`,
		`CREATE TRIGGER chaos_update AFTER UPDATE ON delivery_receipts WHEN NEW.status < OLD.status OR NEW.version < OLD.version OR (NEW.status = OLD.status) <> (NEW.version = OLD.version) BEGIN
			INSERT INTO chaos_backwards VALUES (OLD.conv || ' ' || OLD.seq || ' ' || OLD.reader || ': ' || OLD.status || ' to ' || NEW.status);
		END`,
		`CREATE TRIGGER chaos_delete AFTER DELETE ON delivery_receipts BEGIN
			INSERT INTO chaos_backwards VALUES (OLD.conv || ' ' || OLD.seq || ' ' || OLD.reader || ': ' || OLD.status || ' to nothing');
		END`,
	},
	engines.Postgres: {
		`CREATE TABLE chaos_backwards (what text NOT NULL)`,
		`CREATE FUNCTION chaos_backwards() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			INSERT INTO chaos_backwards VALUES (concat_ws(' ', OLD.conv, OLD.seq, OLD.reader, OLD.status, 'to', NEW.status));
			RETURN NULL;
		END $$`,
		`CREATE TRIGGER chaos_update AFTER UPDATE ON delivery_receipts FOR EACH ROW
			WHEN (NEW.status < OLD.status OR NEW.version < OLD.version OR (NEW.status = OLD.status) <> (NEW.version = OLD.version)) EXECUTE FUNCTION chaos_backwards()`,
		`CREATE TRIGGER chaos_delete AFTER DELETE ON delivery_receipts FOR EACH ROW EXECUTE FUNCTION chaos_backwards()`,
	},
	engines.MySQL: {
		`CREATE TABLE chaos_backwards (what TEXT NOT NULL) ENGINE=InnoDB`,
		`CREATE TRIGGER chaos_update AFTER UPDATE ON delivery_receipts FOR EACH ROW
			IF NEW.status < OLD.status OR NEW.version < OLD.version OR (NEW.status = OLD.status) <> (NEW.version = OLD.version) THEN
				INSERT INTO chaos_backwards VALUES (CONCAT_WS(' ', OLD.conv, OLD.seq, OLD.reader, OLD.status, 'to', NEW.status));
			END IF`,
		`CREATE TRIGGER chaos_delete AFTER DELETE ON delivery_receipts FOR EACH ROW
			INSERT INTO chaos_backwards VALUES (CONCAT_WS(' ', OLD.conv, OLD.seq, OLD.reader, OLD.status, 'to nothing'))`,
	},
}

// idle counts the sessions of this database that hold a transaction and have left it alone for
// longer than a second.
var idle = map[engines.Kind]string{
	engines.SQLite: `SELECT 0`,
	engines.Postgres: `
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND state LIKE 'idle in transaction%' AND state_change < clock_timestamp() - interval '1 second'`,
	engines.MySQL: `
SELECT count(*) FROM information_schema.innodb_trx t JOIN information_schema.processlist p ON p.id = t.trx_mysql_thread_id
WHERE p.db = DATABASE() AND p.command = 'Sleep' AND p.time_ms > 1000`,
}

// State is what a run left in the tables.
type State struct {
	Messages  []StoredMessage       `json:"messages"` // in order of seq
	Receipts  []StoredReceipt       `json:"receipts"`
	Unread    []StoredUnread        `json:"unread"`   // of every user in every conversation
	Versions  map[string]int64      `json:"versions"` // by conversation
	Dead      []delivery.DeadLetter `json:"dead"`
	Rosters   []string              `json:"rosters"`   // what does not fit together
	Backwards []string              `json:"backwards"` // that the triggers wrote down
	Outbox    int                   `json:"outbox"`
	Leased    int                   `json:"leased"` // of the outbox
	Idle      int                   `json:"idle"`   // sessions that hold a transaction and do nothing
}

// StoredMessage is a message, and the counts that are kept of it.
type StoredMessage struct {
	ID           string          `json:"id"`
	Conversation string          `json:"conversation"`
	Sender       string          `json:"sender"`
	Seq          int64           `json:"seq"`
	Open         bool            `json:"open"`
	Quorum       int             `json:"quorum"`
	Version      int64           `json:"version"`
	Status       delivery.Status `json:"status"`
	Delivered    int             `json:"delivered"`
	Read         int             `json:"read"`
}

// StoredReceipt is a receipt.
type StoredReceipt struct {
	Message   string          `json:"message"`
	Recipient string          `json:"recipient"`
	Status    delivery.Status `json:"status"`
	Version   int64           `json:"version"`
}

// StoredUnread is what the store says that a user has not read.
type StoredUnread struct {
	User string `json:"user"`
	delivery.Unread
}

// receipts lists those that have a row, but for those that MariaDB has only reserved, and those of
// recipients who have none yet.
const receipts = `
SELECT m.id, p.name, r.status, r.version
FROM delivery_receipts r
JOIN delivery_messages m ON m.conv = r.conv AND m.seq = r.seq
JOIN delivery_readers p ON p.reader = r.reader
WHERE r.version > 0
UNION ALL
SELECT m.id, p.name, 1, m.seq
FROM delivery_messages m
JOIN delivery_members b ON b.roster = m.roster AND b.reader <> m.sender
JOIN delivery_readers p ON p.reader = b.reader
LEFT JOIN delivery_receipts r ON r.conv = m.conv AND r.seq = m.seq AND r.reader = b.reader AND r.version > 0
WHERE r.reader IS NULL`

// misfits are queries for what may never be in the tables.
var misfits = map[string]string{
	"a message that is not for the roster of its conversation, or not for all of it": `
SELECT m.id FROM delivery_messages m
LEFT JOIN delivery_rosters g ON g.roster = m.roster AND g.conv = m.conv
LEFT JOIN delivery_members b ON b.roster = m.roster AND b.reader = m.sender
WHERE m.roster IS NOT NULL AND (g.roster IS NULL OR m.recipients <> g.size - CASE WHEN b.reader IS NULL THEN 0 ELSE 1 END
	OR m.total <> g.tracked - CASE WHEN b.cap >= 2 THEN 1 ELSE 0 END OR m.readers <> g.readers - CASE WHEN b.cap = 3 THEN 1 ELSE 0 END)`,
	"a roster of no message": `
SELECT name FROM delivery_rosters WHERE roster NOT IN (SELECT roster FROM delivery_messages WHERE roster IS NOT NULL)`,
	"a roster that lacks members": `
SELECT g.name FROM delivery_rosters g WHERE g.size <> (
	SELECT count(*) FROM delivery_members b JOIN delivery_readers p ON p.reader = b.reader WHERE b.roster = g.roster AND p.conv = g.conv)`,
	"a roster that counts the caps of its members otherwise": `
SELECT g.name FROM delivery_rosters g WHERE g.tracked <> (SELECT count(*) FROM delivery_members WHERE roster = g.roster AND cap >= 2)
	OR g.readers <> (SELECT count(*) FROM delivery_members WHERE roster = g.roster AND cap = 3)`,
	"a receipt above its recipient's cap": `
SELECT m.id FROM delivery_receipts r JOIN delivery_messages m ON m.conv = r.conv AND m.seq = r.seq
JOIN delivery_members b ON b.roster = m.roster AND b.reader = r.reader WHERE r.status > b.cap`,
	"members of no roster": `
SELECT p.name FROM delivery_members b LEFT JOIN delivery_readers p ON p.reader = b.reader WHERE b.roster NOT IN (SELECT roster FROM delivery_rosters)`,
}

const stateFile = "state.json"

// readState reads the tables.
func readState(ctx context.Context, db *sql.DB, kind engines.Kind, store delivery.Store, world World) (*State, error) {
	s := &State{Versions: map[string]int64{}}
	for _, count := range []struct {
		query string
		to    *int
	}{
		{`SELECT count(*) FROM delivery_outbox`, &s.Outbox},
		{`SELECT count(*) FROM delivery_outbox WHERE lease <> 0`, &s.Leased},
		{idle[kind], &s.Idle},
	} {
		if err := db.QueryRowContext(ctx, count.query).Scan(count.to); err != nil {
			return nil, err
		}
	}
	var err error
	s.Messages, err = rows(ctx, db, func(rows *sql.Rows) (m StoredMessage, err error) {
		return m, rows.Scan(&m.ID, &m.Conversation, &m.Sender, &m.Seq, &m.Open, &m.Quorum, &m.Version, (*uint8)(&m.Status), &m.Delivered, &m.Read)
	}, `SELECT m.id, c.id, s.name, m.seq, m.roster IS NULL, m.quorum, t.version, t.status, t.delivered_count, t.read_count
FROM delivery_messages m
JOIN delivery_conversations c ON c.conv = m.conv
JOIN delivery_readers s ON s.reader = m.sender
JOIN delivery_states t ON t.conv = m.conv AND t.seq = m.seq
ORDER BY m.conv, m.seq`)
	if err != nil {
		return nil, err
	}
	s.Receipts, err = rows(ctx, db, func(rows *sql.Rows) (r StoredReceipt, err error) {
		return r, rows.Scan(&r.Message, &r.Recipient, (*uint8)(&r.Status), &r.Version)
	}, receipts)
	if err != nil {
		return nil, err
	}
	text := func(rows *sql.Rows) (what string, err error) { return what, rows.Scan(&what) }
	for what, query := range misfits {
		keys, err := rows(ctx, db, text, query)
		if err != nil {
			return nil, err
		}
		for _, key := range keys {
			s.Rosters = append(s.Rosters, what+": "+key)
		}
	}
	s.Backwards, err = rows(ctx, db, text, `SELECT what FROM chaos_backwards`)
	if err != nil {
		return nil, err
	}
	type conversation struct {
		id      string
		version int64
	}
	conversations, err := rows(ctx, db, func(rows *sql.Rows) (c conversation, err error) { return c, rows.Scan(&c.id, &c.version) },
		`SELECT id, version FROM delivery_conversations`)
	for _, c := range conversations {
		s.Versions[c.id] = c.version
	}
	if err == nil {
		s.Unread, err = readUnread(ctx, store, world)
	}
	for after := int64(0); err == nil; {
		var dead []delivery.DeadLetter
		if dead, err = store.Dead(ctx, after, delivery.MaxBatch); len(dead) == 0 {
			break
		}
		s.Dead = append(s.Dead, dead...)
		after = dead[len(dead)-1].Event.ID
	}
	return s, err
}

// readUnread asks the store for what every user has not read in every conversation.
func readUnread(ctx context.Context, store delivery.Store, world World) ([]StoredUnread, error) {
	conversations := make([]string, world.Conversations)
	for i := range conversations {
		conversations[i] = conversationID(i)
	}
	all := make([][]StoredUnread, world.Users)
	asking := sync.WaitGroup{}
	errs := make([]error, 4)
	for n := range errs {
		asking.Go(func() {
			for i := n; i < len(all) && errs[n] == nil; i += len(errs) {
				var unread []delivery.Unread
				unread, errs[n] = store.Unread(ctx, userID(i), conversations, delivery.MaxUnread)
				for _, u := range unread {
					all[i] = append(all[i], StoredUnread{userID(i), u})
				}
			}
		})
	}
	asking.Wait()
	return slices.Concat(all...), errors.Join(errs...)
}

func rows[T any](ctx context.Context, db *sql.DB, scan func(*sql.Rows) (T, error), query string) (all []T, err error) {
	result, err := db.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer result.Close()
	for result.Next() {
		row, err := scan(result)
		if err != nil {
			return nil, err
		}
		all = append(all, row)
	}
	return all, result.Err()
}

func (s *State) save(dir string) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, stateFile), text, 0o600)
}

func loadState(dir string) (*State, error) {
	text, err := os.ReadFile(filepath.Join(dir, stateFile))
	if err != nil {
		return nil, err
	}
	s := new(State)
	return s, json.Unmarshal(text, s)
}

// outbox counts the events that wait, and goes on trying while the database is away.
func outbox(ctx context.Context, db *sql.DB) (n int, err error) {
	for {
		if err = db.QueryRowContext(ctx, `SELECT count(*) FROM delivery_outbox`).Scan(&n); err == nil || ctx.Err() != nil {
			return n, err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

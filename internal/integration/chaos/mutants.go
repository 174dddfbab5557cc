package chaos

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/msgdelivery/delivery"
)

// Mutants: ways in which the library could be wrong and that the checker has to notice. Each is
// built around the real store or notifier, so that all else is as it should be.
const (
	twoTransactions      = "the state and its event in two transactions"
	forgetsEvents        = "an event in twenty is never written"
	noGuard              = "a status is written without looking at what is there"
	acksBeforeCommit     = "a mark is acknowledged before it is written"
	letsSendersMark      = "a sender may mark its own message"
	settlesBeforePublish = "an event is settled before it is published"
	acksWholeBatch       = "a batch is settled when its first event was accepted"
	claimsWithoutLease   = "a claim holds nothing"
	processClock         = "leases end by the clock of the process"
	cursor               = "a cursor in place of claims"
	buriesOutages        = "a failing endpoint is taken for a bad event"
	retriesRefusals      = "a bad event is taken for a failing endpoint"
	keepsExclusion       = "merged events keep the first one's excluded socket"
	retriesStatements    = "after a deadlock the statement is repeated, not the transaction"
	settlesWithoutLease  = "a settlement does not look at the lease"
	attemptsOnFailure    = "only failures count as attempts"
	miscounts            = "a counter does not move with its receipt"
	passesOver           = "a reader's place moves past what was not marked"
	locksGaps            = "claims lock what lies between events too"
)

// mutate builds the node's mutant into a store and a notifier.
func (n *node) mutate(store delivery.Store, notifier delivery.Notifier, db *sql.DB) (delivery.Store, delivery.Notifier) {
	if n.Mutant == retriesStatements || n.Mutant == locksGaps {
		return store, notifier // see watchStatements
	}
	return mutantStore(n.Mutant, store, db), mutantNotifier(n.Mutant, notifier)
}

func mutantStore(name string, store delivery.Store, db *sql.DB) delivery.Store {
	m := &mutant{Store: store, name: name, db: db, tokens: map[int64]int64{}}
	switch name {
	case twoTransactions, forgetsEvents, noGuard, acksBeforeCommit, settlesBeforePublish, claimsWithoutLease, processClock, cursor,
		settlesWithoutLease, attemptsOnFailure, letsSendersMark, miscounts, passesOver:
		return m
	}
	return store
}

func mutantNotifier(name string, notifier delivery.Notifier) delivery.Notifier {
	notify := notifier.Notify
	switch name {
	case acksWholeBatch:
		notify = func(ctx context.Context, events []delivery.Event) error {
			return notifier.Notify(ctx, events[:1])
		}
	case buriesOutages:
		notify = func(ctx context.Context, events []delivery.Event) error {
			err := notifier.Notify(ctx, events)
			if refused := (*delivery.RefusedError)(nil); err == nil || errors.As(err, &refused) {
				return err
			}
			all := map[int]error{}
			for i := range events {
				all[i] = delivery.Permanent(err)
			}
			return delivery.Refused(all)
		}
	case retriesRefusals:
		notify = func(ctx context.Context, events []delivery.Event) error {
			if err := notifier.Notify(ctx, events); err != nil {
				return errors.New("it failed")
			}
			return nil
		}
	case keepsExclusion:
		notify = func(ctx context.Context, events []delivery.Event) error { return notifier.Notify(ctx, merge(events)) }
	}
	return delivery.NotifierFunc(notify)
}

// merge makes one event of those of a conversation whose versions follow each other.
func merge(events []delivery.Event) (merged []delivery.Event) {
	for _, e := range events {
		i := slices.IndexFunc(merged, func(m delivery.Event) bool {
			return m.Conversation == e.Conversation && m.Kind == e.Kind && m.To+1 == e.From
		})
		if i < 0 {
			merged = append(merged, e)
			continue
		}
		merged[i].To = e.To
		merged[i].Updates = slices.Concat(merged[i].Updates, e.Updates)
	}
	return merged
}

// mutant is a store with something wrong in it.
type mutant struct {
	delivery.Store
	name string
	db   *sql.DB // of SQLite

	mu     sync.Mutex
	seen   int64           // the cursor
	tokens map[int64]int64 // the latest leases, by event
}

func (m *mutant) lease(lease delivery.Lease) delivery.Lease {
	switch m.name {
	case claimsWithoutLease:
		lease.For = 0
	case processClock:
		lease.For -= 10 * time.Minute // this process is late by that much
	}
	return lease
}

func (m *mutant) Advance(ctx context.Context, marks []delivery.Mark, lease delivery.Lease) ([]delivery.Marked, []delivery.Claimed, error) {
	if m.name == acksBeforeCommit {
		return m.promise(ctx, marks)
	}
	if m.name == letsSendersMark {
		m.forgetSenders(ctx, marks)
	}
	marked, claimed, err := m.Store.Advance(ctx, marks, m.lease(lease))
	if err != nil {
		return marked, claimed, err
	}
	switch m.name {
	case letsSendersMark:
		for i := range marked {
			marked[i].Header.Sender = nobody
		}
	case twoTransactions:
		err = m.rewrite(ctx, claimed)
	case noGuard:
		for i, mark := range marks {
			if marked[i].Receipt.Status.Valid() {
				m.set(ctx, mark)
				marked[i].Receipt.Status = mark.Status
			}
		}
	case miscounts:
		m.exec(ctx, `UPDATE delivery_states SET read_count = read_count - 1 WHERE version % 20 = 0 AND read_count > 0`)
	case forgetsEvents:
		claimed = slices.DeleteFunc(claimed, func(c delivery.Claimed) bool {
			if rand.IntN(20) > 0 {
				return false
			}
			m.settle(ctx, c)
			return true
		})
	}
	return marked, m.take(ctx, claimed), err
}

func (m *mutant) AdvanceUpTo(ctx context.Context, upTo []delivery.UpTo, limit int, lease delivery.Lease) ([]delivery.MarkedUpTo, []delivery.Claimed, error) {
	marked, claimed, err := m.Store.AdvanceUpTo(ctx, upTo, limit, m.lease(lease))
	if m.name == passesOver {
		for _, u := range upTo {
			m.exec(ctx, `UPDATE delivery_readers SET read_seq = 1000000 WHERE name = ?`, u.User)
		}
	}
	return marked, claimed, err
}

func (m *mutant) Claim(ctx context.Context, limit int, lease delivery.Lease) ([]delivery.Claimed, error) {
	claimed, err := m.Store.Claim(ctx, limit, m.lease(lease))
	if m.name == cursor {
		m.mu.Lock()
		defer m.mu.Unlock()
		seen := m.seen
		claimed = slices.DeleteFunc(claimed, func(c delivery.Claimed) bool {
			m.seen = max(m.seen, c.Event.ID)
			return c.Event.ID <= seen
		})
	}
	return m.take(ctx, claimed), err
}

// take is what becomes of events when this process gets hold of them.
func (m *mutant) take(ctx context.Context, claimed []delivery.Claimed) []delivery.Claimed {
	for i, c := range claimed {
		switch m.name {
		case settlesBeforePublish:
			m.settle(ctx, c)
		case attemptsOnFailure:
			claimed[i].Attempts--
		case settlesWithoutLease:
			m.mu.Lock()
			m.tokens[c.Event.ID] = c.Lease
			m.mu.Unlock()
		}
	}
	return claimed
}

func (m *mutant) settle(ctx context.Context, c delivery.Claimed) {
	m.Store.Settle(ctx, []delivery.Settlement{{ID: c.Event.ID, Lease: c.Lease, Outcome: delivery.SettleDone}})
}

func (m *mutant) Settle(ctx context.Context, settlements []delivery.Settlement) (int, error) {
	if m.name == settlesWithoutLease {
		m.mu.Lock()
		settlements = slices.Clone(settlements)
		for i, s := range settlements {
			settlements[i].Lease = m.tokens[s.ID]
		}
		m.mu.Unlock()
	}
	held, err := m.Store.Settle(ctx, settlements)
	if m.name == settlesBeforePublish {
		held = len(settlements)
	}
	return held, err
}

const nobody = "nobody"

// forgetSenders lets the senders of messages in who now want to mark them.
func (m *mutant) forgetSenders(ctx context.Context, marks []delivery.Mark) {
	for _, mark := range marks {
		m.exec(ctx, `
INSERT INTO delivery_readers (conv, name, delivered_seq, read_seq) SELECT conv, ?, 0, 0 FROM delivery_messages WHERE id = ?
ON CONFLICT (conv, name) DO NOTHING`, nobody, mark.Message)
		m.exec(ctx, `
UPDATE delivery_messages AS m SET sender = n.reader
FROM delivery_readers n, delivery_readers s
WHERE m.id = ? AND n.conv = m.conv AND n.name = ? AND s.reader = m.sender AND s.name = ?`, mark.Message, nobody, mark.User)
	}
}

// promise acknowledges marks of open messages and writes them later.
func (m *mutant) promise(ctx context.Context, marks []delivery.Mark) ([]delivery.Marked, []delivery.Claimed, error) {
	ids := make([]string, len(marks))
	for i, mark := range marks {
		ids[i] = mark.Message
	}
	messages, err := m.Load(ctx, ids)
	marked := make([]delivery.Marked, len(marks))
	for i, mark := range marks {
		for _, message := range messages {
			if message.ID != mark.Message {
				continue
			}
			marked[i].Header = message.Header
			if mark.User != message.Sender {
				marked[i].Receipt = delivery.Receipt{Message: mark.Message, Recipient: mark.User, Status: mark.Status}
			}
		}
	}
	time.AfterFunc(100*time.Millisecond, func() {
		m.Store.Advance(context.Background(), marks, delivery.Lease{})
	})
	return marked, nil, err
}

// set writes a status.
func (m *mutant) set(ctx context.Context, mark delivery.Mark) {
	m.exec(ctx, `
UPDATE delivery_receipts AS r SET status = ?
FROM delivery_messages m, delivery_readers p
WHERE m.id = ? AND p.conv = m.conv AND p.name = ? AND r.conv = m.conv AND r.seq = m.seq AND r.reader = p.reader`, uint8(mark.Status), mark.Message, mark.User)
}

func (m *mutant) exec(ctx context.Context, statement string, args ...any) {
	if _, err := m.db.ExecContext(ctx, statement, args...); err != nil {
		panic(err)
	}
}

// rewrite takes events out of the outbox and writes them again, as a second transaction would. One
// time in twenty the process does not live to see it.
func (m *mutant) rewrite(ctx context.Context, claimed []delivery.Claimed) error {
	if len(claimed) == 0 {
		return nil
	}
	ids := make([]int64, len(claimed))
	for i, c := range claimed {
		ids[i] = c.Event.ID
	}
	list, err := json.Marshal(ids)
	if err != nil {
		return err
	}
	rows, err := m.db.QueryContext(ctx, `
DELETE FROM delivery_outbox WHERE id IN (SELECT value FROM json_each(?)) RETURNING id, ready_at, lease, attempts, created_at, payload`, string(list))
	if err != nil {
		return err
	}
	var events [][]any
	for rows.Next() {
		var id, readyAt, lease, attempts, createdAt int64
		var payload string
		if err := rows.Scan(&id, &readyAt, &lease, &attempts, &createdAt, &payload); err != nil {
			return err
		}
		events = append(events, []any{id, readyAt, lease, attempts, createdAt, payload})
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	if rand.IntN(20) == 0 {
		die()
	}
	for _, e := range events {
		if _, err := m.db.ExecContext(ctx, `
INSERT INTO delivery_outbox (id, ready_at, lease, attempts, created_at, payload) VALUES (?, ?, ?, ?, ?, ?)`, e...); err != nil {
			return err
		}
	}
	return nil
}

// isDeadlock reports whether an error is MariaDB's for a deadlock.
func isDeadlock(err error) bool {
	var e *mysql.MySQLError
	return errors.As(err, &e) && e.Number == 1213
}

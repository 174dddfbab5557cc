package sqlstore

import (
	"context"
	"errors"

	"github.com/msgdelivery/delivery"
)

// Fail keeps a failure, as [delivery.FailureStore] says. It cannot run in a caller's transaction.
func (s *Store) Fail(ctx context.Context, f delivery.NewFailure, lease delivery.Lease) (delivery.Failed, []delivery.Claimed, error) {
	if s.session.tx != nil {
		return delivery.Failed{}, nil, errors.ErrUnsupported
	}
	failed, err := awaitWrite(ctx, s.session, "keeping a failure", func() (failed told[delivery.Failed], err error) {
		err = s.session.write(ctx, func(q delivery.DBTX) error {
			failed.result, failed.claimed, err = s.session.fail(ctx, q, f, lease)
			return err
		})
		return failed, err
	})
	return failed.result, failed.claimed, err
}

// failure is one that others see as long as the receipt is at Sent.
type failure struct {
	code    string
	version int64 // that it took; 0 if others have not seen it
}

func (f *failure) columns() []any { return []any{orZero[string]{&f.code}, orZero[int64]{&f.version}} }

// shownBy returns the receipt as others see it.
func (f failure) shownBy(r delivery.Receipt) delivery.Receipt {
	if f.version > 0 && r.Status == delivery.Sent {
		r.Failure, r.Version = f.code, f.version
	}
	return r
}

// failing is how things stand with a recipient whom a message did not reach.
type failing struct {
	standing
	number int64 // of the recipient
	reach  places
	known  bool    // there is a failure
	before failure // that one
}

// fail keeps a failure under the lock of the conversation, which all who advance receipts take.
func (s *session) fail(ctx context.Context, q delivery.DBTX, f delivery.NewFailure, lease delivery.Lease) (result delivery.Failed, claimed []delivery.Claimed, err error) {
	conversations, err := query(ctx, q, scanInt, s.say("SELECT conv FROM delivery_messages WHERE id = ?"), f.Message)
	if err != nil || len(conversations) == 0 {
		return result, nil, err
	}
	free, err := query(ctx, q, scanInt, s.say("SELECT conv FROM delivery_conversations WHERE conv = ?"+s.ifFree), conversations[0])
	if err != nil || len(free) == 0 {
		return delivery.Failed{Blocked: true}, nil, err
	}
	b, err := s.failing(ctx, q, conversations[0], f.Message, f.Recipient)
	if err != nil || b == nil {
		return result, nil, err
	}
	result.Header = b.header
	if b.header.Open || !b.receipt.Status.Valid() {
		return result, nil, nil
	}
	was := b.before.shownBy(b.receipt)
	result.Receipt = was
	result.Changed = result.Receipt.Fail(f.Code, b.cap)
	kept := failure{code: f.Code}
	if result.Changed {
		kept.version = b.version + 1
	} else if kept.code == b.before.code {
		return result, nil, nil
	}
	err = s.putFailure(ctx, q, b, kept)
	switch {
	case mysqlLocked(err): // and nothing is written
		return delivery.Failed{Blocked: true}, nil, nil
	case err != nil || !result.Changed:
		return result, nil, err
	}
	last := b.tally.Version
	result.Receipt.Version, b.tally.Version = kept.version, kept.version
	b.tally.Count(b.header, was, result.Receipt)
	// There are two indexes with the conversation, and the row is to be found by either.
	const text = "UPDATE delivery_states SET version = ?, failed = ? WHERE conv = ? AND seq = ? AND version = ?"
	if err := s.exec(ctx, q, text, b.tally.Version, b.tally.Failed, b.key, b.header.Seq, last); err != nil {
		return result, nil, err
	}
	update, receipt := updateOf(b.header, b.tally), result.Receipt
	update.Receipt = &receipt
	event := delivery.Event{
		Kind: delivery.StatusChanged, Conversation: b.header.Conversation,
		From: update.Version, To: update.Version, Updates: []delivery.Update{update},
	}
	event.AddTrace(f.Trace)
	claimed, err = s.writes.announce(ctx, q, []delivery.Event{event}, lease)
	return result, claimed, err
}

// failing returns how things stand with a user and a message, nil if there is no such message in
// the conversation.
func (s *session) failing(ctx context.Context, q delivery.DBTX, conversation int64, message, user string) (*failing, error) {
	columns := func(b *failing) []any {
		columns := append([]any{&b.key, &b.version, orZero[int64]{&b.roster}}, headerColumns(&b.header)...)
		columns = append(append(columns, tallyColumns(&b.tally)...), orZero[int64]{&b.number},
			orZero[int64]{&b.reach[delivery.Delivered]}, orZero[int64]{&b.reach[delivery.Read]}, status{&b.cap})
		columns = append(append(columns, progressColumns(&b.receipt)...), &b.known)
		return append(columns, b.before.columns()...)
	}
	all, err := queryInto(ctx, q, 1, columns, s.say(s.failingText()), user, message)
	if err != nil || len(all) == 0 || all[0].key != conversation {
		return nil, err
	}
	b := &all[0]
	b.user = user
	b.relate(relation{reader: b.number != 0, reach: b.reach, cap: b.cap, receipt: b.receipt})
	return b, nil
}

// failingText returns the text that finds a message with what others may know of a user: name,
// message → key, conversation's version, roster, header…, tally…, number, delivered place, read
// place, cap, receipt without its ids, whether there is a failure, failure….
func (d *dialect) failingText() string {
	return `
SELECT /*! STRAIGHT_JOIN */ c.conv, c.version, m.roster, ` + headerCols + `, ` + tallyCols + `, p.reader, p.delivered_seq, p.read_seq, b.cap, ` + progressCols + `,
	f.reader IS NOT NULL, f.code, f.version
FROM delivery_messages m /*! FORCE INDEX (delivery_messages_id) */` +
		d.one("delivery_conversations c", "PRIMARY", "c.conv = m.conv") +
		d.one("delivery_states t", "PRIMARY", "t.conv = m.conv AND t.seq = m.seq") +
		d.orNone("delivery_readers s", "delivery_readers_reader", "s.reader = m.sender") +
		d.orNone("delivery_readers p", "PRIMARY", "p.conv = m.conv AND p.name = ?") +
		d.orNone("delivery_members b", "PRIMARY", "b.roster = m.roster AND b.reader = p.reader") +
		d.orNone("delivery_receipts r", "PRIMARY", "r.conv = m.conv AND r.seq = m.seq AND r.reader = p.reader AND r.version > 0") +
		d.orNone("delivery_failures f", "PRIMARY", "f.conv = m.conv AND f.seq = m.seq AND f.reader = p.reader") + `
WHERE m.id = ? AND m.sender IS NOT NULL`
}

// addFailure keeps the first failure of a receipt: code, version, key, seq, name's number. It does
// not wait for transactions at REPEATABLE READ that have locked the gap in its place: see
// [mysqlNoWait].
const addFailure = mysqlNoWait + `
INSERT /*+ SET_VAR(innodb_lock_wait_timeout = 1) */ INTO delivery_failures (code, version, conv, seq, reader) VALUES (?, ?, ?, ?, ?)`

// putFailure writes a failure in the place of the one before, and says so to whoever has looked at
// the conversation: by the version that it took, or else by the drops.
func (s *session) putFailure(ctx context.Context, q delivery.DBTX, b *failing, f failure) error {
	text, set := addFailure, "drops = drops + 1"
	if b.known {
		text = "UPDATE delivery_failures SET code = ?, version = ? WHERE conv = ? AND seq = ? AND reader = ?"
	}
	if f.version > 0 {
		set = "version = version + 1"
	}
	if err := s.exec(ctx, q, text, f.code, f.version, b.key, b.header.Seq, b.number); err != nil {
		return err
	}
	return s.exec(ctx, q, "UPDATE delivery_conversations SET "+set+" WHERE conv = ?", b.key)
}

// findFailures fills in the failures that others see, of receipts that are locked: an advance takes
// them away. It looks where the messages count some.
func (l *locked) findFailures(ctx context.Context, q delivery.DBTX, s *session, receipts []*standing) error {
	var some []*standing
	var rows []row
	for _, r := range receipts {
		r.receipt.Failure = "" // as of a try before
		if r.tally.Failed > 0 && r.receipt.Status == delivery.Sent {
			rows = append(rows, row{len(some), r.key, r.header.Seq, r.user})
			some = append(some, r)
		}
	}
	if len(some) == 0 {
		return nil
	}
	text := l.failures
	if l.newest.in(s) {
		text += l.wait
	}
	type found struct {
		i    int
		code string
	}
	return each(ctx, q, into(func(f *found) []any { return []any{&f.i, &f.code} }), func(f found) bool {
		some[f.i].receipt.Failure = f.code
		return true
	}, text, toJSON(rows))
}

package sqlstore

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/packet"
)

// locked writes in transactions that lock conversations, read what is there, compute in Go and
// write that back: for databases that cannot do all of it in one statement.
//
// The lock of a conversation is its row. Who changes anything in it holds that row until the
// commit, so under the lock nothing that was read is overtaken. Rows are locked in order of their
// keys.
//
// Its fields are texts. Batches travel as one argument, a JSON array of rows; [a, b] says that such
// an array is wanted, and what stands in a row. If a text has a part in braces, each value of a row
// is an argument, and the part is repeated for each row. The key of a conversation is its internal
// number.
type locked struct {
	// Sending.
	audiences   string               // [index, conversation, roster's key, sender] → index, key, drops, roster and its sizes, whether the sender is a reader, and the cap
	found       string               // conversation: makes it, or if it exists locks it
	foundFree   string               // the same, but it fails if another transaction has made or locked it
	lock        string               // [key] → key, version, drops; locked
	addReaders  whether              // [key, name]; those that exist stay
	numbers     string               // [index, key, name] → index, number; of readers, as a statement sees them
	addRosters  string               // [key, roster's key, size, tracked, readers]; likewise
	addMembers  string               // [roster, key, name, cap]: of readers
	addNumbered string               // [roster, number, cap]: the same
	addMessages string               // [key, seq, id, sender, body, roster, recipients, total, readers, quorum, sent at]; the sender is a reader
	addStates   string               // [key, seq, version, status]
	duplicate   func(err error) bool // whether addMessages failed because an id is taken

	// Marking. Rows that ask how things stand are [index, key, seq, roster, name], the roster NULL
	// for an open message. A relation is: whether the name is a reader, the flag of its place, its
	// delivered and read place, its cap if it is a member of the roster, and the receipt without
	// its ids.
	headers     string               // [message] → key, roster, number of recipients, header…; tombstones too
	lockFree    string               // the same, of those that nobody else has locked
	standing    string               // [index, key, seq, roster, name] → index, conversation's version, tally…, relation…
	wait        string               // makes standing lock all it reads, and read what was committed last
	noWait      string               // the same, but it fails if anything of that is locked
	isLocked    func(err error) bool // whether it did so
	putReceipts string               // [key, seq, name, status, version, delivered at, read at]; the name is a reader
	putStates   string               // [key, seq, version, status, delivered, read, delivered at, read at, failed]
	putVersions string               // [key, version]
	failures    string               // [index, key, seq, name] → index, code; of the failures that others see as long as the receipt is at Sent

	// Marking up to a message.
	readers    string  // [index, key, seq, roster, name] → index, conversation's version and drops, relation…
	receipts   string  // [index, key, seq, roster, name] → index, relation…; of members, and of those who have a receipt
	putReaders whether // [key, name, delivered place, read place]: moved forward to these

	newest newest

	// Deleting.
	tallies       string // [index, key, seq] → index, conversation's version, tally…; at no status if the message is deleted
	rows          string // [index, key, seq] → index; of messages that nobody else has locked; locked; "" if nobody can have
	dropReceipts  string // [index, key, seq]: all of the messages
	dropFailures  string // [index, key, seq]: all of the messages
	putTombstones string // [key, seq, id]: what is left of messages

	// The outbox.
	addEvents string  // microseconds, token, attempts, [payload, id of the message whose body it has]
	latest    string  // token, limit → id; the last ones first
	anyDue    string  // → whether some event is due
	due       string  // limit → id, attempts, payload, body: those due longest that nobody else is claiming; locked
	hold      string  // [id], token, microseconds
	unlocked  string  // [id] → id; of the events that nobody else has locked; locked; "" if nobody can have
	done      whether // [id, token]
	again     whether // [id, token, microseconds, attempts to forget]
	bury      whether // [id, token, reason]: copies to the dead letters
	dead      string  // [id] → id; of the dead letters that are there; locked; "" if requeue needs no lock before
	requeue   string  // [id, id of the message whose body it has, payload]: copies from the dead letters
	discard   string  // [id]
}

// row is a row of a batch.
type row []any

// spot is a message's place among all conversations.
type spot struct{ key, seq int64 }

func (p spot) compare(q spot) int {
	return cmp.Or(cmp.Compare(p.key, q.key), cmp.Compare(p.seq, q.seq))
}

// name is a user's or a roster's in a conversation.
type name struct {
	key int64
	of  string
}

func (n name) compare(m name) int { return cmp.Or(cmp.Compare(n.key, m.key), cmp.Compare(n.of, m.of)) }

// standing is how things stand with a user's receipt of a message, which may not exist yet.
type standing struct {
	mark    int // index of the mark that asks
	user    string
	key     int64
	roster  int64           // 0 if the message is open
	header  delivery.Header // stripped, if the message is deleted
	all     int             // recipients, tracked or not
	hidden  bool            // whether it is, from the transaction's snapshot
	version int64           // of the conversation
	tally   delivery.Tally
	reader  bool             // whether the user is one
	cap     delivery.Status  // of the user; 0 if that is no member
	flag    int64            // of the user's place
	receipt delivery.Receipt // zero if there is none
}

func (s *standing) spot() spot { return spot{s.key, s.header.Seq} }

// gone reports whether the message is deleted, or none was found.
func (s *standing) gone() bool { return s.header.Quorum == 0 }

// relation is what connects a user with a message.
type relation struct {
	reader  bool            // whether the user is one
	flag    int64           // of the user's place
	reach   places          // of the user
	cap     delivery.Status // of the user in the message's roster; 0 if it is no member
	receipt delivery.Receipt
}

func (r *relation) columns() []any {
	return append([]any{&r.reader, orZero[int64]{&r.flag}, orZero[int64]{&r.reach[delivery.Delivered]}, orZero[int64]{&r.reach[delivery.Read]}, status{&r.cap}}, progressColumns(&r.receipt)...)
}

// stand fills in how the message stands, in a conversation at that version.
func (s *standing) stand(version int64, tally delivery.Tally) {
	s.version, s.tally = version, tally
	if !tally.Status.Valid() {
		s.header = tombstone(s.header)
	}
}

// tombstone is what is left of a header after the message's deletion.
func tombstone(h delivery.Header) delivery.Header {
	h.Quorum = 0
	return stripped(h)
}

// relate fills in the user's receipt. Members have one without a row of it.
func (s *standing) relate(r relation) {
	s.reader, s.flag, s.cap, s.receipt = r.reader, r.flag, r.cap, r.receipt
	if s.receipt.Version == 0 { // there is no row, or one that was reserved
		s.receipt = delivery.Receipt{}
		if s.cap != 0 && !s.gone() && s.user != s.header.Sender {
			s.receipt = delivery.Receipt{Status: r.reach.absent(s.header.Seq, s.cap), Version: s.header.Seq}
		}
	}
	if s.receipt.Version != 0 {
		s.receipt.Message, s.receipt.Recipient = s.header.ID, s.user
	}
}

// shown returns what others see of a mark of the user's.
func (s *standing) shown(mark delivery.Status) delivery.Status {
	if s.header.Open {
		return mark
	}
	return delivery.Shown(mark, s.cap)
}

// markable reports whether the user, who is not the sender, may mark the message.
func (s *standing) markable(admitted bool) bool {
	if s.header.Open {
		return admitted
	}
	return s.receipt.Status.Valid()
}

// batch is a statement and the rows that it writes.
type batch struct {
	text string
	rows []row
}

// execAll executes batches in order. One whose text could be too large for the database is divided.
func execAll(ctx context.Context, q delivery.DBTX, batches ...batch) error {
	for _, b := range batches {
		if len(b.rows) == 0 {
			continue
		}
		text, args, large := b.statement()
		if half := len(b.rows) / 2; half > 0 && large {
			if err := execAll(ctx, q, batch{b.text, b.rows[:half]}, batch{b.text, b.rows[half:]}); err != nil {
				return err
			}
			continue
		}
		if _, err := q.ExecContext(ctx, text, args...); err != nil {
			return err
		}
	}
	return nil
}

// statement returns what to execute, and whether it could be too large for the database.
func (b batch) statement() (text string, args []any, large bool) {
	before, rest, spread := strings.Cut(b.text, "{")
	if !spread {
		rows := toJSON(b.rows)
		return b.text, []any{rows}, 2*len(rows) > packet.Size // a quoted string is up to twice as long
	}
	one, after, _ := strings.Cut(rest, "}")
	for _, r := range b.rows {
		args = append(args, r...)
	}
	return before + one + strings.Repeat(", "+one, len(b.rows)-1) + after, args, len(b.rows) > delivery.MaxBatch
}

func updateOf(h delivery.Header, t delivery.Tally) delivery.Update {
	return delivery.Update{
		Message: h.ID, Sender: h.Sender, Version: t.Version, Status: t.Status,
		Delivered: t.Delivered, Read: t.Read, Failed: t.Failed, Total: h.Total, Readers: h.Readers,
	}
}

func sortedKeys[K comparable, V any](m map[K]V, compare func(a, b K) int) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, compare)
	return keys
}

// precise is a time as the store keeps it.
func precise(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

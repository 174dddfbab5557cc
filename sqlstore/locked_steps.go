package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"github.com/msgdelivery/delivery"
)

// How much of the histories one call looks at.
const (
	lookLength  = 5_000  // messages, for one mark
	looksLength = 20_000 // messages, and receipts, for all marks together
	leastLength = 100    // messages, for one mark, however many marks there are
)

// lengthOfLooks returns how many messages each of so many marks may look at.
func lengthOfLooks(marks int) int { return max(leastLength, min(lookLength, looksLength/marks)) }

// stretch is a part of a conversation that marks look at.
type stretch struct {
	key         int64
	begin, till int64 // seqs: the messages are after begin and at or before till
	looks       []*look
}

// findSteps finds the steps of the marks, at most limit in all: it reads the messages, each once
// for the marks that look at the same, and then the users' receipts of them.
func (l *locked) findSteps(ctx context.Context, q delivery.DBTX, upTo []delivery.UpTo, looks []*look, limit int) error {
	messages, err := l.findMessages(ctx, q, looks)
	if err != nil {
		return err
	}
	var receipts []*standing
	for i, k := range looks {
		for _, m := range messages[i] {
			switch {
			case m.header.Seq > k.till || m.header.Sender == k.named.user:
				continue
			case len(receipts) == looksLength:
				k.till = m.header.Seq - 1
				continue
			}
			m.mark, m.user, m.version, m.reader = i, k.named.user, k.version, k.named.reader
			m.header.Conversation = k.named.header.Conversation
			receipts = append(receipts, &m)
		}
	}
	if !slices.ContainsFunc(looks, (*look).looks) {
		return nil
	}
	if err := l.findReceipts(ctx, q, receipts); err != nil {
		return err
	}
	take(upTo, looks, receipts, limit)
	return nil
}

// take makes steps of the receipts that the marks advance, which stand in the order of the marks
// and of seq, and counts what is left out. Beyond the limit, if it is exceeded, nothing was looked
// at.
func take(upTo []delivery.UpTo, looks []*look, receipts []*standing, limit int) (exceeded bool) {
	for _, r := range receipts {
		k, u := looks[r.mark], upTo[r.mark]
		if r.header.Seq == k.named.header.Seq {
			k.named.receipt = r.receipt // which may be newer
		}
		shown := r.shown(u.Status)
		inside := r.header.Seq > k.begin && r.header.Seq <= k.till
		switch {
		case !inside || r.receipt.Status.Reaches(shown):
		case r.header.Open && !u.Admitted:
			k.leftOut++
		case !r.markable(u.Admitted):
		case limit == 0:
			k.till = r.header.Seq - 1
			for _, later := range looks[r.mark+1:] {
				later.till = later.begin
			}
			exceeded = true
		default:
			limit--
			k.steps = append(k.steps, r)
		}
		k.capped = k.capped || inside && r.header.Seq <= k.till && r.receipt.Status.Valid() && shown < u.Status
	}
	return exceeded
}

// findMessages returns the messages that each mark looks at.
func (l *locked) findMessages(ctx context.Context, q delivery.DBTX, looks []*look) ([][]standing, error) {
	const perStatement = 50
	length := lengthOfLooks(len(looks))
	stretches := stretchesOf(looks, int64(length))
	messages := make([][]standing, len(looks))
	for some := range slices.Chunk(stretches, perStatement) {
		texts := make([]string, len(some))
		var args []any
		for i, s := range some {
			texts[i] = fmt.Sprintf(lockedStretch, i)
			args = append(args, s.key, s.begin, s.till, length)
		}
		found := make([][]standing, len(some))
		err := each(ctx, q, scanInStretch, func(m standing) bool {
			found[m.mark] = append(found[m.mark], m)
			return true
		}, strings.Join(texts, "\nUNION ALL"), args...)
		if err != nil {
			return nil, err
		}
		for i, s := range some {
			for _, k := range s.looks {
				messages[k.mark] = between(found[i], k.begin, k.till)
				if n := len(found[i]); n == length {
					k.till = max(k.begin, min(k.till, found[i][n-1].header.Seq))
				}
			}
		}
	}
	return messages, nil
}

// looks reports whether there are messages to look at. For a message that does not exist it looks
// at none by the same statements, so that these don't tell a stranger whether a message exists.
func (k *look) looks() bool { return k.begin < k.till || k.named.header.ID == "" }

// stretchesOf returns the stretches that the looks are about. Looks share one if that is short
// enough to be read as a whole, or if they are about the same.
func stretchesOf(looks []*look, length int64) (stretches []stretch) {
	looks = slices.SortedFunc(slices.Values(looks), func(a, b *look) int {
		return cmp.Or(cmp.Compare(a.named.key, b.named.key), cmp.Compare(a.begin, b.begin), cmp.Compare(a.till, b.till))
	})
	for i, k := range looks {
		if !k.looks() {
			continue
		}
		if n := len(stretches); n > 0 && i > 0 && stretches[n-1].key == k.named.key {
			s := &stretches[n-1]
			same := s.begin == k.begin && s.till == k.till
			if till := max(s.till, k.till); same || k.begin <= s.till && till-s.begin <= length {
				s.till, s.looks = till, append(s.looks, k)
				continue
			}
		}
		stretches = append(stretches, stretch{k.named.key, k.begin, k.till, []*look{k}})
	}
	return stretches
}

// between returns the messages with a seq after one and up to another.
func between(messages []standing, after, upTo int64) []standing {
	search := func(seq int64) int {
		at, _ := slices.BinarySearchFunc(messages, seq, func(m standing, seq int64) int { return cmp.Compare(m.header.Seq, seq) })
		return at
	}
	end := search(upTo + 1)
	return messages[min(search(after+1), end):end]
}

// scanInStretch scans a message with its tally. The mark is the number of the stretch.
func scanInStretch(rows *sql.Rows) (m standing, err error) {
	h := &m.header
	err = rows.Scan(append([]any{
		&m.mark, &m.key, orZero[int64]{&m.roster}, &h.ID, shown{&h.Sender}, &h.Seq, &h.Total, &h.Readers, &h.Quorum, timestamp{&h.SentAt},
	}, tallyColumns(&m.tally)...)...)
	h.Open = m.roster == 0
	return m, err
}

// findReceipts fills in the receipts that exist.
func (l *locked) findReceipts(ctx context.Context, q delivery.DBTX, receipts []*standing) error {
	receipts = slices.Clone(receipts)
	type found struct {
		i        int
		relation relation
	}
	columns := func(f *found) []any { return append([]any{&f.i}, f.relation.columns()...) }
	return each(ctx, q, into(columns), func(f found) bool {
		receipts[f.i].relate(f.relation)
		return true
	}, l.receipts, wanted(receipts))
}

package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"slices"

	"github.com/msgdelivery/delivery"
)

func (l *locked) advance(ctx context.Context, s *session, marks []delivery.Mark, lease delivery.Lease) (marked []delivery.Marked, claimed []delivery.Claimed, err error) {
	err = l.write(ctx, s, func(q delivery.DBTX, b *busy) error {
		marked, claimed, err = l.advanceIn(ctx, q, s, b, marks, lease)
		return err
	})
	return marked, claimed, err
}

func (l *locked) advanceIn(ctx context.Context, q delivery.DBTX, s *session, b *busy, marks []delivery.Mark, lease delivery.Lease) ([]delivery.Marked, []delivery.Claimed, error) {
	ids := make([]string, len(marks))
	for i, m := range marks {
		ids[i] = m.Message
	}
	found, err := l.find(ctx, q, s, ids)
	if err != nil {
		return nil, nil, err
	}
	marked := make([]delivery.Marked, len(marks))
	var receipts []*standing
	for i, m := range marks {
		f := found[m.Message]
		if f == nil || f.gone() {
			continue
		}
		marked[i].Header = f.header
		if m.User != f.header.Sender {
			receipts = append(receipts, &standing{mark: i, user: m.User, key: f.key, roster: f.roster, header: f.header, all: f.all})
		}
	}
	if s.tx != nil || s.serial {
		err = l.read(ctx, q, s, receipts, marks)
	} else {
		receipts, err = l.readFree(ctx, q, b, receipts, marks, marked)
	}
	if err == nil {
		err = l.findFailures(ctx, q, s, receipts)
	}
	if err != nil {
		return nil, nil, err
	}
	// Marks that share an event go together, and in their order.
	slices.SortFunc(receipts, func(a, b *standing) int {
		return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(marks[a.mark].Socket, marks[b.mark].Socket), cmp.Compare(a.mark, b.mark))
	})
	var c changes
	for _, r := range receipts {
		m := marks[r.mark]
		if r.gone() { // since it was found
			marked[r.mark] = delivery.Marked{}
			continue
		}
		changed := r.markable(m.AdmittedTo(r.header.Conversation)) && c.advance(r, m.Socket, m.Trace, m.Status, m.At)
		marked[r.mark].Receipt, marked[r.mark].Changed, marked[r.mark].Flag = r.receipt, changed, r.flag
	}
	claimed, err := l.put(ctx, q, b, &c, lease)
	return marked, claimed, err
}

// spare answers the marks of untracked users, who change nothing that others see, and returns the
// other receipts: a lock would reveal the mark.
func (l *locked) spare(ctx context.Context, q delivery.DBTX, receipts []*standing, marked []delivery.Marked) ([]*standing, error) {
	some := slices.DeleteFunc(slices.Clone(receipts), func(r *standing) bool { return r.all == r.header.Total })
	if len(some) == 0 {
		return receipts, nil
	}
	err := l.findReceipts(ctx, q, some)
	return slices.DeleteFunc(receipts, func(r *standing) bool {
		untracked := r.cap == delivery.Sent
		if untracked {
			marked[r.mark].Receipt, marked[r.mark].Flag = r.receipt, r.flag
		}
		return untracked
	}), err
}

// refuseBlocked answers blocked marks that could change nothing, as of somebody who may not mark
// the message. If they waited for the conversation, a stranger would learn that it is there, and
// busy.
func (l *locked) refuseBlocked(ctx context.Context, q delivery.DBTX, receipts []*standing, marks []delivery.Mark, marked []delivery.Marked) error {
	blocked := slices.DeleteFunc(receipts, func(r *standing) bool { return !marked[r.mark].Blocked })
	if len(blocked) == 0 {
		return nil
	}
	if err := l.readFrom(ctx, q, l.standing, blocked); err != nil {
		return err
	}
	for _, r := range blocked {
		switch {
		case r.gone(): // since it was found
			marked[r.mark] = delivery.Marked{}
		case !r.markable(marks[r.mark].AdmittedTo(r.header.Conversation)):
			marked[r.mark].Blocked, marked[r.mark].Receipt = false, r.receipt
		}
	}
	return nil
}

// find returns where the messages with these ids stand, as far as they exist.
func (l *locked) find(ctx context.Context, q delivery.DBTX, s *session, ids []string) (map[string]*standing, error) {
	found := make(map[string]*standing, len(ids))
	add := func(text string, hidden bool) error {
		rows, err := query(ctx, q, scanHeader, text, idList(ids))
		for _, r := range rows {
			r.hidden = hidden
			found[r.header.ID] = r
		}
		return err
	}
	if err := add(l.headers, false); err != nil || !l.newest.in(s) {
		return found, err
	}
	ids = slices.DeleteFunc(ids, func(id string) bool { return found[id] != nil })
	if len(ids) == 0 {
		return found, nil
	}
	return found, add(l.headers+l.newest.lock, true)
}

// readFree does what read does for the conversations that nobody else has locked, and returns the
// receipts in these. The marks of the others it answers.
//
// If there is one conversation, the statement that reads locks it. It also locks the rows of the
// users, which private marks of theirs may have locked. If it fails for that reason, another try
// first locks the conversation alone. Under that lock nobody changes what is read here.
func (l *locked) readFree(ctx context.Context, q delivery.DBTX, b *busy, receipts []*standing, marks []delivery.Mark, marked []delivery.Marked) ([]*standing, error) {
	receipts, err := l.spare(ctx, q, receipts, marked)
	if err != nil {
		return nil, err
	}
	all := slices.Clone(receipts)
	block := func(free func(*standing) bool) {
		receipts = slices.DeleteFunc(receipts, func(r *standing) bool {
			marked[r.mark].Blocked = !free(r)
			return marked[r.mark].Blocked
		})
	}
	block(func(r *standing) bool { return !b.has(r.mark) })
	keys := keysOf(receipts)
	several := len(keys) > 1 || b.first
	if !several {
		err = l.readFrom(ctx, q, l.standing+l.noWait, receipts)
	}
	if met := err != nil && l.isLocked(err); several || met {
		var there map[int64]conversation
		if there, err = l.lockRows(ctx, q, l.lockFree, keys); err != nil {
			return nil, err
		}
		if met && len(there) > 0 {
			return nil, &foundBusy{func(b *busy) { b.first = true }}
		}
		block(func(r *standing) bool { _, free := there[r.key]; return free })
		if several {
			err = l.readFrom(ctx, q, l.standing, receipts)
		}
	}
	if err != nil {
		return nil, err
	}
	return receipts, l.refuseBlocked(ctx, q, all, marks, marked)
}

// read fills in how things stand with the receipts of the marks now, and locks them. It asks for
// none too: a mark of what does not exist takes as long as one of what is not the user's.
func (l *locked) read(ctx context.Context, q delivery.DBTX, s *session, receipts []*standing, marks []delivery.Mark) error {
	if !l.newest.in(s) {
		return l.readFrom(ctx, q, l.standing+l.wait, receipts)
	}
	if err := l.lockTallies(ctx, q, receipts); err != nil {
		return err
	}
	return l.readNewest(ctx, q, receipts, func(r *standing) bool { return marks[r.mark].AdmittedTo(r.header.Conversation) })
}

// lockRows locks conversations by one of the texts for that, and returns them.
func (l *locked) lockRows(ctx context.Context, q delivery.DBTX, text string, keys []int64) (map[int64]conversation, error) {
	rows, err := query(ctx, q, scanConversation, text, toJSON(keys))
	there := make(map[int64]conversation, len(rows))
	for _, c := range rows {
		there[c.key] = c
	}
	return there, err
}

func scanConversation(rows *sql.Rows) (c conversation, err error) {
	err = rows.Scan(&c.key, &c.version, &c.drops)
	return c, err
}

// lockTallies fills in how the messages stand, as far as they were found, and locks them and their
// conversations.
func (l *locked) lockTallies(ctx context.Context, q delivery.DBTX, found []*standing) error {
	found = slices.SortedFunc(slices.Values(found), func(a, b *standing) int { return a.spot().compare(b.spot()) })
	rows := make([]row, len(found))
	for i, s := range found {
		rows[i] = row{i, s.key, s.header.Seq}
	}
	type stands struct {
		i, version int64
		tally      delivery.Tally
	}
	columns := func(s *stands) []any { return append([]any{&s.i, &s.version}, tallyColumns(&s.tally)...) }
	there := make([]bool, len(found))
	err := each(ctx, q, into(columns), func(s stands) bool {
		found[s.i].stand(s.version, s.tally)
		there[s.i] = true
		return true
	}, l.tallies+l.wait, toJSON(rows))
	lose(found, there)
	return err
}

// lose makes of messages that were pruned since they were found what none is.
func lose(found []*standing, there []bool) {
	for i, s := range found {
		if !there[i] {
			s.header = delivery.Header{}
		}
	}
}

// keysOf returns the conversations of the receipts, in order.
func keysOf(receipts []*standing) []int64 {
	keys := make([]int64, len(receipts))
	for i, r := range receipts {
		keys[i] = r.key
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// readFrom fills in how things stand with the receipts as a statement sees it.
func (l *locked) readFrom(ctx context.Context, q delivery.DBTX, text string, receipts []*standing) error {
	rows, err := q.QueryContext(ctx, text, wanted(receipts))
	if err != nil {
		return err
	}
	defer rows.Close()
	there := make([]bool, len(receipts))
	for rows.Next() {
		var i int
		var version int64
		var tally delivery.Tally
		var relation relation
		columns := append([]any{&i, &version}, tallyColumns(&tally)...)
		if err := rows.Scan(append(columns, relation.columns()...)...); err != nil {
			return err
		}
		r := receipts[i]
		there[i] = true
		r.stand(version, tally)
		r.relate(relation)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	lose(receipts, there)
	return nil
}

// wanted sorts the receipts, and returns the rows that ask for them by their indexes.
func wanted(receipts []*standing) string {
	slices.SortFunc(receipts, func(a, b *standing) int {
		return cmp.Or(a.spot().compare(b.spot()), cmp.Compare(a.user, b.user))
	})
	rows := make([]row, len(receipts))
	for i, r := range receipts {
		rows[i] = r.wanted(i)
	}
	return toJSON(rows)
}

// wanted is the row that asks how things stand.
func (s *standing) wanted(index int) row {
	var roster any
	if s.roster != 0 {
		roster = s.roster
	}
	return row{index, s.key, s.header.Seq, roster, s.user}
}

func scanHeader(rows *sql.Rows) (*standing, error) {
	var s standing
	err := rows.Scan(append([]any{&s.key, orZero[int64]{&s.roster}, &s.all}, headerColumns(&s.header)...)...)
	s.header = stripped(s.header)
	return &s, err
}

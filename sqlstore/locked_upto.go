package sqlstore

import (
	"cmp"
	"context"
	"slices"

	"github.com/msgdelivery/delivery"
)

// Up-to marks first look for what there is to do, without a lock, so that whoever has nothing to
// advance, or reads a long history for the first time, keeps nobody waiting. Then they lock the
// conversations in which something is to be written. The result of a look still holds if the
// conversation's version is the one from before the look. Otherwise how things stand is read again,
// under the lock. That suffices: a look has seen every message up to the named one, since versions
// become visible in order, and a message that the user need not advance stays one. If the drops are
// others, the user may have been erased, and the whole look is repeated under the lock.
//
// In a caller's transaction the lock comes first.

// look is what an up-to mark finds.
type look struct {
	mark        int      // index
	named       standing // of the named message; zero if that is not in the conversation
	version     int64    // of the conversation, before
	drops       int64    // likewise
	places      places
	begin, till int64       // seqs: the messages looked at are after begin and at or before till
	leftOut     int         // messages that lack admission
	capped      bool        // the user's cap for one is below the mark's status
	steps       []*standing // the receipts to advance, in order of seq
}

// places holds, for each status, the seq up to which a reader has nothing left to advance to it.
type places [delivery.Read + 1]int64

// moved returns the places with those of a status, and of the statuses it implies, moved forward.
func (p places) moved(status delivery.Status, seq int64) places {
	for s := delivery.Delivered; s <= status; s++ {
		p[s] = max(p[s], seq)
	}
	return p
}

func (l *locked) advanceUpTo(ctx context.Context, s *session, upTo []delivery.UpTo, limit int, lease delivery.Lease) (marked []delivery.MarkedUpTo, claimed []delivery.Claimed, err error) {
	var looks []*look
	find := func(q delivery.DBTX) (err error) {
		looks, err = l.look(ctx, q, s, upTo, limit)
		return err
	}
	write := func(q delivery.DBTX, b *busy) error {
		marked, claimed, err = l.advanceLooks(ctx, q, s, b, upTo, looks, limit, lease)
		return err
	}
	if s.tx != nil {
		err := l.write(ctx, s, func(q delivery.DBTX, b *busy) error {
			if err := find(q); err != nil {
				return err
			}
			return write(q, b)
		})
		return marked, claimed, err
	}
	if err := s.read(ctx, find); err != nil {
		return nil, nil, err
	}
	if !slices.ContainsFunc(looks, func(k *look) bool { return k.writes(upTo[k.mark]) }) {
		marked = make([]delivery.MarkedUpTo, len(upTo))
		for _, k := range looks {
			marked[k.mark] = k.result()
		}
		return marked, nil, nil
	}
	err = l.write(ctx, s, write)
	return marked, claimed, err
}

// writes reports whether the mark has something to write: steps, or a place that moves.
func (k *look) writes(u delivery.UpTo) bool { return len(k.steps) > 0 || k.place(u) != k.places }

// place returns the places after the mark. They never move past a message that was left out, now or
// before, nor past one that shows less than the mark. Strangers leave none behind.
func (k *look) place(u delivery.UpTo) places {
	belongs := len(k.steps) > 0 || k.named.receipt.Status.Valid() || k.named.header.ID != "" && k.named.header.Sender == u.User
	whole := k.leftOut == 0 && !k.capped && (u.Covered || k.begin <= k.places[u.Status])
	if !belongs || !whole {
		return k.places
	}
	return k.places.moved(u.Status, k.till)
}

// result is what became of the mark, but for the versions it takes.
func (k *look) result() delivery.MarkedUpTo {
	return delivery.MarkedUpTo{
		Header: k.named.header, Receipt: k.named.receipt, Flag: k.named.flag,
		LeftOut: k.leftOut, Capped: k.capped, Reached: k.till, More: k.till < k.named.header.Seq,
	}
}

// look finds what there is to do for the marks, at most limit steps in all.
func (l *locked) look(ctx context.Context, q delivery.DBTX, s *session, upTo []delivery.UpTo, limit int) ([]*look, error) {
	ids := make([]string, len(upTo))
	for i, u := range upTo {
		ids[i] = u.Message
	}
	found, err := l.find(ctx, q, s, ids)
	if err != nil {
		return nil, err
	}
	looks := make([]*look, len(upTo))
	named := make([]*standing, len(upTo))
	for i, u := range upTo {
		looks[i] = &look{mark: i}
		named[i] = &looks[i].named
		if f := found[u.Message]; f != nil && f.header.Conversation == u.Conversation {
			*named[i] = *f
		} // else it is in no conversation: to find nothing there takes as long as to find nothing for the user
		named[i].user = u.User
	}
	if s.tx != nil {
		if err := l.lockTallies(ctx, q, named); err != nil {
			return nil, err
		}
	}
	if err := l.findPlaces(ctx, q, looks); err != nil {
		return nil, err
	}
	for _, k := range looks {
		u := upTo[k.mark]
		k.till = k.named.header.Seq
		k.begin = min(max(k.places[u.Status], u.After), k.till)
	}
	if l.newest.in(s) {
		return looks, l.findStepsNewest(ctx, q, upTo, looks, limit)
	}
	return looks, l.findSteps(ctx, q, upTo, looks, limit)
}

// findPlaces fills in the conversations' versions, the readers' places and their receipts of the
// named messages.
func (l *locked) findPlaces(ctx context.Context, q delivery.DBTX, looks []*look) error {
	rows := make([]row, len(looks))
	for i, k := range looks {
		rows[i] = k.named.wanted(i)
	}
	type found struct {
		i, version, drops int64
		relation          relation
	}
	all, err := queryInto(ctx, q, len(looks), func(f *found) []any {
		return append([]any{&f.i, &f.version, &f.drops}, f.relation.columns()...)
	}, l.readers, toJSON(rows))
	for _, f := range all {
		k := looks[f.i]
		k.version, k.drops, k.places, k.named.version = f.version, f.drops, f.relation.reach, f.version
		k.named.relate(f.relation)
	}
	return err
}

// advanceLooks makes the steps that looks have found.
func (l *locked) advanceLooks(ctx context.Context, q delivery.DBTX, s *session, b *busy, upTo []delivery.UpTo, looks []*look, limit int, lease delivery.Lease) ([]delivery.MarkedUpTo, []delivery.Claimed, error) {
	var free func(*look) bool
	if s.tx == nil {
		var there map[int64]conversation
		var err error
		if looks, there, err = l.lockLooks(ctx, q, s, upTo, looks, limit); err != nil {
			return nil, nil, err
		}
		free = func(k *look) bool { _, free := there[k.named.key]; return free && !b.has(k.mark) }
	}
	// Steps that share an event go together, and in the order of the marks.
	looks = slices.SortedFunc(slices.Values(looks), func(a, b *look) int {
		return cmp.Or(cmp.Compare(a.named.key, b.named.key), cmp.Compare(upTo[a.mark].Socket, upTo[b.mark].Socket), cmp.Compare(a.mark, b.mark))
	})
	var steps []*standing
	for _, k := range looks {
		steps = append(steps, k.steps...)
	}
	if err := l.findFailures(ctx, q, s, steps); err != nil {
		return nil, nil, err
	}
	marked := make([]delivery.MarkedUpTo, len(upTo))
	var c changes
	var moved []itemRow
	for _, k := range looks {
		u, m := upTo[k.mark], &marked[k.mark]
		*m = k.result()
		if free != nil && !free(k) {
			if len(k.steps) > 0 {
				*m = delivery.MarkedUpTo{Header: k.named.header, Blocked: true}
			}
			continue // a place can move the next time
		}
		for _, r := range k.steps {
			step := *r // which stays as it was found, should the transaction be repeated
			r := &step
			if r.gone() {
				continue
			}
			if c.advance(r, u.Socket, u.Trace, u.Status, u.At) {
				if m.Changed++; m.From == 0 {
					m.From = r.receipt.Version
				}
				m.To = r.receipt.Version
			}
			if r.header.Seq == k.named.header.Seq {
				m.Receipt = r.receipt
			}
		}
		if p := k.place(u); p != k.places {
			moved = append(moved, itemRow{k.mark, row{k.named.key, u.User, p[delivery.Delivered], p[delivery.Read]}})
		}
	}
	claimed, err := l.put(ctx, q, b, &c, lease)
	if err != nil {
		return nil, nil, err
	}
	slices.SortFunc(moved, func(a, b itemRow) int {
		return cmp.Or(cmp.Compare(a.row[0].(int64), b.row[0].(int64)), cmp.Compare(a.row[1].(string), b.row[1].(string)))
	})
	return marked, claimed, l.putFree(ctx, q, b, l.putReaders, moved)
}

// lockLooks locks the conversations in which something is to be written and that nobody has locked,
// and returns them and the looks. Where the version is not the one from before the look, it reads
// again how things stand, and where the drops are not, it looks again.
func (l *locked) lockLooks(ctx context.Context, q delivery.DBTX, s *session, upTo []delivery.UpTo, looks []*look, limit int) ([]*look, map[int64]conversation, error) {
	var named, stale []*standing
	for _, k := range looks {
		if k.writes(upTo[k.mark]) {
			named = append(named, &k.named)
		}
	}
	there, err := l.lockRows(ctx, q, l.lockFree, keysOf(named))
	if err == nil && slices.ContainsFunc(looks, func(k *look) bool { c, free := there[k.named.key]; return free && c.drops != k.drops }) {
		looks, err = l.look(ctx, q, s, upTo, limit)
	}
	if err != nil {
		return nil, nil, err
	}
	for _, k := range looks {
		if c, free := there[k.named.key]; free && c.version != k.version {
			stale = append(stale, k.steps...)
			if !k.named.gone() {
				stale = append(stale, &k.named)
			}
		}
	}
	if len(stale) > 0 {
		err = l.readFrom(ctx, q, l.standing, stale)
	}
	return looks, there, err
}

package sqlstore

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"

	"github.com/msgdelivery/delivery"
)

// Import stores messages of the past, as [delivery.ImportStore] says. It cannot run in a caller's
// transaction. It records imported messages as stored in 1970, so that neither overdue rules nor
// the counts of hours look at them.
func (s *Store) Import(ctx context.Context, messages []delivery.NewImport) ([]delivery.ImportOutcome, error) {
	if s.session.tx != nil {
		return nil, errors.ErrUnsupported
	}
	if len(messages) == 0 {
		return nil, nil
	}
	return awaitWrite(ctx, s.session, "importing", func() (outcomes []delivery.ImportOutcome, err error) {
		// The conversation is made in a transaction of its own: who sends to it at the same time
		// would wait for one that makes it.
		err = s.session.write(ctx, func(q delivery.DBTX) error { return s.session.makeConversation(ctx, q, messages[0].Conversation) })
		if err != nil {
			return nil, err
		}
		err = s.session.write(ctx, func(q delivery.DBTX) error {
			im := importing{session: s.session, ctx: ctx, q: q, readers: map[string]*importReader{}, rosters: map[string]*importRoster{}}
			outcomes, err = im.run(messages)
			return err
		})
		return outcomes, err
	})
}

func (s *session) makeConversation(ctx context.Context, q delivery.DBTX, id string) error {
	there, err := query(ctx, q, scanInt, s.say("SELECT conv FROM delivery_conversations WHERE id = ?"), id)
	if err != nil || len(there) > 0 {
		return err
	}
	return s.exec(ctx, q, "INSERT INTO delivery_conversations (id, version) SELECT ?, 0"+s.keep("id"), id)
}

// importing is an import under way. The lock of the conversation keeps all others from changing
// what it reads, except for places of readers, and for readers that are made: these make it start
// anew.
type importing struct {
	*session
	ctx context.Context
	q   delivery.DBTX

	conv, version, compacted int64
	newest                   int64 // seq of the newest message or tombstone
	sent                     bool  // whether that was sent
	readers                  map[string]*importReader
	rosters                  map[string]*importRoster

	messages, states, receipts, own []row
}

// importReader is a reader, with what the import changes.
type importReader struct {
	number int64
	reach  places
	moved  places // the reach in the end, zero for a status whose reach has not moved
	alone  int    // 1 if the reader alone knows more than others see
}

// importRoster is a roster with the caps of those of its members who matter.
type importRoster struct {
	number int64
	size   sizes
	caps   map[string]delivery.Status
}

func (im *importing) run(messages []delivery.NewImport) ([]delivery.ImportOutcome, error) {
	free, err := im.lock(messages[0].Conversation)
	if err != nil || !free {
		return slices.Repeat([]delivery.ImportOutcome{delivery.ImportBlocked}, len(messages)), err
	}
	var ids []string
	for _, m := range messages {
		ids = append(ids, m.ID)
	}
	there, err := query(im.ctx, im.q, scanExisting, im.reads.load, idList(ids))
	if err != nil {
		return nil, err
	}
	outcomes, taken := make([]delivery.ImportOutcome, len(messages)), map[string]delivery.Created{}
	for _, c := range there {
		taken[c.Message.ID] = c
	}
	var fresh []int
	for i, m := range messages {
		switch c, exists := taken[m.ID]; {
		case c.Gone:
			outcomes[i] = delivery.ImportGone
		case exists && c.Message.Conversation == m.Conversation && (c.Message.Sender == m.Sender || c.Message.Sender == ""):
			outcomes[i] = delivery.ImportKnown
		case exists || im.sent:
			outcomes[i] = delivery.ImportConflict
		default:
			fresh = append(fresh, i)
		}
	}
	fresh, brings, err := im.admit(messages, fresh, outcomes)
	if err != nil || len(fresh) == 0 {
		return outcomes, err
	}
	if err := im.prepare(messages, fresh, brings); err != nil {
		return nil, err
	}
	for _, i := range fresh {
		outcomes[i] = im.add(messages[i])
	}
	return outcomes, im.put()
}

// admit returns those of the messages that nothing keeps from being stored, as far as it is known
// without the members of rosters that are there, and which of them bring the members of the others.
// As in Create, the first message with members makes a roster.
func (im *importing) admit(messages []delivery.NewImport, fresh []int, outcomes []delivery.ImportOutcome) (admitted []int, brings map[string]*delivery.NewMessage, err error) {
	brings = map[string]*delivery.NewMessage{}
	looked := map[string]bool{}
	for _, i := range fresh {
		m := &messages[i]
		if !m.Open && !looked[m.Roster] {
			if err := im.findRoster(m.Roster); err != nil {
				return nil, nil, err
			}
			looked[m.Roster] = true
		}
		if !m.Open && im.rosters[m.Roster] == nil {
			with := cmp.Or(brings[m.Roster], &m.NewMessage)
			isStranger := func(r delivery.ImportReceipt) bool {
				_, member := slices.BinarySearch(with.Members, r.Recipient)
				return !member
			}
			switch {
			case with.Members == nil:
				outcomes[i] = delivery.ImportNoRoster
				continue
			case slices.ContainsFunc(m.Receipts, isStranger):
				outcomes[i] = delivery.ImportStranger
				continue
			}
			brings[m.Roster] = with
		}
		admitted = append(admitted, i)
	}
	return admitted, brings, nil
}

// lock locks the conversation and finds its newest message. It reports false if another transaction
// has it.
func (im *importing) lock(id string) (free bool, err error) {
	found, err := queryInto(im.ctx, im.q, 1, func(c *importing) []any { return []any{&c.conv, &c.version, &c.compacted} },
		im.say("SELECT conv, version, compacted FROM delivery_conversations WHERE id = ?"+im.ifFree), id)
	if err != nil || len(found) == 0 {
		return false, err
	}
	im.conv, im.version, im.compacted = found[0].conv, found[0].version, found[0].compacted
	between, args := im.between(im.conv, 0, math.MaxInt64)
	type message struct{ seq, stored int64 }
	return true, each(im.ctx, im.q, into(func(m *message) []any { return []any{&m.seq, &m.stored} }), func(m message) bool {
		im.newest, im.sent = m.seq, m.stored > 0
		return true
	}, im.say("SELECT seq, stored_at FROM delivery_messages /*! FORCE INDEX (PRIMARY) */ WHERE "+between+" ORDER BY conv DESC, seq DESC LIMIT 1"), args...)
}

// add adds a message with its receipts to what is to be written.
func (im *importing) add(m delivery.NewImport) delivery.ImportOutcome {
	var to audience
	var number any // of the roster
	limit := func(string) delivery.Status { return delivery.Read }
	if !m.Open {
		roster := im.rosters[m.Roster]
		limit = func(user string) delivery.Status { return roster.caps[user] } // 0 if that is no member
		if slices.ContainsFunc(m.Receipts, func(r delivery.ImportReceipt) bool { return limit(r.Recipient) == 0 }) {
			return delivery.ImportStranger
		}
		number, to = roster.number, audience{size: roster.size, cap: limit(m.Sender)}
	}
	before := im.newest
	im.version++
	im.newest = im.version
	h := m.SizedFrom(to.size.tracked, to.size.readers, to.cap)
	h.Seq = im.newest
	receipts, tally := m.Apply(h, limit)
	im.messages = append(im.messages, row{im.conv, h.Seq, h.ID, im.readers[h.Sender].number, m.Body, number, to.recipients(), h.Total, h.Readers, h.Quorum, im.time(h.SentAt), 0})
	im.states = append(im.states, row{im.conv, h.Seq, h.Seq, uint8(tally.Status), tally.Delivered, tally.Read, im.time(tally.DeliveredAt), im.time(tally.ReadAt)})

	im.readers[m.Sender].follow(delivery.Read, before, h.Seq)
	timeless := true
	for i, r := range receipts {
		im.readers[r.Recipient].follow(m.Receipts[i].Status, before, h.Seq)
		timeless = timeless && r.DeliveredAt.IsZero() && r.ReadAt.IsZero()
	}
	// As long as nothing has a time, the conversation is compacted from the start.
	if timeless && im.compacted == h.Seq-1 {
		im.compacted = h.Seq
	}
	for i, r := range receipts {
		reader := im.readers[r.Recipient]
		if status := m.Receipts[i].Status; r.Status < status {
			reader.alone = 1
			if reader.reach[status] < h.Seq {
				im.own = append(im.own, row{reader.number, h.Seq, uint8(status)})
			}
		}
		redundant := !m.Open && im.compacted == h.Seq && reader.reach.absent(h.Seq, limit(r.Recipient)) == r.Status
		if r.Status > delivery.Sent && !redundant {
			im.receipts = append(im.receipts, row{im.conv, h.Seq, reader.number, uint8(r.Status), h.Seq, im.time(r.DeliveredAt), im.time(r.ReadAt)})
		}
	}
	return delivery.ImportStored
}

// follow moves the reach on to a message, for the statuses that leave nothing to do there, if it
// has come to the one before.
func (r *importReader) follow(status delivery.Status, before, seq int64) {
	for ; status > delivery.Sent; status-- {
		if r.reach[status] >= before {
			r.reach, r.moved = r.reach.moved(status, seq), r.moved.moved(status, seq)
			return
		}
	}
}

package sqlstore

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/msgdelivery/delivery"
)

func (l *locked) create(ctx context.Context, s *session, messages []delivery.NewMessage, lease delivery.Lease) (created []delivery.Created, claimed []delivery.Claimed, err error) {
	err = l.write(ctx, s, func(q delivery.DBTX, b *busy) error {
		created, claimed, err = l.createIn(ctx, q, s, messages, b, lease)
		return err
	})
	return created, claimed, err
}

func (l *locked) createIn(ctx context.Context, q delivery.DBTX, s *session, messages []delivery.NewMessage, b *busy, lease delivery.Lease) ([]delivery.Created, []delivery.Claimed, error) {
	drafts := make([]*draft, len(messages))
	for i := range messages {
		drafts[i] = &draft{NewMessage: &messages[i], item: i}
	}
	conversations, err := l.lockConversations(ctx, q, s, drafts, b)
	if err != nil {
		return nil, nil, err
	}
	created, err := l.add(ctx, q, s, drafts, b)
	if err != nil {
		return nil, nil, err
	}
	var states, versions []row
	var events []delivery.Event
	for i, d := range drafts {
		if c := &created[i]; c.Existed || c.Gone || c.Blocked || c.NoRoster {
			continue
		}
		message := created[i].Message
		states = append(states, row{d.conversation.key, message.Seq, message.Version, uint8(message.Status)})
		update := updateOf(message.Header, message.Tally)
		if d.EventBody {
			update.Body = d.Body
		}
		events = append(events, delivery.Event{
			Kind: delivery.MessageSent, Conversation: d.Conversation, From: message.Seq, To: message.Seq,
			Except: d.Socket, Updates: []delivery.Update{update},
		})
		events[len(events)-1].AddTrace(d.Trace)
	}
	if len(events) == 0 {
		return created, nil, nil
	}
	for _, c := range slices.SortedFunc(maps.Values(conversations), func(a, b *conversation) int { return cmp.Compare(a.key, b.key) }) {
		versions = append(versions, row{c.key, c.version})
	}
	if err := execAll(ctx, q, batch{l.addStates, states}, batch{l.putVersions, versions}); err != nil {
		return nil, nil, err
	}
	claimed, err := l.announce(ctx, q, events, lease)
	return created, claimed, err
}

// conversation is a locked one.
type conversation struct {
	id                  string
	key, version, drops int64
}

// lockConversations locks the conversations of the drafts, and makes those that are new. Outside a
// caller's transaction those that another transaction has locked are not returned.
func (l *locked) lockConversations(ctx context.Context, q delivery.DBTX, s *session, drafts []*draft, b *busy) (map[string]*conversation, error) {
	if err := l.findAudiences(ctx, q, l.audiences, drafts); err != nil {
		return nil, err
	}
	ids := make([]string, len(drafts))
	conversations := map[string]*conversation{}
	for i, d := range drafts {
		ids[i] = d.Conversation
		if d.audience.key != 0 {
			conversations[d.Conversation] = &conversation{id: d.Conversation, key: d.audience.key}
		}
	}
	lock, found := l.lockFree, l.foundFree
	if s.tx != nil {
		lock, found = l.lock, l.found
	}
	slices.Sort(ids)
	for _, id := range slices.Compact(ids) {
		if conversations[id] != nil || b != nil && b.conversations[id] {
			continue
		}
		result, err := q.ExecContext(ctx, found, id)
		if err != nil && b != nil && l.isLocked(err) { // it is being made, or somebody has locked it meanwhile
			return nil, &foundBusy{func(b *busy) { b.conversations[id] = true }}
		}
		if err != nil {
			return nil, err
		}
		key, err := result.LastInsertId()
		if err != nil {
			return nil, err
		}
		conversations[id] = &conversation{id: id, key: key}
	}
	keys := []int64{}
	for _, c := range conversations {
		keys = append(keys, c.key)
	}
	slices.Sort(keys)
	there, err := l.lockRows(ctx, q, lock, keys)
	maps.DeleteFunc(conversations, func(_ string, c *conversation) bool {
		now, free := there[c.key]
		c.version, c.drops = now.version, now.drops
		return !free
	})
	for _, d := range drafts {
		d.conversation = conversations[d.Conversation]
		if d.conversation == nil && s.tx != nil { // it was removed meanwhile
			err = cmp.Or(err, errSnapshot)
		}
		if b.has(d.item) {
			d.conversation = nil
		}
	}
	return conversations, err
}

// add stores the drafts whose ids are free, and gives them the next versions of their
// conversations.
func (l *locked) add(ctx context.Context, q delivery.DBTX, s *session, drafts []*draft, b *busy) ([]delivery.Created, error) {
	ids := make([]string, len(drafts))
	for i, d := range drafts {
		ids[i] = d.ID
	}
	for free := len(drafts) + 1; ; {
		there, err := l.taken(ctx, q, s, ids)
		if err != nil {
			return nil, err
		}
		created, fresh := sortOut(drafts, there)
		fresh, made, err := l.address(ctx, q, s, fresh, b)
		if err != nil {
			return nil, err
		}
		rows := place(fresh, created)
		if len(rows) == 0 {
			return created, nil
		}
		_, err = q.ExecContext(ctx, l.addMessages, toJSON(rows))
		switch {
		case err == nil:
			for _, d := range fresh {
				d.conversation.version++
			}
			return created, nil
		case !l.duplicate(err):
			return nil, err
		case made:
			if err := execEach(ctx, q, undoRosters); err != nil {
				return nil, err
			}
		}
		switch {
		case len(rows) >= free && s.tx != nil:
			return nil, errSnapshot
		case len(rows) >= free && len(drafts) == 1:
			return []delivery.Created{unreadable(err)}, nil
		case len(rows) >= free:
			return l.addApart(ctx, q, s, drafts, b)
		}
		free = len(rows) // someone took an id for another conversation: that message exists now
	}
}

// taken returns the messages that have these ids, as they are now.
func (l *locked) taken(ctx context.Context, q delivery.DBTX, s *session, ids []string) ([]delivery.Created, error) {
	there, err := query(ctx, q, scanExisting, s.reads.load, idList(ids))
	if err != nil || len(there) == 0 || !l.newest.in(s) {
		return there, err
	}
	ids = ids[:0:0]
	for _, c := range there {
		ids = append(ids, c.Message.ID)
	}
	return query(ctx, q, scanExisting, l.newest.load, idList(ids))
}

// addApart is add for drafts one of whose ids is taken by a message that cannot be read: it
// stores the others.
func (l *locked) addApart(ctx context.Context, q delivery.DBTX, s *session, drafts []*draft, b *busy) (created []delivery.Created, err error) {
	for i := range drafts {
		one, err := l.add(ctx, q, s, drafts[i:i+1], b)
		if err != nil {
			return nil, err
		}
		created = append(created, one...)
	}
	return created, nil
}

// sortOut returns the results of the drafts that are not to be stored, given the messages that are
// there, and copies of the others.
func sortOut(drafts []*draft, there []delivery.Created) (created []delivery.Created, fresh []*draft) {
	created = make([]delivery.Created, len(drafts))
	for i, d := range drafts {
		if at := slices.IndexFunc(there, func(c delivery.Created) bool { return c.Message.ID == d.ID }); at >= 0 {
			created[i] = taken(there[at])
		} else if d.conversation == nil {
			created[i].Blocked = true
		} else {
			created[i].NoRoster = true // until it is addressed
			copy := *d
			copy.index = i
			fresh = append(fresh, &copy)
		}
	}
	return created, fresh
}

// place gives the drafts that are addressed their places, fills in what becomes of them, and
// returns the rows to add.
func place(drafts []*draft, created []delivery.Created) []row {
	added := map[string]int64{}
	rows := make([]row, len(drafts))
	for i, d := range drafts {
		c := d.conversation
		added[c.id]++
		h := d.SizedFrom(d.audience.size.tracked, d.audience.size.readers, d.audience.cap)
		h.Seq, h.SentAt = c.version+added[c.id], precise(h.SentAt)
		message := delivery.Message{Header: h, Body: d.Body, Tally: delivery.Tally{Version: h.Seq, Status: delivery.Sent}}
		created[d.index] = delivery.Created{Message: message, Roster: d.Roster}
		var roster any
		if !h.Open {
			roster = d.audience.roster
		}
		rows[i] = row{c.key, h.Seq, h.ID, h.Sender, d.Body, roster, d.audience.recipients(), h.Total, h.Readers, h.Quorum, h.SentAt.UnixMicro()}
	}
	return rows
}

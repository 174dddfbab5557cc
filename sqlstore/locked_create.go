package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"maps"
	"slices"

	"github.com/msgdelivery/delivery"
)

func (l *locked) create(ctx context.Context, s *session, messages []delivery.NewMessage, lease delivery.Lease) (created []delivery.Created, claimed []delivery.Claimed, err error) {
	// The server may have ended the transaction when a new conversation was locked: then all is
	// done again without that one.
	locked := map[string]bool{}
	for again := true; again; {
		err = s.write(ctx, func(q delivery.DBTX) error {
			created, claimed, err = l.createIn(ctx, q, s, messages, locked, lease)
			return err
		})
		var other *newAndLocked
		if again = errors.As(err, &other); again {
			locked[other.conversation] = true
		}
	}
	return created, claimed, err
}

// newAndLocked says that another transaction has made a conversation, or locked it meanwhile.
type newAndLocked struct{ conversation string }

func (e *newAndLocked) Error() string { return "another transaction has the conversation" }

func (l *locked) createIn(ctx context.Context, q delivery.DBTX, s *session, messages []delivery.NewMessage, locked map[string]bool, lease delivery.Lease) ([]delivery.Created, []delivery.Claimed, error) {
	conversations, err := l.lockConversations(ctx, q, s, messages, locked)
	if err != nil {
		return nil, nil, err
	}
	created, err := l.add(ctx, q, s, messages, conversations)
	if err != nil {
		return nil, nil, err
	}
	var states, receipts, versions []row
	var events []delivery.Event
	for i, m := range messages {
		if created[i].Existed || created[i].Blocked {
			continue
		}
		message := created[i].Message
		key := conversations[m.Conversation].key
		states = append(states, row{key, message.Seq, message.Version, uint8(message.Status)})
		for _, user := range m.Recipients {
			receipts = append(receipts, row{key, message.Seq, user, uint8(delivery.Sent), message.Version})
		}
		update := updateOf(message.Header, message.Tally)
		if m.EventBody {
			update.Body = m.Body
		}
		events = append(events, delivery.Event{
			Kind: delivery.MessageSent, Conversation: m.Conversation, From: message.Seq, To: message.Seq,
			Except: m.Socket, Updates: []delivery.Update{update},
		})
	}
	if len(events) == 0 {
		return created, nil, nil
	}
	for _, c := range slices.SortedFunc(maps.Values(conversations), func(a, b *conversation) int { return cmp.Compare(a.key, b.key) }) {
		versions = append(versions, row{c.key, c.version})
	}
	if err := execAll(ctx, q, batch{l.addStates, states}, batch{l.addReceipts, receipts}, batch{l.putVersions, versions}); err != nil {
		return nil, nil, err
	}
	claimed, err := l.announce(ctx, q, events, lease)
	return created, claimed, err
}

// conversation is a locked one.
type conversation struct {
	id           string
	key, version int64
}

// lockConversations locks the conversations of the messages, and makes those that are new. Outside
// a caller's transaction those that another transaction has locked are not returned.
func (l *locked) lockConversations(ctx context.Context, q delivery.DBTX, s *session, messages []delivery.NewMessage, locked map[string]bool) (map[string]*conversation, error) {
	ids := make([]string, len(messages))
	for i, m := range messages {
		ids[i] = m.Conversation
	}
	known, err := query(ctx, q, scanKnown, l.known, idList(ids))
	if err != nil {
		return nil, err
	}
	conversations := make(map[string]*conversation, len(ids))
	for _, c := range known {
		conversations[c.id] = c
	}
	lock, found := l.lockFree, l.foundFree
	if s.tx != nil {
		lock, found = l.lock, l.found
	}
	slices.Sort(ids)
	for _, id := range slices.Compact(ids) {
		if conversations[id] != nil || locked[id] {
			continue
		}
		result, err := q.ExecContext(ctx, found, id)
		if err != nil && s.tx == nil && l.isLocked(err) {
			return nil, &newAndLocked{id}
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
	versions, err := l.lockRows(ctx, q, lock, keys)
	maps.DeleteFunc(conversations, func(_ string, c *conversation) bool {
		version, free := versions[c.key]
		c.version = version
		return !free
	})
	return conversations, err
}

func scanKnown(rows *sql.Rows) (*conversation, error) {
	var c conversation
	err := rows.Scan(&c.id, &c.key)
	return &c, err
}

// add stores the messages whose ids are free, and gives them the next versions of their
// conversations.
func (l *locked) add(ctx context.Context, q delivery.DBTX, s *session, messages []delivery.NewMessage, conversations map[string]*conversation) ([]delivery.Created, error) {
	ids := make([]string, len(messages))
	for i, m := range messages {
		ids[i] = m.ID
	}
	for free := len(messages) + 1; ; {
		there, err := l.taken(ctx, q, s, ids)
		if err != nil {
			return nil, err
		}
		created, rows := place(messages, there, conversations)
		if len(rows) == 0 {
			return created, nil
		}
		_, err = q.ExecContext(ctx, l.addMessages, toJSON(rows))
		switch {
		case err == nil:
			for _, c := range created {
				if !c.Existed && !c.Blocked {
					conversations[c.Message.Conversation].version++
				}
			}
			return created, nil
		case !l.duplicate(err):
			return nil, err
		case len(rows) >= free && s.tx != nil:
			return nil, errSnapshot
		case len(rows) >= free && len(messages) == 1:
			return []delivery.Created{unreadable(err)}, nil
		case len(rows) >= free:
			return l.addApart(ctx, q, s, messages, conversations)
		}
		free = len(rows) // someone took an id for another conversation: that message exists now
	}
}

// taken returns the messages that have these ids, as they are now.
func (l *locked) taken(ctx context.Context, q delivery.DBTX, s *session, ids []string) ([]delivery.Message, error) {
	there, err := query(ctx, q, scanMessage, s.reads.load, idList(ids))
	if err != nil || len(there) == 0 || !l.newest.in(s) {
		return there, err
	}
	ids = ids[:0:0]
	for _, m := range there {
		ids = append(ids, m.ID)
	}
	return query(ctx, q, scanMessage, l.newest.load, idList(ids))
}

// addApart is add for messages one of whose ids is taken by a message that cannot be read: it
// stores the others.
func (l *locked) addApart(ctx context.Context, q delivery.DBTX, s *session, messages []delivery.NewMessage, conversations map[string]*conversation) (created []delivery.Created, err error) {
	for i := range messages {
		one, err := l.add(ctx, q, s, messages[i:i+1], conversations)
		if err != nil {
			return nil, err
		}
		created = append(created, one...)
	}
	return created, nil
}

// place says what will become of the messages, given those that are there, and returns the rows to
// add.
func place(messages []delivery.NewMessage, there []delivery.Message, conversations map[string]*conversation) ([]delivery.Created, []row) {
	created := make([]delivery.Created, len(messages))
	added := map[string]int64{}
	var rows []row
	for i, m := range messages {
		if at := slices.IndexFunc(there, func(t delivery.Message) bool { return t.ID == m.ID }); at >= 0 {
			created[i] = delivery.Created{Message: there[at], Existed: true}
			continue
		}
		c := conversations[m.Conversation]
		if c == nil {
			created[i].Blocked = true
			continue
		}
		added[c.id]++
		h := m.Header
		h.Seq, h.SentAt = c.version+added[c.id], precise(h.SentAt)
		created[i].Message = delivery.Message{Header: h, Body: m.Body, Tally: delivery.Tally{Version: h.Seq, Status: delivery.Sent}}
		rows = append(rows, row{c.key, h.Seq, h.ID, h.Sender, m.Body, bit(h.Open), h.Total, h.Quorum, h.SentAt.UnixMicro()})
	}
	return created, rows
}

package delivery

import (
	"context"
	"fmt"
	"slices"
)

// The reading methods are for the app's own code and ask no rule: whoever shows their answers to a
// user asks [Tracker.Authorize] first, as deliveryhttp does.

// Message returns a message and what became of it, or [ErrNotFound].
func (t *Tracker) Message(ctx context.Context, id string) (Message, error) {
	found, err := t.Load(ctx, id)
	if err != nil {
		return Message{}, err
	}
	if len(found) == 0 {
		return Message{}, ErrNotFound
	}
	return found[0], nil
}

// Load returns up to [MaxBatch] messages in the order of the ids, without those that do not exist.
// An inbox can use it to load the latest message of each conversation.
func (t *Tracker) Load(ctx context.Context, ids ...string) ([]Message, error) {
	if len(ids) > MaxBatch {
		return nil, tooMany("messages", MaxBatch)
	}
	for _, id := range ids {
		if err := checkID("message", id); err != nil {
			return nil, err
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	found, err := t.store.Load(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("delivery: loading messages: %w", err)
	}
	byID := make(map[string]Message, len(found))
	for _, m := range found {
		byID[m.ID] = m
	}
	found = found[:0]
	for _, id := range ids {
		if m, ok := byID[id]; ok {
			found = append(found, m)
			delete(byID, id) // it may be named twice
		}
	}
	return found, nil
}

// Messages returns a page of a conversation's messages in the order they were sent. A conversation
// that does not exist is an empty one.
func (t *Tracker) Messages(ctx context.Context, q Query) (Page, error) {
	if err := checkID("conversation", q.Conversation); err != nil {
		return Page{}, err
	}
	if q.Viewer != "" {
		if err := checkID("viewer", q.Viewer); err != nil {
			return Page{}, err
		}
	}
	if q.After < 0 {
		return Page{}, &InvalidError{Field: "after", Reason: "is negative"}
	}
	if q.Before < 0 {
		return Page{}, &InvalidError{Field: "before", Reason: "is negative"}
	}
	limit, err := checkLimit(q.Limit)
	if err != nil {
		return Page{}, err
	}
	return t.list(ctx, List{Conversation: q.Conversation, After: q.After, Before: q.Before, Limit: limit, Viewer: q.Viewer})
}

// Changes returns the present state of every message of the conversation that was sent or changed
// after the cursor, in order of their versions. That is exactly what a client with that cursor has
// missed. Call it again with the page's Cursor while there is More. A limit of 0 stands for 50.
// Like every page, it holds at most [MaxPage] bytes.
//
// The page is a [Page.Reset] if the conversation's version is below the cursor's, or if the store
// was restored since the client got its cursor. The client then forgets what it knows of the
// conversation, and begins with [Tracker.Messages] or the zero Cursor. A store that reads from a
// lagging replica resets clients too.
func (t *Tracker) Changes(ctx context.Context, conversation string, since Cursor, limit int) (Page, error) {
	return t.changes(ctx, "", conversation, since, limit)
}

// ChangesFor is [Tracker.Changes] with the actor's own receipts in [Message.Own], so that one of a
// user's devices learns what the others marked.
func (t *Tracker) ChangesFor(ctx context.Context, actor Actor, conversation string, since Cursor, limit int) (Page, error) {
	if err := actor.check(); err != nil {
		return Page{}, err
	}
	return t.changes(ctx, actor.User, conversation, since, limit)
}

func (t *Tracker) changes(ctx context.Context, viewer, conversation string, since Cursor, limit int) (Page, error) {
	if err := checkID("conversation", conversation); err != nil {
		return Page{}, err
	}
	if since.Version < 0 {
		return Page{}, &InvalidError{Field: "since", Reason: "is negative"}
	}
	limit, err := checkLimit(limit)
	if err != nil {
		return Page{}, err
	}
	page, err := t.list(ctx, List{Conversation: conversation, Changes: true, After: since.Version, Limit: limit, Viewer: viewer})
	if since.Version > 0 && (page.Version < since.Version || page.Epoch != since.Epoch) && err == nil {
		page = Page{Cursor: Cursor{Epoch: page.Epoch}, Reset: true}
	}
	return page, err
}

func (t *Tracker) list(ctx context.Context, list List) (Page, error) {
	list.Bytes = MaxPage
	page, err := t.store.List(ctx, list)
	if err != nil {
		return Page{}, fmt.Errorf("delivery: listing messages: %w", err)
	}
	return page, nil
}

// Receipts returns a page of who got the message and who read it, and when. It has all frozen
// recipients, and users of an open audience once they have marked the message. A message that does
// not exist is [ErrNotFound].
func (t *Tracker) Receipts(ctx context.Context, q ReceiptQuery) (ReceiptPage, error) {
	if err := checkID("message", q.Message); err != nil {
		return ReceiptPage{}, err
	}
	if q.After != "" {
		if err := checkAfter(q.After); err != nil {
			return ReceiptPage{}, err
		}
	}
	if q.Status != 0 && !q.Status.Valid() {
		return ReceiptPage{}, &InvalidError{Field: "status", Reason: "is not sent, delivered or read"}
	}
	if q.Failed && q.Status != 0 {
		return ReceiptPage{}, &InvalidError{Field: "failed", Reason: "is set beside a status"}
	}
	limit, err := checkLimit(q.Limit)
	if err != nil {
		return ReceiptPage{}, err
	}
	page, err := t.store.Receipts(ctx, ReceiptList{Message: q.Message, After: q.After, Limit: limit, Status: q.Status, Failed: q.Failed})
	if err != nil {
		return ReceiptPage{}, fmt.Errorf("delivery: loading receipts: %w", err)
	}
	page.Receipts = slices.DeleteFunc(page.Receipts, func(r Receipt) bool { return r.Message != q.Message })
	if len(page.Receipts) == 0 && !page.More {
		_, err = t.Message(ctx, q.Message)
	}
	return page, err
}

// Backlog returns the state of the outbox: what a health check and a metrics page want to know.
func (t *Tracker) Backlog(ctx context.Context) (Backlog, error) {
	b, err := t.store.Backlog(ctx)
	if err != nil {
		return Backlog{}, fmt.Errorf("delivery: counting the outbox: %w", err)
	}
	b.Breaker, b.Running, b.Calls = t.relay.breaker.state(), t.relay.running.Load(), t.relay.window.underWay()
	return b, nil
}

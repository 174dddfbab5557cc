package deliveryhttp

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/msgdelivery/delivery"
)

// send answers POST /messages.
func (h *Handler) send(r *http.Request, user string) (any, error) {
	draft := delivery.Draft{Sender: user}
	var body *string
	err := fields{
		"conversation": &draft.Conversation,
		"body":         &body,
		"id":           &draft.ID,
		"socket":       &draft.Socket,
	}.decodeBody(r)
	if err != nil {
		return nil, err
	}
	if body == nil { // unlike an empty one, a mistake
		return nil, &delivery.InvalidError{Field: "body", Reason: "is missing"}
	}
	if draft.Body = *body; len(draft.Body) > delivery.MaxBody {
		return nil, fmt.Errorf("%w: %w", tooLarge, &delivery.InvalidError{Field: "body", Reason: fmt.Sprintf("is longer than %d bytes", delivery.MaxBody)})
	}
	message, err := h.sendNew(r.Context(), draft)
	if err == nil || draft.ID == "" {
		return message, err
	}
	return h.repeated(r.Context(), draft, err)
}

// sendNew sends a draft to the audience that the app names now, if its rule lets the sender send.
func (h *Handler) sendNew(ctx context.Context, draft delivery.Draft) (_ delivery.Message, err error) {
	if err := h.tracker.Authorize(ctx, draft.Sender, delivery.ToSend, draft.Conversation); err != nil {
		return delivery.Message{}, err
	}
	if draft.Audience, err = h.opts.Audience(ctx, draft); errors.Is(err, delivery.ErrForbidden) {
		return delivery.Message{}, err
	} else if err != nil {
		return delivery.Message{}, fmt.Errorf("%w: asking for the audience: %w", internal, err)
	}
	return h.tracker.Send(ctx, draft)
}

// repeated answers a send with an id of the client's that did not go through: with what is stored,
// if this is a repeat of the send that stored it. To the client that is the same message, whatever
// the conversation's members or the rule have become since; its audience stays the one of the first
// send. Any other send keeps its refusal, and somebody who may not view the
// message that has the id is not told that there is one.
func (h *Handler) repeated(ctx context.Context, draft delivery.Draft, refusal error) (any, error) {
	taken := errors.Is(refusal, delivery.ErrConflict)
	if k := kindOf(refusal); k.status == http.StatusServiceUnavailable || ctx.Err() != nil {
		return nil, refusal // not tried, or not known: the client repeats it
	}
	m, err := h.tracker.Message(ctx, draft.ID)
	switch {
	case err != nil && taken:
		return nil, err
	case err != nil:
		return nil, refusal
	case m.Sender == draft.Sender && m.Conversation == draft.Conversation && m.Body == draft.Body:
		return m, nil
	case taken && m.Sender != draft.Sender:
		if err := h.tracker.Authorize(ctx, draft.Sender, delivery.ToView, m.Conversation); err != nil {
			return nil, err
		}
	}
	return nil, refusal
}

// delete answers POST /messages/delete. Senders delete what they sent, as long as they may send.
func (h *Handler) delete(r *http.Request, user string) (any, error) {
	actor := delivery.Actor{User: user}
	var message string
	if err := (fields{"message": &message, "socket": &actor.Socket}).decodeBody(r); err != nil {
		return nil, err
	}
	m, err := h.tracker.Message(r.Context(), message)
	if err != nil {
		return nil, err
	}
	if err := h.tracker.Authorize(r.Context(), user, delivery.ToView, m.Conversation); err != nil {
		return nil, forStranger(err)
	}
	if m.Sender != user {
		return nil, delivery.ErrForbidden
	}
	if err := h.tracker.Authorize(r.Context(), user, delivery.ToSend, m.Conversation); err != nil {
		return nil, err
	}
	deleted, err := h.tracker.Delete(r.Context(), actor, message)
	return map[string]int{"deleted": deleted}, err
}

// list answers GET /messages.
func (h *Handler) list(r *http.Request, user string) (any, error) {
	query := delivery.Query{Viewer: user}
	err := fields{
		"conversation": &query.Conversation,
		"after":        &query.After,
		"before":       &query.Before,
		"limit":        &query.Limit,
	}.decodeQuery(r)
	if err != nil {
		return nil, err
	}
	given := r.URL.Query()
	switch {
	case given.Has("before") && query.Before == 0: // which is what unset looks like
		return nil, &delivery.InvalidError{Field: "before", Reason: "is not positive"}
	case !given.Has("before") && !given.Has("after"):
		query.Before = delivery.Latest
	}
	if err := h.tracker.Authorize(r.Context(), user, delivery.ToView, query.Conversation); err != nil {
		return nil, err
	}
	return whole(h.tracker.Messages(r.Context(), query))
}

// changes answers GET /changes.
func (h *Handler) changes(r *http.Request, user string) (any, error) {
	var conversation string
	var since delivery.Cursor
	var limit int
	err := fields{"conversation": &conversation, "since": &since.Version, "epoch": &since.Epoch, "limit": &limit}.decodeQuery(r)
	if err != nil {
		return nil, err
	}
	if err := h.tracker.Authorize(r.Context(), user, delivery.ToView, conversation); err != nil {
		return nil, err
	}
	return whole(h.tracker.ChangesFor(r.Context(), delivery.Actor{User: user}, conversation, since, limit))
}

// whole makes a page whose list is not null in JSON.
func whole(page delivery.Page, err error) (any, error) {
	if page.Messages == nil {
		page.Messages = []delivery.Message{}
	}
	return page, err
}

// unread answers GET /unread. It leaves out conversations that the user may not view, as if they
// did not exist.
func (h *Handler) unread(r *http.Request, user string) (any, error) {
	var conversations []string
	if err := (fields{"conversation": &conversations}).decodeQuery(r); err != nil {
		return nil, err
	}
	if len(conversations) > delivery.MaxConversations { // before as many calls of the rule
		_, err := h.tracker.Unread(r.Context(), delivery.Actor{User: user}, conversations...)
		return nil, err
	}
	visible := []string{}
	for _, c := range conversations {
		switch err := h.tracker.Authorize(r.Context(), user, delivery.ToView, c); {
		case err == nil:
			visible = append(visible, c)
		case !errors.Is(err, delivery.ErrForbidden):
			return nil, err
		}
	}
	if len(visible) == 0 && len(conversations) > 0 {
		return map[string]any{"unread": visible}, nil
	}
	unread, err := h.tracker.Unread(r.Context(), delivery.Actor{User: user}, visible...)
	return map[string]any{"unread": unread}, err
}

// receipts answers GET /receipts.
func (h *Handler) receipts(r *http.Request, user string) (any, error) {
	var query delivery.ReceiptQuery
	err := fields{"message": &query.Message, "after": &query.After, "limit": &query.Limit, "status": &query.Status, "failed": &query.Failed}.decodeQuery(r)
	if err != nil {
		return nil, err
	}
	message, err := h.tracker.Message(r.Context(), query.Message)
	if err != nil {
		return nil, err
	}
	if err := h.tracker.Authorize(r.Context(), user, delivery.ToView, message.Conversation); err != nil {
		return nil, forStranger(err)
	}
	page, err := h.tracker.Receipts(r.Context(), query)
	if page.Receipts == nil {
		page.Receipts = []delivery.Receipt{}
	}
	return page, err
}

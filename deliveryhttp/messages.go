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
		"quorum":       &draft.Quorum,
		"socket":       &draft.Socket,
	}.decodeBody(r)
	if err != nil {
		return nil, err
	}
	if body == nil { // unlike an empty one, a mistake
		return nil, &delivery.InvalidError{Field: "body", Reason: "is missing"}
	}
	if draft.Body = *body; len(draft.Body) > delivery.MaxBody {
		return nil, fmt.Errorf("%w: %w", tooLarge, &delivery.InvalidError{Field: "body", Reason: "is longer than 64 KiB"})
	}
	if err := h.tracker.Authorize(r.Context(), user, delivery.ToSend, draft.Conversation); err != nil {
		return nil, err
	}
	if h.opts.Recipients != nil {
		if draft.Recipients, err = h.opts.Recipients(r.Context(), user, draft.Conversation); err != nil {
			return nil, fmt.Errorf("asking for recipients: %w", err)
		}
	}
	message, err := h.tracker.Send(r.Context(), draft)
	if errors.Is(err, delivery.ErrConflict) {
		return h.repeated(r.Context(), draft)
	}
	return message, err
}

// repeated returns the message that a client sends again after its conversation's members, and so
// its recipients, have changed. To the client that is the same message; the recipients stay those
// that were frozen first.
func (h *Handler) repeated(ctx context.Context, draft delivery.Draft) (any, error) {
	m, err := h.tracker.Message(ctx, draft.ID)
	if err != nil {
		return nil, err
	}
	same := m.Sender == draft.Sender && m.Conversation == draft.Conversation && m.Body == draft.Body &&
		(draft.Quorum == 0 || draft.Quorum == m.Quorum)
	if !same {
		return nil, delivery.ErrConflict
	}
	return m, nil
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
	return whole(h.tracker.ChangesFor(r.Context(), user, conversation, since, limit))
}

// whole makes a page whose list is not null in JSON.
func whole(page delivery.Page, err error) (any, error) {
	if page.Messages == nil {
		page.Messages = []delivery.Message{}
	}
	return page, err
}

// pending answers GET /pending.
func (h *Handler) pending(r *http.Request, user string) (any, error) {
	var conversation string
	if err := (fields{"conversation": &conversation}).decodeQuery(r); err != nil {
		return nil, err
	}
	if err := h.tracker.Authorize(r.Context(), user, delivery.ToView, conversation); err != nil {
		return nil, err
	}
	return h.tracker.Pending(r.Context(), user, conversation)
}

// receipts answers GET /receipts.
func (h *Handler) receipts(r *http.Request, user string) (any, error) {
	var id string
	if err := (fields{"message": &id}).decodeQuery(r); err != nil {
		return nil, err
	}
	message, err := h.tracker.Message(r.Context(), id)
	if err != nil {
		return nil, err
	}
	if err := h.tracker.Authorize(r.Context(), user, delivery.ToView, message.Conversation); err != nil {
		return nil, forStranger(err)
	}
	receipts, err := h.tracker.Receipts(r.Context(), id)
	if receipts == nil {
		receipts = []delivery.Receipt{}
	}
	return map[string]any{"receipts": receipts}, err
}

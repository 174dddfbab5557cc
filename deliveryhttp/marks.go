package deliveryhttp

import (
	"cmp"
	"fmt"
	"net/http"

	"github.com/msgdelivery/delivery"
)

// marker returns the actor of a request that marks. If the app cannot say what to hide, nothing is
// marked.
func (h *Handler) marker(r *http.Request, user string) (delivery.Actor, error) {
	actor := delivery.Actor{User: user}
	if h.opts.Hide == nil {
		return actor, nil
	}
	var err error
	if actor.Hide, err = h.opts.Hide(r, user); err != nil {
		return actor, fmt.Errorf("%w: asking what to hide: %w", internal, err)
	}
	return actor, nil
}

// mark answers POST /marks.
func (h *Handler) mark(r *http.Request, user string) (any, error) {
	actor, err := h.marker(r, user)
	if err != nil {
		return nil, err
	}
	var message string
	var status delivery.Status
	err = fields{"message": &message, "status": &status, "socket": &actor.Socket}.decodeBody(r)
	if err != nil {
		return nil, err
	}
	results, err := h.tracker.Mark(r.Context(), actor, status, message)
	if err != nil {
		return nil, err
	}
	return results[0].Own, forStranger(results[0].Err)
}

// result is what became of one message of a batch.
type result struct {
	Message string        `json:"message"`
	Changed bool          `json:"changed"`
	Receipt *delivery.Own `json:"receipt,omitempty"`
	Error   string        `json:"error,omitempty"` // the code of the problem it would be alone
}

// markBatch answers POST /marks/batch.
func (h *Handler) markBatch(r *http.Request, user string) (any, error) {
	actor, err := h.marker(r, user)
	if err != nil {
		return nil, err
	}
	var messages []string
	var status delivery.Status
	err = fields{"messages": &messages, "status": &status, "socket": &actor.Socket}.decodeBody(r)
	if err != nil {
		return nil, err
	}
	if messages == nil {
		return nil, &delivery.InvalidError{Field: "messages", Reason: "is missing"}
	}
	marked, err := h.tracker.Mark(r.Context(), actor, status, messages...)
	if err != nil {
		return nil, err
	}
	results := make([]result, len(marked))
	var failure error // the first: one usually meets many
	for i, m := range marked {
		results[i] = result{Message: m.Message, Changed: m.Changed}
		if m.Err == nil {
			results[i].Receipt = &m.Own
			continue
		}
		k := kindOf(forStranger(m.Err))
		results[i].Error = k.code
		if k.failure() {
			failure = cmp.Or(failure, m.Err)
		}
	}
	if failure != nil {
		h.report(r, failure)
	}
	return map[string]any{"results": results}, nil
}

// markUpTo answers POST /marks/up-to.
func (h *Handler) markUpTo(r *http.Request, user string) (any, error) {
	actor, err := h.marker(r, user)
	if err != nil {
		return nil, err
	}
	var conversation, message string
	var status delivery.Status
	err = fields{"conversation": &conversation, "message": &message, "status": &status, "socket": &actor.Socket}.decodeBody(r)
	if err != nil {
		return nil, err
	}
	upTo, err := h.tracker.MarkUpTo(r.Context(), actor, status, delivery.MessageRef{Conversation: conversation, ID: message})
	return upTo, forStranger(err)
}

// dismiss answers POST /dismiss.
func (h *Handler) dismiss(r *http.Request, user string) (any, error) {
	actor := delivery.Actor{User: user}
	var through delivery.MessageRef
	err := fields{"conversation": &through.Conversation, "message": &through.ID, "socket": &actor.Socket}.decodeBody(r)
	if err != nil {
		return nil, err
	}
	place, err := h.tracker.Dismiss(r.Context(), actor, through)
	return place, forStranger(err)
}

// markUnread answers POST /unread.
func (h *Handler) markUnread(r *http.Request, user string) (any, error) {
	actor := delivery.Actor{User: user}
	var message string
	if err := (fields{"message": &message, "socket": &actor.Socket}).decodeBody(r); err != nil {
		return nil, err
	}
	place, err := h.tracker.MarkUnread(r.Context(), actor, message)
	return place, forStranger(err)
}

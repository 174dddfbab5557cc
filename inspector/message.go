package inspector

import (
	"errors"
	"net/http"
	"net/url"
	"slices"

	"github.com/msgdelivery/delivery"
)

const (
	deadLooked = 100 // dead letters that are looked at for a message's
	factsShown = 200 // of a message
)

// story is what is known of one message.
type story struct {
	ID       string
	Message  *delivery.Message // nil if there is none
	Receipts delivery.ReceiptPage
	Filters  []link
	Chosen   string // the filter
	Next     string // the address of the next page of receipts
	Dead     []delivery.DeadLetter
	Looked   int // dead letters that were looked at, if there may be more
	Facts    []fact
}

// message shows one message and what is kept of it, in three reads of the store.
func (h *Handler) message(q *request) (*answer, error) {
	query := q.URL.Query()
	s := &story{ID: query.Get("id")}
	a := &answer{page: "message", title: "Message", data: s}
	if s.ID == "" {
		return a, nil
	}
	message, err := h.tracker.Message(q.Context(), s.ID)
	switch {
	case err == nil:
		s.Message = &message
		err = h.receipts(q, s, query)
	case errors.Is(err, delivery.ErrNotFound):
		a.status, err = http.StatusNotFound, nil
	}
	if err != nil {
		return nil, err
	}
	dead, err := h.tracker.DeadLetters(q.Context(), delivery.DeadQuery{Limit: deadLooked})
	if err != nil {
		return nil, err
	}
	if len(dead) == deadLooked {
		s.Looked = deadLooked
	}
	s.Dead = slices.DeleteFunc(dead, func(d delivery.DeadLetter) bool {
		near := s.Message != nil && d.Event.Conversation == s.Message.Conversation
		return !near && !slices.Contains(messagesOf(d.Event), s.ID)
	})
	s.Facts = h.opts.Recorder.about(s.ID)
	s.Facts = s.Facts[:min(len(s.Facts), factsShown)]
	return a, nil
}

func (h *Handler) receipts(q *request, s *story, query url.Values) (err error) {
	ask := delivery.ReceiptQuery{Message: s.ID, After: query.Get("after")}
	if s.Chosen = query.Get("status"); s.Chosen == "failed" {
		ask.Failed = true
	} else if s.Chosen != "" && ask.Status.UnmarshalText([]byte(s.Chosen)) != nil {
		return &problem{http.StatusBadRequest, "A status is sent, delivered, read or failed."}
	}
	if s.Receipts, err = h.tracker.Receipts(q.Context(), ask); err != nil {
		return err
	}
	to := func(status, after string) string {
		return "message?" + url.Values{"id": {s.ID}, "status": {status}, "after": {after}}.Encode() + "#receipts"
	}
	for _, status := range []string{"", "sent", "failed", "delivered", "read"} {
		s.Filters = append(s.Filters, link{status, to(status, "")})
	}
	if next := s.Receipts.Next; s.Receipts.More && h.opts.Redact(UserID, next) == next {
		s.Next = to(s.Chosen, next)
	}
	return nil
}

package inspector

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/msgdelivery/delivery"
)

const deadPage = 50 // dead letters of a page

// deadLetters is a page of the list.
type deadLetters struct {
	Letters []delivery.DeadLetter
	After   int64 // 0 for the first page
	Next    int64 // the After of the next page, 0 for the last
	All     bool  // all are chosen
}

func (h *Handler) deadLetters(q *request) (*answer, error) {
	query := q.URL.Query()
	var page deadLetters
	var err error
	if text := query.Get("after"); text != "" {
		if page.After, err = eventID(text); err != nil {
			return nil, err
		}
	}
	page.All = query.Has("all")
	page.Letters, err = h.tracker.DeadLetters(q.Context(), delivery.DeadQuery{After: page.After, Limit: deadPage + 1})
	if err != nil {
		return nil, err
	}
	if len(page.Letters) > deadPage {
		page.Letters = page.Letters[:deadPage]
		page.Next = page.Letters[deadPage-1].Event.ID
	}
	return &answer{page: "dead", title: "Dead letters", data: page}, nil
}

func eventID(text string) (int64, error) {
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil || id < 1 {
		return 0, &problem{http.StatusBadRequest, "An event’s id is a number."}
	}
	return id, nil
}

// chosen returns the events that a form names, in order.
func (q *request) chosen(form url.Values) (ids []int64, err error) {
	if !q.mayAct {
		return nil, &problem{http.StatusForbidden, "You may look at dead letters, but not replay or discard them."}
	}
	if n := len(form["event"]); n == 0 || n > deadPage {
		return nil, &problem{http.StatusBadRequest, fmt.Sprintf("Choose 1 to %d dead letters.", deadPage)}
	}
	for _, text := range form["event"] {
		id, err := eventID(text)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return slices.Compact(slices.Sorted(slices.Values(ids))), nil
}

// confirmation asks whether dead letters are meant. Its form names those that it shows.
type confirmation struct {
	Discard bool
	Letters []delivery.DeadLetter
	LeftOut int // chosen, and not among the dead letters any more, or unreadable and so not to be replayed
}

func (h *Handler) confirm(q *request) (*answer, error) {
	query := q.URL.Query()
	ids, err := q.chosen(query)
	if err != nil {
		return nil, err
	}
	c := confirmation{Discard: query.Get("do") == "discard"}
	if !c.Discard && query.Get("do") != "replay" {
		return nil, &problem{http.StatusBadRequest, "Say whether to replay or to discard."}
	}
	dead, err := h.tracker.DeadLetters(q.Context(), delivery.DeadQuery{After: ids[0] - 1, Limit: 2 * deadPage})
	if err != nil {
		return nil, err
	}
	for _, d := range dead {
		if _, meant := slices.BinarySearch(ids, d.Event.ID); meant && (c.Discard || d.Event.Kind.Valid()) {
			c.Letters = append(c.Letters, d)
		}
	}
	c.LeftOut = len(ids) - len(c.Letters)
	title := "Replay " + count(len(c.Letters), "dead letter") + "?"
	if c.Discard {
		title = "Discard " + count(len(c.Letters), "dead letter") + "?"
	}
	return &answer{page: "confirm", title: title, data: c}, nil
}

// done says what became of a dead letter.
type done struct {
	Event  int64
	Moved  bool
	Became string
	Error  string // which may contain ids
}

func (h *Handler) replay(q *request) (*answer, error) {
	return h.resolve(q, "replayed", func(id int64) error { return h.tracker.Replay(q.Context(), id) })
}

func (h *Handler) discard(q *request) (*answer, error) {
	return h.resolve(q, "discarded", func(id int64) error { return h.tracker.Discard(q.Context(), id) })
}

// resolve moves the dead letters that a form names, one by one, so that each has its own result. It
// ends at the first failure.
func (h *Handler) resolve(q *request, verb string, move func(id int64) error) (*answer, error) {
	if err := q.ParseForm(); err != nil {
		return nil, &problem{http.StatusBadRequest, "This form cannot be read."}
	}
	ids, err := q.chosen(q.PostForm)
	if err != nil {
		return nil, err
	}
	var all []done
	moved, status := 0, http.StatusNotFound
	for _, id := range ids {
		switch err = move(id); {
		case err == nil:
			moved, status = moved+1, http.StatusOK
			all = append(all, done{Event: id, Moved: true, Became: "was " + verb})
			h.opts.Logger.InfoContext(q.Context(), "inspector: a dead letter was "+verb, "event", id)
			continue
		case errors.Is(err, delivery.ErrNotFound):
			all = append(all, done{Event: id, Became: "is no dead letter, or not any more"})
			continue
		}
		h.report(q.Request, err)
		p := problemOf(err)
		status = p.status
		became := "was not " + verb
		if errors.Is(err, delivery.ErrOutcomeUnknown) {
			became = "may have been " + verb
		}
		all = append(all, done{Event: id, Became: became, Error: p.text})
		break
	}
	return &answer{status: status, page: "done", title: fmt.Sprintf("%d of %s %s", moved, count(len(ids), "dead letter"), verb), data: all}, nil
}

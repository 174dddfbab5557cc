package sseadapter

import (
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// chunk is how many bytes are gathered before they are written. A write has one deadline.
const chunk = 64 << 10

// writer writes one response, and nothing of it without a deadline.
type writer struct {
	response http.ResponseWriter
	control  *http.ResponseController
	timeout  time.Duration
	buffer   []byte
}

func newWriter(w http.ResponseWriter, timeout time.Duration) *writer {
	return &writer{response: w, control: http.NewResponseController(w), timeout: timeout}
}

// refuse answers with a status, at which an EventSource gives up.
func (w *writer) refuse(status int) {
	_ = w.deadline() // the answer is short, and the server has deadlines for such
	http.Error(w.response, http.StatusText(status), status)
}

// later answers with a stream that ends at once, and has the client come again after about pause.
func (w *writer) later(pause time.Duration) {
	if w.begin() == nil {
		w.retry(pause)
		_ = w.flush()
	}
}

// begin prepares the response of a stream. If the ResponseWriter cannot do what a stream needs, the
// response is a 500.
func (w *writer) begin() error {
	if err := w.deadline(); err != nil {
		http.Error(w.response, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return fmt.Errorf("the ResponseWriter supports no deadlines; does a middleware hide them? %w", err)
	}
	header := w.response.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-store, no-transform")
	header.Set("X-Accel-Buffering", "no") // nginx would hold back even the head
	header.Set("X-Content-Type-Options", "nosniff")
	return nil
}

// retry tells the client after what time to come again when the stream has ended.
func (w *writer) retry(pause time.Duration) {
	w.buffer = append(w.buffer, "retry: "...)
	w.buffer = strconv.AppendInt(w.buffer, jitter(pause).Milliseconds(), 10)
	w.buffer = append(w.buffer, "\n\n"...)
}

// event writes an event, soon or at the next flush. Neither name nor data nor id has a line break.
func (w *writer) event(name string, id, data []byte) error {
	w.buffer = append(append(append(w.buffer, "event: "...), name...), "\nid: "...)
	w.buffer = append(append(w.buffer, id...), "\ndata: "...)
	w.buffer = append(append(w.buffer, data...), "\n\n"...)
	if len(w.buffer) >= chunk {
		return w.flush()
	}
	return nil
}

// pending reports whether something was written and not sent.
func (w *writer) pending() bool { return len(w.buffer) > 0 }

// flush sends what was written. Its error is a [*leftError].
func (w *writer) flush() error {
	if !w.pending() {
		return nil
	}
	err := w.deadline()
	if err == nil {
		_, err = w.response.Write(w.buffer)
	}
	w.buffer = w.buffer[:0]
	if cap(w.buffer) > 4*chunk {
		w.buffer = nil
	}
	if err == nil {
		err = w.control.Flush()
	}
	if err == nil {
		err = w.control.SetWriteDeadline(time.Time{}) // HTTP/2 would end the stream then, written to or not
	}
	if err != nil {
		return &leftError{err}
	}
	return nil
}

// end flushes, and leaves a deadline for what the server writes after the handler.
func (w *writer) end() {
	_ = w.flush() // the stream ends anyway
	_ = w.deadline()
}

func (w *writer) deadline() error { return w.control.SetWriteDeadline(time.Now().Add(w.timeout)) }

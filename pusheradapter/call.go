package pusheradapter

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/pusher/pusher-http-go/v5"
)

// maxAnswer is how much of an answer is read. Nothing in it is needed but a hidden error.
const maxAnswer = 64 << 10

// call sends triggers to the endpoint in one HTTP request, and returns what it says of them.
// pusher-http-go knows no context, gives back no status, reads without limit, and prints signed
// URLs in its errors; a copy of its client with a transport of this call's own cures all of it.
//
// The key is the same when the same events are sent again. A server that knows X-Idempotency-Key
// then publishes them once.
func (n *Notifier) call(ctx context.Context, triggers []outgoing, key string) error {
	ctx, cancel := context.WithTimeout(ctx, n.timeout)
	defer cancel()

	watch := &watcher{ctx: ctx, base: n.transport, key: key}
	client := n.client
	client.HTTPClient = &http.Client{
		Transport:     watch,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	var err error
	if len(triggers) == 1 {
		t := &triggers[0]
		_, err = client.TriggerWithParams(t.Channel, t.Name, t.Data, pusher.TriggerParams{SocketID: t.socketID()})
	} else {
		batch := make([]pusher.Event, len(triggers))
		for i := range triggers {
			t := &triggers[i]
			batch[i] = pusher.Event{Channel: t.Channel, Name: t.Name, Data: t.Data, SocketID: t.socketID()}
		}
		_, err = client.TriggerBatch(batch)
	}
	switch {
	case watch.status/100 == 2 && err == nil:
		return nil
	case watch.status != 0 && watch.status/100 != 2:
		return withPause(&Error{Status: watch.status}, watch.retryAfter)
	default:
		return &Error{err: redact(err, watch.url.RawQuery, watch.url.Query().Get("auth_signature"), n.client.Key, n.client.Secret)}
	}
}

// watcher is the transport of one call: it lends the call its context, takes down what the answer
// says, and hands on an answer that pusher-http-go can read. It is used by one goroutine only.
type watcher struct {
	ctx  context.Context
	base http.RoundTripper
	key  string

	url        url.URL // signed, to be kept out of errors
	status     int     // of the answer; 0 if none came
	retryAfter string
}

// RoundTrip implements [http.RoundTripper].
func (w *watcher) RoundTrip(request *http.Request) (*http.Response, error) {
	w.url = *request.URL
	request = request.Clone(w.ctx)
	// It also tells the transport that a request which met a connection just closed by the server
	// may be sent again. It may: events are idempotent.
	request.Header.Set("X-Idempotency-Key", w.key)

	response, err := w.base.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil && response.StatusCode/100 == 2 {
		return nil, err // accepted, or an error hidden in the rest of the body
	}
	w.status, w.retryAfter = response.StatusCode, response.Header.Get("Retry-After")
	var hidden struct{ Code int }
	if w.status/100 == 2 && json.Unmarshal(body, &hidden) == nil && hidden.Code >= 400 {
		w.status = hidden.Code // some self-hosted servers answer every error with 200
	}
	// An accepted call may be answered with "ok", or with nothing at all. The library takes
	// JSON only, and nothing that can stand there is needed.
	return &http.Response{
		StatusCode: w.status,
		Proto:      response.Proto,
		ProtoMajor: response.ProtoMajor,
		ProtoMinor: response.ProtoMinor,
		Header:     http.Header{},
		Body:       io.NopCloser(bytes.NewReader([]byte("{}"))),
		Request:    request,
	}, nil
}

// newTransport returns a transport that keeps as many connections as there may be calls at a time,
// and as many again, since a connection becomes idle a moment after its call has ended.
func newTransport(calls int) *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		TLSHandshakeTimeout:    5 * time.Second,
		MaxIdleConnsPerHost:    2 * calls,
		IdleConnTimeout:        30 * time.Second, // sooner than any server or proxy is likely to drop it
		MaxResponseHeaderBytes: 64 << 10,
		ForceAttemptHTTP2:      true,
	}
}

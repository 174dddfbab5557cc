package pusheradapter_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/msgdelivery/delivery/pusheradapter/pushertest"
)

// limiting is a proxy that refuses requests with too large a body, or with a poison in it.
type limiting struct {
	next   http.RoundTripper
	bytes  int64
	poison string

	mu       sync.Mutex
	requests int
	keys     []string
}

func (l *limiting) RoundTrip(r *http.Request) (*http.Response, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests++
	l.keys = append(l.keys, r.Header.Get("X-Idempotency-Key"))
	body, r, err := readAgain(r)
	if err != nil {
		return nil, err
	}
	if int64(len(body)) > l.bytes || l.poison != "" && strings.Contains(string(body), l.poison) {
		return &http.Response{StatusCode: 413, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
	}
	return l.next.RoundTrip(r)
}

// readAgain returns the body of a request, and the request with the body unread.
func readAgain(r *http.Request) ([]byte, *http.Request, error) {
	body, err := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	return body, r, err
}

// spoiling is a proxy that takes away the name of the event of the conversation c2, which no server
// takes without.
type spoiling struct{ next *pushertest.Server }

func (s spoiling) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	before, after, ok := bytes.Cut(body, []byte(`"channel":"private-conv-c2","name":"message"`))
	if ok {
		body = slices.Concat(before, []byte(`"channel":"private-conv-c2","name":""`), after)
	} else if bytes.Contains(body, []byte(`"private-conv-c2"`)) {
		body = bytes.Replace(body, []byte(`"name":"message"`), []byte(`"name":""`), 1) // the only event of the request
	}
	// Signed again, as the body is another.
	sum := md5.Sum(body)
	query := r.URL.Query()
	query.Del("auth_signature")
	query.Set("body_md5", hex.EncodeToString(sum[:]))
	mac := hmac.New(sha256.New, []byte(s.next.Secret))
	text, err := url.QueryUnescape(query.Encode())
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(mac, "%s\n%s\n%s", r.Method, r.URL.Path, text)
	query.Set("auth_signature", hex.EncodeToString(mac.Sum(nil)))
	r = r.Clone(r.Context())
	r.URL.RawQuery = query.Encode()
	r.Body = io.NopCloser(bytes.NewReader(body))
	return s.next.RoundTrip(r)
}

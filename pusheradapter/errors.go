package pusheradapter

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/msgdelivery/delivery"
)

// Error reports that the endpoint refused a call, or gave no valid answer to it. Neither its text
// nor the error that it wraps contains a key, a signature or anything that was sent.
type Error struct {
	// Status is the endpoint's HTTP status. If a server answers 200 with an error in the body, it
	// is the status in the body. It is 0 if no answer came.
	Status int

	err   error         // why no answer came
	pause time.Duration // that a 429 asked for
}

func (e *Error) Error() string {
	if e.Status == 0 {
		return fmt.Sprintf("pusheradapter: no answer from the endpoint: %v", e.err)
	}
	return fmt.Sprintf("pusheradapter: the endpoint answered %d%s", e.Status, advice(e.Status))
}

// Unwrap returns why no answer came, such as [context.DeadlineExceeded], or nil if one came.
func (e *Error) Unwrap() error { return e.err }

// advice is what an operator should look at first.
func advice(status int) string {
	switch {
	case status == http.StatusUnauthorized:
		return ": check key, secret and the clock"
	case status == http.StatusForbidden:
		return ": the app is disabled or over its quota"
	case status == http.StatusNotFound:
		return ": check app id, host and cluster"
	case status == http.StatusRequestEntityTooLarge:
		return ": too large for it"
	case 300 <= status && status < 400:
		return ": a redirect, which is never followed; check host and scheme"
	}
	return ""
}

// blamesTrigger reports whether a status speaks of what was sent, and not of the endpoint. Reverb
// answers 422 where the others answer 400.
func blamesTrigger(status int) bool {
	return status == http.StatusBadRequest || status == http.StatusRequestEntityTooLarge || status == http.StatusUnprocessableEntity
}

// Pauses before the endpoint is tried again: nothing heals such a status by itself within seconds.
const (
	configPause = 30 * time.Second
	quotaPause  = time.Minute
)

// withPause adds to a status error how long the endpoint is better left alone.
func withPause(err *Error, retryAfter string) error {
	switch status := err.Status; {
	case status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable:
		if d, ok := parseRetryAfter(retryAfter); ok {
			err.pause = d
			return delivery.RetryAfter(err, d)
		}
	case status == http.StatusForbidden:
		return delivery.RetryAfter(err, quotaPause)
	case status == http.StatusUnauthorized, status == http.StatusNotFound, 300 <= status && status < 400:
		return delivery.RetryAfter(err, configPause)
	}
	return err
}

// parseRetryAfter reads either form of the header: seconds, or a date. Some servers send fractions
// of a second.
func parseRetryAfter(header string) (time.Duration, bool) {
	header = strings.TrimSpace(header)
	if strings.Trim(header, "0123456789.") == "" {
		seconds, err := strconv.ParseFloat(header, 64)
		return time.Duration(seconds * float64(time.Second)), err == nil && seconds < 1<<31
	}
	at, err := http.ParseTime(header)
	if err != nil {
		return 0, false
	}
	return max(0, time.Until(at)), true
}

// redact makes a transport's error fit to be logged. A [*url.Error] prints the whole URL, with a
// signature that is good for ten minutes, so only what it wraps is kept; and if the rest still
// tells a secret, only its cleaned text is kept, and whether it was the context's end.
func redact(err error, secrets ...string) error {
	var withURL *url.Error
	if errors.As(err, &withURL) && withURL.Err != nil {
		err = withURL.Err
	}
	text := err.Error()
	clean := text
	for _, secret := range secrets {
		if secret != "" {
			clean = strings.ReplaceAll(clean, secret, "REDACTED")
		}
	}
	if clean == text {
		return err
	}
	for _, end := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, end) {
			return fmt.Errorf("%w (%s)", end, clean)
		}
	}
	return errors.New(clean)
}

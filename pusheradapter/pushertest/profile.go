package pushertest

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httputil"
	"strings"
)

// Profile is how one server that speaks the Pusher protocol differs from the others in its HTTP
// API. The zero Profile is [Pusher].
type Profile struct {
	request     int   // bytes of a whole request, header included, at most; 0 is no limit of its own
	data        int   // bytes of one event's data, at most; 0 is MaxEventData
	batch       int   // events of a batch, at most; 0 is MaxBatch, and -1 no limit
	invalid     int   // the status of an event that is not valid; 0 is 400
	names       names // of channels, that it takes from the app
	hidden      bool  // errors are in the body of a 200
	idempotency bool  // a request that repeats an X-Idempotency-Key is answered, and publishes nothing
	infoNeeded  bool  // a presence member without user_info is not among those that newcomers are told of
}

// names is which names of channels the HTTP API takes.
type names int

const (
	pusherNames  names = iota // checkChannelName's
	sockudoNames              // up to 200 characters, without "," and ";"
	anyNames
)

// The profiles. Limits are the servers' defaults.
var (
	// Pusher is hosted Pusher Channels: 10,240 bytes of data, 10 events in a batch, 400 for an
	// event that is not valid and 413 for one that is too large. Source: Pusher's documentation of
	// its HTTP API and the texts of its errors.
	Pusher = Profile{}

	// Reverb is Laravel Reverb 1.10: 10,000 bytes for a whole request, after which it answers 413
	// in plain text; 422 for an event that is not valid; batches of any length; channels of any
	// name. Source: its code (max_request_size in config/reverb.php, EventsController).
	Reverb = Profile{request: 10_000, data: 1 << 20, batch: -1, invalid: http.StatusUnprocessableEntity, names: anyNames}

	// Sockudo is Sockudo 5.0: 100 KB of data, 10 events in a batch, names of channels of up to 200
	// characters without "," and ";", and X-Idempotency-Key. Source: its code and documentation.
	Sockudo = Profile{data: 100 << 10, names: sockudoNames, idempotency: true}

	// Soketi is soketi 1.6: 100 KB of data, 10 events in a batch, channels of any name, every error
	// in the body of a 200, and no presence member without user_info. Source: runs of soketi 1.6.1.
	// A test of this project checks the profile against it.
	Soketi = Profile{data: 100 << 10, names: anyNames, hidden: true, infoNeeded: true}
)

// checkName refuses the name of a channel that an event may not be published on.
func (p *Profile) checkName(name string) error {
	switch p.names {
	case anyNames:
		return nil
	case sockudoNames:
		if len(name) > 200 {
			return fmt.Errorf("channel name too long (%d > 200)", len(name))
		}
		if strings.ContainsAny(name, ",;") || !channelPattern.MatchString(strings.TrimPrefix(name, "#")) {
			return errors.New("invalid channel name")
		}
		return nil
	}
	return checkChannelName(name)
}

func (p *Profile) maxData() int {
	if p.data == 0 {
		return MaxEventData
	}
	return p.data
}

func (p *Profile) maxBatch() int {
	switch p.batch {
	case 0:
		return MaxBatch
	case -1:
		return maxBody
	}
	return p.batch
}

// invalidStatus is the status of an event that is not valid.
func (p *Profile) invalidStatus() int {
	if p.invalid == 0 {
		return http.StatusBadRequest
	}
	return p.invalid
}

// tooLarge reports whether a request exceeds the limit for whole requests.
func (p *Profile) tooLarge(r *http.Request, body []byte) bool {
	if p.request == 0 {
		return false
	}
	header, err := httputil.DumpRequest(r, false)
	return err != nil || len(header)+len(body) > p.request
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliveryhttp"
	"github.com/msgdelivery/delivery/internal/bench/load"
	"github.com/msgdelivery/delivery/internal/bench/peer"
	"github.com/msgdelivery/delivery/internal/integration/engines"
)

func catchUpName(peer string, delay time.Duration) string {
	return fmt.Sprintf("CatchUp/peer=%s/stub=%v", peer, delay)
}

const (
	unitRequests  = "requests"
	unitStmts     = "statements"
	unitAllEvents = "events"
	unitAllCalls  = "calls"
	unitAnswered  = "answered-sec" // from the first request to the last answer
	unitDone      = "accepted-sec" // from the first request until all is accepted

	catchUpPatience = time.Minute
	browserConns    = 6 // as many as a browser opens to one host
)

// catchUp measures a user who comes back to one conversation with many unread messages, over HTTP:
// with one mark up to the last of them, and as the tutorial's page does it, with a request for
// each.
func (b *bench) catchUp() experiment {
	var ours, tutorial *place
	return experiment{
		name: "catchup",
		prepare: func(ctx context.Context) (err error) {
			f := peer.Fixture{Messages: b.unread, Conversations: 1, Recent: b.unread}
			if ours, err = b.newPlace(ctx, peer.Ours(engines.Postgres), f); err != nil {
				return err
			}
			tutorial, err = b.newPlace(ctx, peer.Inline, f)
			return err
		},
		round: func(ctx context.Context, round int) error {
			for i, delay := range stubDelays {
				if err := b.catchUpAtOnce(ctx, ours, delay, fmt.Sprintf("reader-%d-%d", round, i)); err != nil {
					return err
				}
				if err := b.catchUpOneByOne(ctx, tutorial, delay); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func (b *bench) catchUpAtOnce(ctx context.Context, at *place, delay time.Duration, user string) error {
	tracker, err := peer.NewTracker(at.Env, nil)
	if err != nil {
		return err
	}
	// Without a relay nothing but the request itself sends statements: they are counted with
	// another user.
	_, statements, err := markAllOverHTTP(ctx, at, tracker, user+"-counted")
	if err != nil {
		return err
	}
	if err := peer.Ours(engines.Postgres).Forget(ctx, at.Env); err != nil {
		return err
	}
	defer peer.Relay(tracker)()
	time.Sleep(pauseAtStart)
	if err := b.lab.Stub.Reset(ctx, delay); err != nil {
		return err
	}
	began := time.Now()
	answered, _, err := markAllOverHTTP(ctx, at, tracker, user)
	if err != nil {
		return err
	}
	return b.noteCatchUp(ctx, catchUpName("ours", delay), began, answered, 1, statements)
}

func everyone(context.Context, delivery.Draft) (delivery.Audience, error) {
	return delivery.Audience{Open: true}, nil
}

// markAllOverHTTP has the user mark all messages by one request, and returns when it was answered
// and how many statements were sent until then.
func markAllOverHTTP(ctx context.Context, at *place, tracker *delivery.Tracker, user string) (answered time.Time, statements int, err error) {
	identify := func(r *http.Request) (string, error) { return r.Header.Get("User"), nil }
	api, err := deliveryhttp.New(tracker, identify, &deliveryhttp.Options{Audience: everyone})
	if err != nil {
		return answered, 0, err
	}
	server := httptest.NewServer(api)
	defer server.Close()
	body, err := json.Marshal(map[string]string{
		"conversation": peer.Conversation(1), "message": peer.ID(at.Messages - 1), "status": "delivered", "socket": "1.1",
	})
	if err != nil {
		return answered, 0, err
	}
	before := at.Tally.Statements()
	answer, err := post(ctx, server.Client(), server.URL+"/marks/up-to", "application/json", user, body)
	answered, statements = time.Now(), at.Tally.Statements()-before
	var result delivery.UpToResult
	if err == nil {
		err = json.Unmarshal(answer, &result)
	}
	if err == nil && result.Changed != at.Messages {
		err = fmt.Errorf("%d of %d messages were marked", result.Changed, at.Messages)
	}
	return answered, statements, err
}

func (b *bench) catchUpOneByOne(ctx context.Context, at *place, delay time.Duration) error {
	if err := b.lab.Stub.Reset(ctx, delay); err != nil {
		return err
	}
	marker, err := peer.Inline.Open(ctx, at.Env)
	if err != nil {
		return err
	}
	defer marker.Close()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /conversations/{i}/delivered", func(w http.ResponseWriter, r *http.Request) {
		i, err := strconv.Atoi(r.PathValue("i"))
		if err == nil {
			err = marker.Mark(r.Context(), i)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		io.WriteString(w, "ok")
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: browserConns}}
	defer client.CloseIdleConnections()

	before, began := at.Tally.Statements(), time.Now()
	var next atomic.Int64
	done, err := load.Run(ctx, browserConns, load.Limit{Calls: at.Messages, For: catchUpPatience}, &next, func(ctx context.Context, i int) error {
		_, err := post(ctx, client, fmt.Sprintf("%s/conversations/%d/delivered", server.URL, i), "application/x-www-form-urlencoded", "", nil)
		return err
	})
	if err != nil {
		return err
	}
	return b.noteCatchUp(ctx, catchUpName("inline", delay), began, time.Now(), done.Calls, at.Tally.Statements()-before)
}

func (b *bench) noteCatchUp(ctx context.Context, name string, began, answered time.Time, requests, statements int) error {
	accepted, ok := b.await(ctx, b.unread, catchUpPatience)
	if !ok {
		return fmt.Errorf("%s: not all was accepted within %v", name, catchUpPatience)
	}
	counts, err := b.lab.Stub.Counts(ctx)
	b.results.add(name, values{
		unitRequests: float64(requests), unitStmts: float64(statements),
		unitAllEvents: float64(counts.Events), unitAllCalls: float64(counts.Calls),
		unitAnswered: answered.Sub(began).Seconds(), unitDone: accepted.Sub(began).Seconds(),
	})
	return err
}

// post makes a request and returns the answer to it, which must be a 200.
func post(ctx context.Context, client *http.Client, url, contentType, user string, body []byte) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", contentType)
	request.Header.Set("User", user)
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", url, response.Status)
	}
	return answer, err
}

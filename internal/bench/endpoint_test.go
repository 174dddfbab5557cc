package main

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/bench/load"
	"github.com/msgdelivery/delivery/internal/bench/peer"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/pusheradapter"
	"github.com/msgdelivery/delivery/sqlstore"
)

// slowEndpoint is a Notifier whose calls take the delay, and that counts.
type slowEndpoint struct {
	delivery.Notifier // nil: the delay alone
	delay             time.Duration
	calls, now, most  atomic.Int64
	events, marks     atomic.Int64
}

func (e *slowEndpoint) Notify(ctx context.Context, events []delivery.Event) error {
	now := e.now.Add(1)
	defer e.now.Add(-1)
	for most := e.most.Load(); now > most && !e.most.CompareAndSwap(most, now); most = e.most.Load() {
	}
	if e.Notifier == nil {
		time.Sleep(e.delay)
	} else if err := e.Notifier.Notify(ctx, events); err != nil {
		return err
	}
	e.calls.Add(1)
	e.events.Add(int64(len(events)))
	for _, event := range events {
		e.marks.Add(int64(len(event.Updates)))
	}
	return nil
}

const (
	endpointWarmUp = 6 * time.Second
	endpointTurn   = 10 * time.Second
)

// BenchmarkEndpoint marks, and says how much of what was taken an endpoint of some latency has
// accepted in the same time. It is for -benchtime 1x: each takes 16 s.
//
//	go test -run - -bench Endpoint -benchtime 1x .
func BenchmarkEndpoint(b *testing.B) {
	for _, via := range []string{"func", "pusher"} {
		for _, delay := range []time.Duration{20 * time.Millisecond, 100 * time.Millisecond, 300 * time.Millisecond} {
			b.Run(fmt.Sprintf("via=%s/callers=64/delay=%v", via, delay), func(b *testing.B) {
				for b.Loop() {
					benchmarkEndpoint(b, via == "pusher", delay)
				}
			})
		}
	}
}

func benchmarkEndpoint(b *testing.B, pusher bool, delay time.Duration) {
	ctx, p := b.Context(), peer.Ours(engines.Postgres)
	at, err := tested.place(ctx, p)
	must(b, err)
	must(b, at.Stub.Reset(ctx, delay))
	endpoint := &slowEndpoint{delay: delay}
	if pusher {
		config, err := pusheradapter.ParseURL(at.Stub.URL())
		must(b, err)
		endpoint.Notifier, err = pusheradapter.New(config, nil)
		must(b, err)
	}
	tracker := relayTo(b, at, p, endpoint)
	mark := func(ctx context.Context, i int) error {
		m := at.Marked(i)
		_, err := tracker.MarkDelivered(ctx, delivery.Actor{User: m.User, Socket: m.Socket}, m.ID())
		return err
	}
	_, err = load.Run(ctx, 64, load.Limit{Calls: 1 << 30, For: endpointWarmUp}, &at.next, mark)
	must(b, err)
	calls, events, marks := endpoint.calls.Load(), endpoint.events.Load(), endpoint.marks.Load()
	done, err := load.Run(ctx, 64, load.Limit{Calls: 1 << 30, For: endpointTurn}, &at.next, mark)
	must(b, err)
	calls, events, marks = endpoint.calls.Load()-calls, endpoint.events.Load()-events, endpoint.marks.Load()-marks
	backlog, err := tracker.Backlog(ctx)
	must(b, err)
	b.ReportMetric(done.Rate(), unitMarks)
	b.ReportMetric(float64(marks)/done.Took.Seconds(), unitAccepted)
	b.ReportMetric(float64(marks)/float64(done.Calls), "accepted/mark")
	b.ReportMetric(float64(events)/float64(calls), "events/call")
	b.ReportMetric(float64(endpoint.most.Load()), "calls-at-most")
	b.ReportMetric(float64(backlog.Waiting), "waiting")
	b.ReportMetric(0, "ns/op")
}

// relayTo returns a Tracker over an empty outbox, with a relay that runs until the benchmark ends.
func relayTo(b *testing.B, at *place, p peer.Peer, notifier delivery.Notifier) *delivery.Tracker {
	must(b, p.Forget(b.Context(), at.Env))
	must(b, at.Settle(b.Context()))
	store, err := sqlstore.New(at.Pool, sqlstore.Postgres)
	must(b, err)
	tracker, err := delivery.New(store, notifier, &delivery.Options{OpenConversations: true, Logger: peer.Quiet})
	must(b, err)
	b.Cleanup(peer.Relay(tracker))
	return tracker
}

// BenchmarkBeside measures how long an event takes to be accepted by an endpoint of 30 ms, alone
// and beside senders who fill their conversations. It is for -benchtime 1x, too.
func BenchmarkBeside(b *testing.B) {
	for _, senders := range []int{0, 1, 32} {
		b.Run(fmt.Sprint("senders=", senders), func(b *testing.B) {
			for b.Loop() {
				benchmarkBeside(b, senders)
			}
		})
	}
}

func benchmarkBeside(b *testing.B, senders int) {
	const messages, callers, quiet = 45_000, 32, 100
	ctx, p := b.Context(), peer.Ours(engines.Postgres)
	at, err := tested.place(ctx, p)
	must(b, err)
	run := fmt.Sprint(time.Now().UnixNano(), "-")
	accepted := make(chan time.Time, 1)
	endpoint := &slowEndpoint{delay: 30 * time.Millisecond}
	tracker := relayTo(b, at, p, delivery.NotifierFunc(func(ctx context.Context, events []delivery.Event) error {
		err := endpoint.Notify(ctx, events)
		for _, e := range events {
			if e.Conversation == run+"quiet" {
				accepted <- time.Now()
			}
		}
		return err
	}))
	send := func(ctx context.Context, conversation string) error {
		_, err := tracker.Send(ctx, delivery.Draft{Conversation: run + conversation, Sender: "alice", Audience: delivery.Audience{Open: true}})
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	sent := make(chan error, 1)
	go func() {
		var next atomic.Int64
		_, err := load.Run(ctx, callers, load.Limit{Calls: min(senders, 1) * messages, For: time.Hour}, &next, func(ctx context.Context, i int) error {
			return send(ctx, fmt.Sprint("busy", i%senders))
		})
		sent <- err
	}()
	time.Sleep(time.Second)
	var waits []time.Duration
	for range quiet {
		must(b, send(ctx, "quiet"))
		began := time.Now()
		waits = append(waits, (<-accepted).Sub(began))
		time.Sleep(10 * time.Millisecond)
	}
	backlog, err := tracker.Backlog(ctx)
	must(b, err)
	must(b, <-sent)
	slices.Sort(waits)
	b.ReportMetric(load.Quantile(waits, 0.5).Seconds(), unitP50)
	b.ReportMetric(load.Quantile(waits, 1).Seconds(), "longest-sec")
	b.ReportMetric(float64(backlog.Waiting), "waiting")
	b.ReportMetric(0, "ns/op")
}

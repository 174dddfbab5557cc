package main

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/bench/lab"
	"github.com/msgdelivery/delivery/internal/bench/load"
	"github.com/msgdelivery/delivery/internal/bench/peer"
	"github.com/msgdelivery/delivery/internal/bench/report"
	"github.com/msgdelivery/delivery/internal/bench/stub"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/memstore"
)

// The peers as Go benchmarks: for benchstat, and for profiles of one of them.

var tested *bench

func TestMain(m *testing.M) {
	stub.Serve()
	l, err := lab.Open()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer l.Close()
	tested = &bench{full, l, report.NewLog(), map[string]*place{}}
	m.Run()
}

// BenchmarkStored marks to the commit; nothing is published.
func BenchmarkStored(b *testing.B) {
	eachPeer(b, []peer.Peer{
		peer.Floor, peer.Rows, peer.Single, peer.InlineUnpublished,
		peer.OursUnpublished(engines.Postgres), peer.OursUnpublished(engines.MySQL), peer.OursUnpublished(engines.SQLite),
	}, func(b *testing.B, p peer.Peer, callers int) {
		benchmarkMarks(b, p, callers, -1)
	})
}

// BenchmarkAccepted marks until Pusher has accepted the events of all marks.
func BenchmarkAccepted(b *testing.B) {
	eachPeer(b, []peer.Peer{
		peer.Inline, peer.River, peer.Watermill, peer.Ours(engines.Postgres), peer.Ours(engines.MySQL), peer.Ours(engines.SQLite),
	}, func(b *testing.B, p peer.Peer, callers int) {
		for _, delay := range stubDelays {
			b.Run(fmt.Sprint("stub=", delay), func(b *testing.B) { benchmarkMarks(b, p, callers, delay) })
		}
	})
}

func eachPeer(b *testing.B, peers []peer.Peer, run func(b *testing.B, p peer.Peer, callers int)) {
	for _, p := range peers {
		for _, callers := range callerCounts {
			b.Run(fmt.Sprintf("peer=%s/callers=%d", p.Name, callers), func(b *testing.B) { run(b, p, callers) })
		}
	}
}

func benchmarkMarks(b *testing.B, p peer.Peer, callers int, delay time.Duration) {
	ctx := b.Context()
	at, err := tested.place(ctx, p)
	if err != nil && p.Kind != engines.Postgres {
		b.Skip(err)
	}
	must(b, err)
	must(b, p.Forget(ctx, at.Env))
	must(b, at.Stub.Reset(ctx, max(delay, 0)))
	marker, err := p.Open(ctx, at.Env)
	must(b, err)
	must(b, tested.warmUp(ctx, at, marker, callers, delay >= 0))
	must(b, at.Stub.Reset(ctx, max(delay, 0)))
	before, err := read(ctx, at.Database)
	must(b, err)
	b.ReportAllocs()
	b.ResetTimer()
	done, err := load.Run(ctx, callers, load.Limit{Calls: b.N, For: time.Minute}, &at.next, marker.Mark)
	must(b, err)
	if delay >= 0 {
		if _, ok := tested.await(ctx, done.Calls, time.Minute); !ok {
			b.Fatal("not all was accepted within a minute")
		}
	}
	b.StopTimer()
	after, err := read(ctx, at.Database)
	must(b, err)
	must(b, marker.Close())
	for _, v := range after.since(before, done.Calls, at.Database) {
		b.ReportMetric(v.Number, v.Unit)
	}
	b.ReportMetric(float64(done.Calls)/b.Elapsed().Seconds(), unitMarks)
	b.ReportMetric(float64(done.Quantile(0.5)), "p50-ns")
	b.ReportMetric(float64(done.Quantile(0.99)), "p99-ns")
}

// BenchmarkMemory marks in memory by a Tracker whose events nobody is told of.
func BenchmarkMemory(b *testing.B) {
	for _, callers := range callerCounts {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			f := peer.Fixture{Messages: full.messages, Conversations: full.messages / 100, Recent: full.messages}
			store := memstore.New()
			must(b, fillStore(b.Context(), store, f))
			tracker, err := newQuietTracker(store)
			must(b, err)
			marker := &memoryMarker{f, tracker, peer.Relay(tracker)}
			at := &place{}
			b.ReportAllocs()
			b.ResetTimer()
			done, err := load.Run(b.Context(), callers, load.Limit{Calls: b.N, For: time.Minute}, &at.next, marker.Mark)
			must(b, err)
			b.StopTimer()
			b.ReportMetric(done.Rate(), unitMarks)
			must(b, marker.Close())
		})
	}
}

// BenchmarkMarkUpTo marks ten new messages at once, in conversations of different length.
func BenchmarkMarkUpTo(b *testing.B) {
	stores := map[string]func(context.Context, int) (*delivery.Tracker, error){"postgres": tested.readInPostgres, "memory": readInMemory}
	for _, store := range []string{"postgres", "memory"} {
		for _, history := range []int{1000, 100_000} {
			b.Run(fmt.Sprintf("store=%s/history=%d", store, history), func(b *testing.B) {
				tracker, err := stores[store](b.Context(), history)
				must(b, err)
				var sum time.Duration
				for b.Loop() {
					took, err := markNew(b.Context(), tracker, peer.Conversation(1))
					must(b, err)
					sum += took
				}
				b.ReportMetric(float64(sum)/float64(b.N), "mark-ns") // without the sends
			})
		}
	}
}

func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

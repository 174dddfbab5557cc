package main

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/msgdelivery/delivery/internal/bench/lab"
	"github.com/msgdelivery/delivery/internal/bench/load"
	"github.com/msgdelivery/delivery/internal/bench/peer"
	"github.com/msgdelivery/delivery/internal/bench/stub"
	"github.com/msgdelivery/delivery/internal/integration/engines"
)

var tested *bench

func TestMain(m *testing.M) {
	stub.Serve()
	l, err := lab.Open()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer l.Close()
	tested = &bench{size: full, lab: l, results: newResults(), places: map[string]*place{}}
	m.Run()
}

// BenchmarkMarks marks to the commit, for profiles of one peer.
func BenchmarkMarks(b *testing.B) {
	for _, p := range []peer.Peer{peer.Rows, peer.InlineUnpublished, peer.OursUnpublished(engines.Postgres)} {
		for _, callers := range callerCounts {
			b.Run(fmt.Sprintf("peer=%s/callers=%d", p.Name, callers), func(b *testing.B) {
				at, err := tested.place(b.Context(), p)
				must(b, err)
				must(b, tested.warm(b.Context(), p, at, callers, -1, func(marker peer.Marker) error {
					b.ReportAllocs()
					b.ResetTimer()
					_, err := load.Run(b.Context(), callers, load.Limit{Calls: b.N, For: time.Minute}, &at.next, marker.Mark)
					b.StopTimer()
					return err
				}))
			})
		}
	}
}

func must(b testing.TB, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/bench/load"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/sqlstore"
)

// BenchmarkUnits measures the processor time of the calls that docs/scale.md counts, and that the
// other benchmarks leave out, on Postgres. An op is one call. Nothing is published.
func BenchmarkUnits(b *testing.B) {
	db, err := tested.lab.Database(b.Context(), engines.Postgres)
	must(b, err)
	must(b, sqlstore.Migrate(b.Context(), db.Pool, sqlstore.Postgres))
	store, err := sqlstore.New(db.Pool, sqlstore.Postgres)
	must(b, err)
	tracker, err := delivery.New(store, delivery.NotifierFunc(nil), &delivery.Options{OpenConversations: true})
	must(b, err)
	members := func(context.Context) (delivery.Members, error) {
		return delivery.Members{Users: []string{"alice", "bob", "carol", "dave"}}, nil
	}
	var next atomic.Int64
	conversation := func(i int) string { return fmt.Sprint("conversation ", i%1000) }
	send := func(ctx context.Context, i int) error {
		_, err := tracker.Send(ctx, delivery.Draft{
			ID: fmt.Sprint("m", i), Conversation: conversation(i), Sender: "alice", Body: "Shall we meet at noon, at the corner?",
			Audience: delivery.Audience{Roster: delivery.Roster{Key: "1", Members: members}},
		})
		return err
	}
	page := func(ctx context.Context, i int) error {
		_, err := tracker.Messages(ctx, delivery.Query{Conversation: conversation(i)})
		return err
	}
	var list []string
	for i := range 20 {
		list = append(list, conversation(i))
	}
	unread := func(ctx context.Context, _ int) error {
		_, err := tracker.Unread(ctx, delivery.Actor{User: "bob"}, list...)
		return err
	}
	prepare := func(calls int, call func(ctx context.Context, i int) error) {
		_, err := load.Run(b.Context(), 256, load.Limit{Calls: calls, For: time.Minute}, &next, call)
		must(b, err)
	}
	prepare(50_000, send)
	prepare(1000, func(ctx context.Context, i int) error { // bob has read them
		_, err := tracker.MarkUpTo(ctx, delivery.Actor{User: "bob"}, delivery.Read, delivery.MessageRef{Conversation: conversation(i), ID: fmt.Sprint("m", i-1000)})
		return err
	})
	prepare(3000, send)
	for _, unit := range []struct {
		name    string
		callers int
		call    func(ctx context.Context, i int) error
	}{{"page", 16, page}, {"unread", 16, unread}, {"send", 1, send}, {"send", 256, send}} {
		b.Run(fmt.Sprintf("call=%s/callers=%d", unit.name, unit.callers), func(b *testing.B) {
			before := db.CPU()
			_, err := load.Run(b.Context(), unit.callers, load.Limit{Calls: b.N, For: time.Minute}, &next, unit.call)
			must(b, err)
			used := db.CPU()
			b.ReportMetric(float64((used.Server-before.Server).Microseconds())/float64(b.N), "server-µs/op")
			b.ReportMetric(float64((used.Client-before.Client).Microseconds())/float64(b.N), "client-µs/op")
		})
	}
}

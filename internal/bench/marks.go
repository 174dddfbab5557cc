package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/msgdelivery/delivery/internal/bench/lab"
	"github.com/msgdelivery/delivery/internal/bench/load"
	"github.com/msgdelivery/delivery/internal/bench/peer"
	"github.com/msgdelivery/delivery/internal/integration/engines"
)

// Units of what is noted.
const (
	unitMarks      = "marks/s"
	unitAccepted   = "accepted/s"
	unitP50        = "p50-sec"
	unitP99        = "p99-sec"
	unitClient     = "client-sec/mark"
	unitServer     = "server-sec/mark"
	unitWAL        = "WAL-B/mark"
	unitStatements = "statements/mark"
	unitCalls      = "calls/mark"
)

var (
	callerCounts = []int{1, 16, 64, 256}
	stubDelays   = []time.Duration{0, 20 * time.Millisecond}
)

const (
	maxCalls     = 1_000_000 // in a cell, whatever its time
	warmUps      = 32        // marks before a cell, at least
	warmUpMayGo  = 2 * time.Second
	pauseAtStart = 10 * time.Millisecond
)

// storedName names a cell of marks that are committed and not published; acceptedName one of marks
// that are.
func storedName(peer string, callers int) string {
	return fmt.Sprintf("Stored/peer=%s/callers=%d", peer, callers)
}

func acceptedName(peer string, callers int, delay time.Duration) string {
	return fmt.Sprintf("Accepted/peer=%s/callers=%d/stub=%v", peer, callers, delay)
}

// marks measures single marks by many callers: to the commit alone, and until the stub has accepted
// their events.
func (b *bench) marks() experiment {
	stored := []peer.Peer{
		peer.Floor, peer.Rows, peer.Single, peer.InlineUnpublished, peer.OursUnpublished(engines.Postgres),
		peer.OursUnpublished(engines.MySQL), peer.OursUnpublished(engines.SQLite),
	}
	accepted := []peer.Peer{
		peer.Inline, peer.River, peer.Watermill, peer.Ours(engines.Postgres), peer.Ours(engines.MySQL), peer.Ours(engines.SQLite),
	}
	return experiment{
		name: "marks",
		prepare: func(ctx context.Context) (err error) {
			if stored, err = b.available(ctx, stored); err != nil {
				return err
			}
			accepted, err = b.available(ctx, accepted)
			return err
		},
		round: func(ctx context.Context, round int) error {
			for _, at := range b.places {
				if err := at.Settle(ctx); err != nil {
					return err
				}
			}
			for _, callers := range callerCounts {
				for _, p := range turned(stored, round) {
					if err := b.cell(ctx, storedName(p.Name, callers), p, b.places[p.Name], callers, -1); err != nil {
						return err
					}
				}
				for _, delay := range stubDelays {
					for _, p := range turned(accepted, round) {
						if delay > 0 && p.Kind != engines.Postgres {
							continue // the stub's delay is the same behind every database
						}
						if err := b.cell(ctx, acceptedName(p.Name, callers, delay), p, b.places[p.Name], callers, delay); err != nil {
							return err
						}
					}
				}
			}
			return nil
		},
	}
}

// turned returns them in an order that starts elsewhere in every round, so that nobody is always
// the first.
func turned[T any](all []T, round int) []T {
	if len(all) == 0 {
		return nil
	}
	at := round % len(all)
	return slices.Concat(all[at:], all[:at])
}

// cell measures one peer with so many callers for a while; with a delay of the stub's that is not
// negative, until the stub has accepted all that they marked, or the time for that is over.
func (b *bench) cell(ctx context.Context, name string, p peer.Peer, at *place, callers int, delay time.Duration) error {
	return b.warm(ctx, p, at, callers, delay, func(marker peer.Marker) error {
		before, err := read(ctx, at.Database)
		if err != nil {
			return err
		}
		done, err := load.Run(ctx, callers, load.Limit{Calls: maxCalls, For: b.turn}, &at.next, marker.Mark)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if delay >= 0 {
			b.await(ctx, done.Calls, b.drain)
		}
		after, err := read(ctx, at.Database)
		if err != nil {
			return err
		}
		measured := after.since(before, done.Calls, at.Database)
		measured[unitMarks] = done.Rate()
		measured[unitP50] = done.Quantile(0.5).Seconds()
		measured[unitP99] = done.Quantile(0.99).Seconds()
		if delay >= 0 {
			counts, err := b.lab.Stub.Counts(ctx)
			if err != nil {
				return err
			}
			measured[unitAccepted] = float64(counts.Marks) / time.Unix(0, counts.Last).Sub(done.Start).Seconds()
			measured[unitCalls] = float64(counts.Calls) / float64(counts.Marks)
		}
		b.results.add(name, measured)
		return nil
	})
}

// warm opens a peer that has nothing to publish, has it prepare its statements and make as many
// connections as so many callers need, and calls measure. A negative delay of the stub's is for
// peers that do not publish.
func (b *bench) warm(ctx context.Context, p peer.Peer, at *place, callers int, delay time.Duration, measure func(peer.Marker) error) (err error) {
	if err := p.Forget(ctx, at.Env); err != nil {
		return err
	}
	if err := b.lab.Stub.Reset(ctx, max(delay, 0)); err != nil {
		return err
	}
	marker, err := p.Open(ctx, at.Env)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, marker.Close()) }()
	time.Sleep(pauseAtStart) // relays look at their outbox when they start
	done, err := load.Run(ctx, callers, load.Limit{Calls: max(warmUps, 4*callers), For: warmUpMayGo}, &at.next, marker.Mark)
	if err != nil {
		return fmt.Errorf("%s: %w", p.Name, err)
	}
	if delay >= 0 {
		b.await(ctx, done.Calls, warmUpMayGo)
	}
	if err := b.lab.Stub.Reset(ctx, max(delay, 0)); err != nil {
		return err
	}
	return measure(marker)
}

// await waits until the stub has accepted so many marks, but no longer than patience.
func (b *bench) await(ctx context.Context, marks int, patience time.Duration) (time.Time, bool) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	at, err := b.lab.Stub.Wait(ctx, marks)
	return at, err == nil
}

// reading is what was used up to a moment.
type reading struct {
	cpu        lab.CPU
	wal        float64
	statements int
}

func read(ctx context.Context, db lab.Database) (r reading, err error) {
	r.cpu = db.CPU()
	if db.Tally != nil {
		r.statements = db.Tally.Statements()
	}
	r.wal, err = db.WAL(ctx)
	return r, err
}

// since returns what each of so many marks has used since an earlier reading, as far as the
// database tells.
func (r reading) since(earlier reading, marks int, db lab.Database) values {
	n, cpu := float64(marks), r.cpu.Sub(earlier.cpu)
	used := values{unitClient: cpu.Client.Seconds() / n}
	if db.Kind != engines.SQLite {
		used[unitServer] = cpu.Server.Seconds() / n
	}
	if db.Kind == engines.Postgres {
		used[unitWAL] = (r.wal - earlier.wal) / n
		if statements := r.statements - earlier.statements; statements > 2 { // else it uses a pool of its own
			used[unitStatements] = float64(statements) / n
		}
	}
	return used
}

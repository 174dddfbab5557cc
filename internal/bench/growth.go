package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/bench/load"
	"github.com/msgdelivery/delivery/internal/bench/peer"
	"github.com/msgdelivery/delivery/internal/bench/report"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/memstore"
)

// turnsTake is more than the turns in memory leave behind before garbage is collected.
const turnsTake = 3 << 30

// growthName names marks in a store of so many messages, of the newest of them or of any.
func growthName(store string, messages int, which string, callers int) string {
	return fmt.Sprintf("Growth/store=%s/messages=%d/which=%s/callers=%d", store, messages, which, callers)
}

// The stores that grow. Postgres does so for the peer rows, too, which shows what of it is the
// database's.
const (
	growthPostgres = "postgres"
	growthRows     = "rows"
	growthMemory   = "memory"
)

const (
	newestMessages = "newest"
	anyMessages    = "any"

	growthConversations = 1000
)

var growthCallers = []int{1, 256}

// grown is a store of a certain size.
type grown struct {
	store    string
	messages int
	which    string
	place    *place // its marks are counted here; with no database for memory
	marker   func() (peer.Marker, error)
}

// growPostgres compares marks in two databases of very different size: of the newest messages, as
// many in both, and of any. In each, the library and the peer rows mark the same messages for users
// of their own.
func (b *bench) growPostgres() experiment {
	return b.growth(growthPostgres, b.fillPostgres, func() {})
}

// growMemory does the same with two memstores.
//
// A collection of garbage takes time in proportion to all that is kept, and comes when that has
// doubled: the cost per mark does not depend on the size, but which cell it meets is chance. So it
// is left out of the cells. And so that the later cells do not pay for memory that nobody has used
// before, as much as all take is used once.
func (b *bench) growMemory() experiment {
	return b.growth(growthMemory, b.fillMemory, func() {
		debug.SetGCPercent(100)
		touched := make([]byte, turnsTake)
		for i := 0; i < len(touched); i += os.Getpagesize() {
			touched[i] = 1
		}
		runtime.GC()
		debug.SetGCPercent(-1)
	})
}

// growth compares two stores that fill makes. The turns of each number of callers begin with clean.
func (b *bench) growth(store string, fill func(context.Context, int) ([]grown, error), clean func()) experiment {
	var stores []grown
	return experiment{
		name: "growth-" + store,
		prepare: func(ctx context.Context) error {
			if b.huge == 0 {
				return nil
			}
			for _, messages := range []int{b.messages, b.huge} {
				began := time.Now()
				filled, err := fill(ctx, messages)
				if err != nil {
					return err
				}
				stores = append(stores, filled...)
				log.Printf("%s messages take %v to fill in", report.Count(float64(messages)), time.Since(began).Round(time.Second/10))
			}
			return nil
		},
		round: func(ctx context.Context, round int) error {
			defer debug.SetGCPercent(debug.SetGCPercent(100))
			for _, callers := range growthCallers {
				clean()
				for _, s := range turned(stores, round) {
					if err := b.growthCell(ctx, s, callers); err != nil {
						return err
					}
				}
			}
			return nil
		},
	}
}

func (b *bench) growthCell(ctx context.Context, s grown, callers int) (err error) {
	marker, err := s.marker()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, marker.Close()) }()
	_, err = load.Run(ctx, callers, load.Limit{Calls: 10 * warmUps, For: warmUpMayGo}, &s.place.next, marker.Mark)
	if err != nil {
		return err
	}
	before := s.place.CPU()
	done, err := load.Run(ctx, callers, load.Limit{Calls: maxCalls, For: b.turn}, &s.place.next, marker.Mark)
	if err != nil {
		return err
	}
	cpu := s.place.CPU().Sub(before)
	b.log.Add(growthName(s.store, s.messages, s.which, callers),
		report.Value{Unit: unitMarks, Number: done.Rate()},
		report.Value{Unit: unitP99, Number: done.Quantile(0.99).Seconds()},
		report.Value{Unit: unitClient, Number: cpu.Client.Seconds() / float64(done.Calls)},
		report.Value{Unit: unitServer, Number: cpu.Server.Seconds() / float64(done.Calls)},
	)
	return nil
}

// fixtures returns both ways to mark in a store of so many messages.
func (b *bench) fixtures(messages int) map[string]peer.Fixture {
	f := peer.Fixture{Messages: messages, Conversations: min(growthConversations, b.messages/100), Recent: b.messages}
	wide := f
	wide.Recent = messages
	return map[string]peer.Fixture{newestMessages: f, anyMessages: wide}
}

// otherUsers is how many passes over the messages lie between the users of two that mark in one
// store.
const otherUsers = 1000

func (b *bench) fillPostgres(ctx context.Context, messages int) (stores []grown, err error) {
	ours := peer.OursUnpublished(engines.Postgres)
	fixtures := b.fixtures(messages)
	at, err := b.newPlace(ctx, ours, fixtures[newestMessages])
	if err != nil {
		return nil, err
	}
	for _, marking := range []struct {
		store string
		peer  peer.Peer
	}{{growthPostgres, ours}, {growthRows, peer.Rows}} {
		p := marking.peer
		for _, which := range []string{newestMessages, anyMessages} {
			f := fixtures[which]
			own := &place{Env: at.Env}
			own.Fixture = f
			own.next.Store(int64(len(stores) * otherUsers * f.Recent))
			stores = append(stores, grown{marking.store, messages, which, own, func() (peer.Marker, error) {
				if err := p.Forget(ctx, own.Env); err != nil {
					return nil, err
				}
				return p.Open(ctx, own.Env)
			}})
		}
	}
	return stores, nil
}

func (b *bench) fillMemory(ctx context.Context, messages int) (stores []grown, err error) {
	fixtures := b.fixtures(messages)
	store := memstore.New()
	if err := fillStore(ctx, store, fixtures[newestMessages]); err != nil {
		return nil, err
	}
	for _, which := range []string{newestMessages, anyMessages} {
		f := fixtures[which]
		own := &place{Env: peer.Env{Fixture: f}}
		if which == anyMessages {
			own.next.Store(int64(otherUsers * f.Recent))
		}
		stores = append(stores, grown{growthMemory, messages, which, own, func() (peer.Marker, error) {
			tracker, err := newQuietTracker(store)
			if err != nil {
				return nil, err
			}
			return &memoryMarker{f, tracker, peer.Relay(tracker)}, nil
		}})
	}
	return stores, nil
}

// memoryMarker marks in memory; a relay that tells nobody keeps the outbox empty.
type memoryMarker struct {
	peer.Fixture
	tracker *delivery.Tracker
	stop    func()
}

func (m *memoryMarker) Mark(ctx context.Context, i int) error {
	mark := m.Marked(i)
	_, err := m.tracker.MarkDelivered(ctx, delivery.Actor{User: mark.User, Socket: mark.Socket}, mark.ID())
	return err
}

func (m *memoryMarker) Close() error {
	m.stop()
	return m.tracker.Flush(context.Background()) // or the next to come would have to
}

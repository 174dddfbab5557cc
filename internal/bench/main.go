// Bench measures the library beside what a Go team would write or use instead, all in turn, in
// several rounds, on servers of its own; then it prints a page of tables in Markdown, with the
// figures the library wants to reach.
//
//	go -C internal/bench run .                                 # to the terminal, in about 15 minutes
//	go -C internal/bench run . -quick                          # in two minutes, to see that it works
//	go -C internal/bench run . -o ../../docs/benchmarks.md     # into the page, with charts beside it
//	go -C internal/bench test -bench . ./...                   # the same peers as Go benchmarks, for benchstat
//
// It needs a machine with PostgreSQL's server programs, and MariaDB's for the rows about it;
// nothing else should run there.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/msgdelivery/delivery/internal/bench/lab"
	"github.com/msgdelivery/delivery/internal/bench/peer"
	"github.com/msgdelivery/delivery/internal/bench/report"
	"github.com/msgdelivery/delivery/internal/bench/stub"
	"github.com/msgdelivery/delivery/internal/integration/engines"
)

func main() {
	stub.Serve()
	log.SetFlags(log.Ltime)
	quick := flag.Bool("quick", false, "measure little, to see that everything works")
	rounds := flag.Int("rounds", 0, "measure everything `n` times (default 6, 1 with -quick)")
	huge := flag.Int("huge", -1, "compare with a store of `n` messages; 0 leaves that out (default 10,000,000, 200,000 with -quick)")
	only := flag.String("only", "", "run only these `experiments`, separated by commas")
	out := flag.String("o", "", "write the page into this `file`, and charts beside it, instead of to the terminal")
	raw := flag.String("raw", "", "write all values into this `file`, for benchstat")
	flag.Parse()

	size := full
	if *quick {
		size = small
	}
	if *rounds > 0 {
		size.rounds = *rounds
	}
	if *huge >= 0 {
		size.huge = *huge
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, size, *only, *out, *raw); err != nil {
		log.Fatal(err)
	}
}

// size is how much is measured.
type size struct {
	rounds   int
	messages int           // in the tables of every peer
	huge     int           // in the larger of two stores that are compared; 0 for no comparison
	turn     time.Duration // for which callers call, in each cell of a table
	drain    time.Duration // for which what they marked may take to be accepted, from the last call on
	idle     int           // single marks on an idle system
	members  int           // of the group
	unread   int           // messages to catch up with
	requests int           // over HTTP
	history  []int         // messages in a conversation, read long ago
}

var (
	full = size{
		rounds: 6, messages: 100_000, huge: 10_000_000, turn: time.Second, drain: 1500 * time.Millisecond,
		idle: 50, members: 1000, unread: 1000, requests: 20_000, history: []int{1000, 10_000, 100_000, 1_000_000},
	}
	small = size{
		rounds: 1, messages: 10_000, huge: 200_000, turn: 100 * time.Millisecond, drain: 300 * time.Millisecond,
		idle: 10, members: 200, unread: 1000, requests: 1000, history: []int{1000, 10_000},
	}
)

// bench is a run of the program.
type bench struct {
	size
	lab    *lab.Lab
	log    *report.Log
	places map[string]*place
}

// experiment is a part of a run.
type experiment struct {
	name    string
	prepare func(ctx context.Context) error
	round   func(ctx context.Context, round int) error
}

func run(ctx context.Context, size size, only, out, raw string) error {
	began := time.Now()
	l, err := lab.Open()
	if err != nil {
		return err
	}
	defer l.Close()
	b := &bench{size, l, report.NewLog(), map[string]*place{}}
	// What holds much memory comes later, alone: the garbage collector would make the others pay
	// for it.
	for _, phase := range [][]func() experiment{
		{b.marks, b.idleSystem, b.catchUp, b.group, b.tutorial},
		{b.upTo},
		{b.growPostgres},
		{b.growMemory},
	} {
		if err := b.phase(ctx, phase, only); err != nil {
			return err
		}
		runtime.GC()
	}
	if raw != "" {
		if err := b.writeRaw(raw); err != nil {
			return err
		}
	}
	return b.writePage(ctx, out, time.Since(began))
}

// phase runs some experiments, or those of them that are wanted: their rounds take turns.
func (b *bench) phase(ctx context.Context, makers []func() experiment, only string) error {
	var experiments []experiment
	for _, make := range makers {
		if e := make(); only == "" || slices.Contains(strings.Split(only, ","), e.name) {
			experiments = append(experiments, e)
		}
	}
	for _, e := range experiments {
		log.Printf("preparing %s", e.name)
		if err := e.prepare(ctx); err != nil {
			return fmt.Errorf("preparing %s: %w", e.name, err)
		}
	}
	for round := range b.rounds {
		for _, e := range experiments {
			log.Printf("round %d of %d: %s", round+1, b.rounds, e.name)
			if err := e.round(ctx, round); err != nil {
				return fmt.Errorf("%s: %w", e.name, err)
			}
		}
	}
	return nil
}

func (b *bench) writeRaw(name string) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(b.log.WriteRaw(file), file.Close())
}

// place is a database that a peer has prepared, and how far its marks have come.
type place struct {
	peer.Env
	next atomic.Int64
}

// place returns where a peer works: one database for all peers of a name.
func (b *bench) place(ctx context.Context, p peer.Peer) (*place, error) {
	if at := b.places[p.Name]; at != nil {
		return at, nil
	}
	at, err := b.newPlace(ctx, p, peer.Fixture{Messages: b.messages, Conversations: b.messages / 100, Recent: b.messages})
	if err == nil {
		b.places[p.Name] = at
	}
	return at, err
}

// newPlace returns a place of its own.
func (b *bench) newPlace(ctx context.Context, p peer.Peer, f peer.Fixture) (*place, error) {
	db, err := b.lab.Database(ctx, p.Kind)
	if err != nil {
		return nil, err
	}
	at := &place{Env: peer.Env{Database: db, Fixture: f, Stub: b.lab.Stub}}
	if err := p.Prepare(ctx, at.Env); err != nil {
		return nil, fmt.Errorf("%s: %w", p.Name, err)
	}
	return at, nil
}

// available drops the peers whose server is not on this machine, which only Postgres must be.
func (b *bench) available(ctx context.Context, peers []peer.Peer) ([]peer.Peer, error) {
	var there []peer.Peer
	for _, p := range peers {
		if _, err := b.place(ctx, p); err == nil {
			there = append(there, p)
		} else if p.Kind == engines.Postgres {
			return nil, err
		} else {
			log.Printf("without %s: %v", p.Name, err)
		}
	}
	return there, nil
}

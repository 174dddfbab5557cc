// Bench measures the library beside what a Go team would write or use instead, all in turn, in
// several rounds, on servers of its own. It prints a table of the figures that the library wants to
// reach, and writes all values in the format of Go's benchmarks, for benchstat:
//
//	go -C internal/bench run . -o results.txt                              # in about 20 minutes
//	go -C internal/bench run . -quick                                      # in 2 minutes, to see that it works
//	go -C internal/bench run . -only marks -peers ours,inline -turn 10s    # a part of it, for longer
//	go -C internal/bench run golang.org/x/perf/cmd/benchstat -row '/peer /callers' -filter .name:Stored results.txt
//	go -C internal/bench test -bench Marks -cpuprofile cpu.prof            # a profile of one peer
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
	"path"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/msgdelivery/delivery/internal/bench/lab"
	"github.com/msgdelivery/delivery/internal/bench/peer"
	"github.com/msgdelivery/delivery/internal/bench/stub"
	"github.com/msgdelivery/delivery/internal/integration/engines"
)

func main() {
	stub.Serve()
	log.SetFlags(log.Ltime)
	quick := flag.Bool("quick", false, "measure little, to see that everything works")
	rounds := flag.Int("rounds", 0, "measure everything `n` times (default 6, 1 with -quick)")
	turn := flag.Duration("turn", 0, "let callers call for this `time` in each measurement (default 1s, 100ms with -quick)")
	only := flag.String("only", "", "run only these `experiments`, separated by commas")
	peers := flag.String("peers", "", "measure only these `peers`, separated by commas")
	out := flag.String("o", "", "write all values into this `file`, for benchstat")
	flag.Parse()

	b := &bench{size: full, only: *only, peers: *peers, results: newResults(), places: map[string]*place{}}
	if *quick {
		b.size = small
	}
	if *rounds > 0 {
		b.rounds = *rounds
	}
	if *turn > 0 {
		b.turn = *turn
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := b.run(ctx, *out); err != nil {
		log.Fatal(err)
	}
}

// wanted reports whether a flag of names separated by commas has the name, or is not set.
func wanted(flag, name string) bool {
	return flag == "" || slices.Contains(strings.Split(flag, ","), name)
}

// size is how much is measured.
type size struct {
	rounds   int
	messages int           // in the tables of every peer
	huge     int           // in the larger of two stores that are compared
	turn     time.Duration // for which callers call, in each cell of a table
	drain    time.Duration // for which what they marked may take to be accepted, from the last call on
	idle     int           // single marks on an idle system
	members  int           // of the group
	unread   int           // messages to catch up with
	history  []int         // messages in a conversation, read long ago
}

var (
	full = size{
		rounds: 6, messages: 100_000, huge: 10_000_000, turn: time.Second, drain: 1500 * time.Millisecond,
		idle: 50, members: 1000, unread: 1000, history: []int{1000, 10_000, 100_000, 1_000_000},
	}
	small = size{
		rounds: 1, messages: 10_000, huge: 200_000, turn: 100 * time.Millisecond, drain: 300 * time.Millisecond,
		idle: 10, members: 200, unread: 1000, history: []int{1000, 10_000},
	}
)

// bench is a run of the program.
type bench struct {
	size
	only, peers string // flags
	lab         *lab.Lab
	results     *results
	places      map[string]*place
}

// experiment is a part of a run.
type experiment struct {
	name    string
	prepare func(ctx context.Context) error
	round   func(ctx context.Context, round int) error
}

func (b *bench) run(ctx context.Context, out string) (err error) {
	began := time.Now()
	if b.lab, err = lab.Open(); err != nil {
		return err
	}
	defer b.lab.Close()
	// The experiments that hold much memory come later: the garbage collector would make the others
	// pay for it.
	for _, phase := range [][]func() experiment{{b.marks, b.idleSystem, b.catchUp, b.group}, {b.upTo}, {b.growth}} {
		if err := b.phase(ctx, phase); err != nil {
			return err
		}
		runtime.GC()
	}
	setting, err := b.setting(ctx, time.Since(began))
	if err != nil {
		return err
	}
	fmt.Printf("%s\n\n%s", strings.Join(setting, "\n"), table(b.figures()))
	if out == "" {
		return nil
	}
	file, err := os.Create(out)
	if err != nil {
		return err
	}
	return errors.Join(b.results.write(file, setting), file.Close())
}

// phase runs some experiments, or those of them that are wanted: their rounds take turns.
func (b *bench) phase(ctx context.Context, makers []func() experiment) error {
	var experiments []experiment
	for _, make := range makers {
		if e := make(); wanted(b.only, e.name) {
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

// available drops the peers that are not wanted, and those whose server is not on this machine.
// Only Postgres must be.
func (b *bench) available(ctx context.Context, peers []peer.Peer) ([]peer.Peer, error) {
	var there []peer.Peer
	for _, p := range peers {
		if !wanted(b.peers, p.Name) {
			continue
		}
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

// setting describes where, when and with what it was measured, in lines "key: value".
func (b *bench) setting(ctx context.Context, took time.Duration) ([]string, error) {
	lines := []string{
		"date: " + time.Now().UTC().Format(time.DateOnly),
		fmt.Sprintf("cpu: %d × %s", runtime.NumCPU(), lab.Processor()),
		fmt.Sprintf("run: %d rounds in %v, %d connections to each database", b.rounds, took.Round(time.Second), lab.Connections),
		"go: " + runtime.Version(),
	}
	for _, kind := range []engines.Kind{engines.Postgres, engines.MySQL, engines.SQLite} {
		db, err := b.lab.Database(ctx, kind)
		if err != nil {
			log.Printf("without %s: %v", kind, err)
			continue
		}
		version, err := db.Version(ctx)
		if err != nil {
			return nil, err
		}
		lines = append(lines, fmt.Sprintf("%s: %s", kind, version))
	}
	info, _ := debug.ReadBuildInfo()
	for _, m := range info.Deps {
		name := path.Base(strings.TrimSuffix(m.Path, "/v5"))
		if slices.Contains([]string{"pgx", "pusher-http-go", "river", "watermill"}, name) {
			lines = append(lines, fmt.Sprintf("%s: %s", name, m.Version))
		}
	}
	return lines, nil
}

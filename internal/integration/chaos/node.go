package chaos

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
	"github.com/msgdelivery/delivery/pusheradapter"
	"github.com/msgdelivery/delivery/sqlstore"
)

// NodeConfig is what a node process is told, as JSON in the environment variable nodeEnv.
type NodeConfig struct {
	Index      int // of the node, the same when it is started again
	Generation int // counts the starts
	Seed       uint64
	Dir        string // of the run

	Kind        engines.Kind
	Driver, DSN string
	First       string // statement on each connection, if there is one
	Pool        int    // connections; 0 is no limit
	Sink        string
	Lease       time.Duration

	World   World
	Markers int           // goroutines; 0 for a relay only
	Batch   int           // messages a mark, at most
	Talk    int           // of a hundred calls, those that are transactions of the app's
	Spread  int           // conversations a mark
	Pause   time.Duration // between the marks of a marker
	Timeout time.Duration // of a mark
	Mute    bool          // it publishes nothing
	Calls   int           // to the sink that it has under way at most; 0 is publishers

	Skew   time.Duration // of the clock that stamps
	Harm   string        // what the node does to itself, see harms
	HarmAt int           // the how many-th time
	Mutant string        // what is wrong with it, see mutants
}

const (
	isQuiet  = "quiet"  // says a node that marks no more
	isEnding = "ending" // says a node that has got SIGTERM
)

const nodeEnv = "DELIVERY_CHAOS_NODE"

// journalPath is where a node writes.
func (c *NodeConfig) journalPath() string {
	return filepath.Join(c.Dir, fmt.Sprintf("node-%d-%d.jsonl", c.Index, c.Generation))
}

// node is a node process.
type node struct {
	NodeConfig
	journal *Journal
	db      *sql.DB
	tracker *delivery.Tracker
	inTx    *delivery.Tracker // of the Tx forms, which go past all harm and mutants
	replies replies
	marks   atomic.Int64 // acknowledged
	late    atomic.Int64 // milliseconds that a call took beyond its time, at most
	heap    atomic.Int64 // bytes in use, at most

	mu     sync.Mutex
	claims []int64 // how long each took, in microseconds
}

// RunNode is what the test binary does instead of testing if it was started as a node. It marks and
// publishes until its standard input says to be quiet, then it only publishes; it ends by SIGTERM,
// or when its standard input does.
func RunNode() {
	var n node
	if err := json.Unmarshal([]byte(os.Getenv(nodeEnv)), &n.NodeConfig); err != nil {
		fatal(err)
	}
	var err error
	if n.journal, err = newJournal(n.journalPath()); err != nil {
		fatal(err)
	}
	db, err := n.open()
	if err != nil {
		fatal(err)
	}
	n.db = db
	if n.tracker, err = n.track(db); err != nil {
		fatal(err)
	}

	running, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	marking, quiet := context.WithCancel(running)
	go listen(quiet)
	go n.progress()

	var markers, relay sync.WaitGroup
	relay.Go(func() {
		if n.Mute {
			<-running.Done()
			return
		}
		told := make(chan int64, 1)
		context.AfterFunc(running, func() {
			told <- now()
			fmt.Println(isEnding)
		})
		if err := n.tracker.Run(running); err != nil {
			fatal(err)
		}
		ended := now()
		n.journal.write(Entry{At: ended, What: stopping, N: max(ended-<-told, 0) / 1000})
	})
	for i := range n.Markers {
		markers.Go(func() { newMarker(&n, i).run(marking) })
	}
	markers.Wait()
	fmt.Println(isQuiet)
	relay.Wait()
	db.Close()
	if ms := n.late.Load(); ms > 0 {
		n.journal.write(Entry{At: now(), What: lateness, N: ms})
	}
	n.journal.write(Entry{At: now(), What: heap, N: n.heap.Load()})
	n.mu.Lock()
	n.journal.write(Entry{At: now(), What: claiming, N: most(n.claims)})
	n.mu.Unlock()
	n.journal.write(Entry{At: now(), What: ends, N: leaked()})
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, "node:", err)
	os.Exit(2)
}

// listen waits for the word to be quiet, and ends the process when nobody can say anything any
// more.
func listen(quiet func()) {
	for words := bufio.NewScanner(os.Stdin); words.Scan(); {
		quiet()
	}
	os.Exit(3)
}

// progress tells how many marks were acknowledged, and looks at the heap.
func (n *node) progress() {
	size := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	for told := int64(-1); ; time.Sleep(20 * time.Millisecond) {
		metrics.Read(size)
		n.heap.Store(max(n.heap.Load(), int64(size[0].Value.Uint64())))
		if marks := n.marks.Load(); marks != told {
			told = marks
			fmt.Println(marks, runtime.NumGoroutine())
		}
	}
}

func (n *node) open() (*sql.DB, error) {
	db, err := sql.Open(n.Driver, n.DSN)
	if err != nil {
		return nil, err
	}
	if n.watchesStatements() || n.First != "" {
		inner := db.Driver()
		db.Close()
		db = sql.OpenDB(&watchedConnector{driver: inner, dsn: n.DSN, watch: n.watchStatements()})
	}
	db.SetMaxOpenConns(n.Pool)
	db.SetMaxIdleConns(max(n.Pool, 16))
	return db, nil
}

// track builds the tracker, and into it what harm the node does to itself.
func (n *node) track(db *sql.DB) (*delivery.Tracker, error) {
	sqlStore, err := sqlstore.New(db, stores.Dialects[n.Kind])
	if err != nil {
		return nil, err
	}
	config, err := pusheradapter.ParseURL(n.Sink)
	if err != nil {
		return nil, err
	}
	adapter, err := pusheradapter.New(config, nil)
	if err != nil {
		return nil, err
	}
	if n.inTx, err = delivery.New(sqlStore, adapter, &delivery.Options{OpenConversations: true}); err != nil {
		return nil, err
	}
	store, notifier := n.mutate(sqlStore, adapter, db)
	store, notifier = n.harm(store, notifier)
	store = &notedStore{store, n}
	notifier = n.noteUnanswered(notifier)
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	return delivery.New(store, notifier, &delivery.Options{
		OpenConversations: true,
		Lease:             n.Lease,
		WriteTimeout:      time.Hour, // no call fails for want of time, unless the run gives it one
		NotifyCalls:       cmp.Or(n.Calls, publishers),
		Logger:            log,
		Observer: &delivery.Observer{
			LeaseLost: func(_ context.Context, lost delivery.LeaseLostInfo) {
				n.journal.write(Entry{At: now(), What: leaseLost, N: int64(lost.Events)})
			},
		},
	})
}

// noteUnanswered notes the events of calls that nobody answered: they may have been accepted, and
// come again.
func (n *node) noteUnanswered(notifier delivery.Notifier) delivery.Notifier {
	return delivery.NotifierFunc(func(ctx context.Context, events []delivery.Event) error {
		err := notifier.Notify(ctx, events)
		var answer *pusheradapter.Error
		if errors.As(err, &answer) && answer.Status == 0 {
			n.journal.write(Entry{At: now(), What: unanswered, N: int64(len(events))})
		}
		return err
	})
}

// notedStore notes how long claims take, and the events that were accepted and could not be
// settled: they come again.
type notedStore struct {
	delivery.Store
	*node
}

// Claim may go on while the next one begins: the relay does not wait for one without an answer.
func (s *notedStore) Claim(ctx context.Context, limit int, lease delivery.Lease) ([]delivery.Claimed, error) {
	began := now()
	claimed, err := s.Store.Claim(ctx, limit, lease)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.claims = append(s.claims, now()-began)
	return claimed, err
}

func (s *notedStore) Settle(ctx context.Context, settlements []delivery.Settlement) (int, error) {
	held, err := s.Store.Settle(ctx, settlements)
	if err != nil {
		s.journal.write(Entry{At: now(), What: unsettled, N: int64(len(settlements))})
	}
	return held, err
}

// leaked counts the goroutines that the library left behind. Goroutines that are about to end get a
// moment to do so.
func leaked() (count int64) {
	for range 1000 {
		var stacks bytes.Buffer
		pprof.Lookup("goroutine").WriteTo(&stacks, 2)
		count = 0
		for _, stack := range strings.Split(stacks.String(), "\n\n") {
			if stack = strings.ReplaceAll(stack, "msgdelivery/delivery/internal/integration", ""); strings.Contains(stack, "msgdelivery/delivery") {
				count++
			}
		}
		if count == 0 {
			return 0
		}
		time.Sleep(10 * time.Millisecond)
	}
	return count
}

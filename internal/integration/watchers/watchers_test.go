package watchers

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pusher/pusher-http-go/v5"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
	"github.com/msgdelivery/delivery/pusheradapter"
	"github.com/msgdelivery/delivery/pusheradapter/pushertest"
)

var (
	full = flag.Bool("full", false, "100 watchers and 1,000 cuts on every engine")
	seed = flag.Uint64("seed", 0, "of all choices; by default another one each time")
)

func TestMain(m *testing.M) { engines.Main(m) }

const (
	conversation  = "c1"
	actionsPerCut = 4
	patience      = 2 * time.Minute
)

// world is a conversation that watchers follow, and what brings them its events.
type world struct {
	t        testing.TB
	pusher   *pushertest.Server
	app      pusher.Client // signs channels
	channel  string
	trackers []*delivery.Tracker // each as if in a process of its own
	turn     atomic.Int64
	members  []string
	watchers []*watcher
	calm     atomic.Bool
}

// tracker returns one of the trackers after the other.
func (w *world) tracker() *delivery.Tracker { return w.trackers[w.turn.Add(1)%int64(len(w.trackers))] }

// newWorld makes a world on a fresh database, with a relay for each of its two trackers.
func newWorld(t *testing.T, e engines.Engine, size int, habit habit, seed uint64) *world {
	t.Helper()
	db := stores.Database(t, e).Open(t)
	server, err := pushertest.New(nil)
	must(t, err)
	t.Cleanup(server.Close)
	w := &world{t: t, pusher: server, app: pusher.Client{Key: server.Key, Secret: server.Secret}}
	w.channel, err = pusheradapter.PrivateChannel(conversation)
	must(t, err)

	var relays sync.WaitGroup
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(func() {
		stop()
		relays.Wait()
	})
	for range 2 {
		config := pusheradapter.Config{AppID: server.AppID, Key: server.Key, Secret: server.Secret, Host: "127.0.0.1"}
		notifier, err := pusheradapter.New(config, &pusheradapter.Options{Transport: server})
		must(t, err)
		tracker, err := delivery.New(stores.Open(t, e, db), notifier, &delivery.Options{OpenConversations: true, Logger: slog.New(slog.DiscardHandler)})
		must(t, err)
		w.trackers = append(w.trackers, tracker)
		relays.Go(func() {
			if err := tracker.Run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	w.members = []string{"nobody"} // without a watcher
	for i := range size {
		name := fmt.Sprint("watcher ", i)
		w.members = append(w.members, name)
		w.watchers = append(w.watchers, newWatcher(w, name, habit, rand.New(rand.NewPCG(seed, uint64(i)))))
	}
	return w
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// run lets the watchers watch and act while their connections are cut, and returns once all is calm
// and everyone had the chance to know everything.
func (w *world) run(cuts int, random *rand.Rand) {
	w.t.Helper()
	w.pusher.FaultFunc(func(r pushertest.Request) pushertest.Fault {
		switch {
		case r.Number%10 == 0:
			return pushertest.Status(503, "try again")
		case r.Number%23 == 0:
			return pushertest.Accepted(pushertest.Cut) // so that it is published twice
		}
		return nil
	})
	watching, stopWatching := context.WithCancel(context.Background())
	acting, stopActing := context.WithCancel(watching)
	var watchers, actors sync.WaitGroup
	defer watchers.Wait()
	defer stopWatching()
	acts := make(chan struct{})
	for i, each := range w.watchers {
		watchers.Go(func() { each.watch(watching) })
		choices := rand.New(rand.NewPCG(random.Uint64(), uint64(i)))
		actors.Go(func() {
			for acting.Err() == nil {
				if err := each.act(context.WithoutCancel(acting), choices); err != nil {
					w.t.Errorf("%s: %v", each.name, err)
				}
				select {
				case acts <- struct{}{}:
				case <-acting.Done():
				}
			}
		})
	}

	for i := range cuts {
		for range actionsPerCut {
			<-acts
		}
		if i%50 == 49 {
			w.pusher.Disconnect(4200, "come back") // all of them
		} else {
			w.watchers[random.IntN(len(w.watchers))].cut()
		}
	}
	stopActing()
	actors.Wait()
	w.calm.Store(true)
	w.pusher.FaultFunc(nil)

	// An event that was lost is noticed by the next one, so there has to be a next one for
	// everyone.
	last, err := w.tracker().Send(watching, delivery.Draft{Conversation: conversation, Sender: "nobody", Body: "the last", Audience: delivery.Audience{Open: true}})
	must(w.t, err)
	timeout := time.After(patience)
	for _, each := range w.watchers {
		for each.habit != heedless && each.at() < last.Version {
			select {
			case <-each.moved:
			case <-timeout:
				w.t.Fatalf("%s is at version %d of %d", each.name, each.at(), last.Version)
			}
		}
	}
}

// wrong says of every watcher what is wrong with what it shows, and showed.
func (w *world) wrong() (all []string) {
	w.t.Helper()
	stored := map[string]view{}
	query := delivery.Query{Conversation: conversation, Limit: delivery.MaxBatch}
	for more := true; more; {
		page, err := w.tracker().Messages(w.t.Context(), query)
		must(w.t, err)
		for _, m := range page.Messages {
			stored[m.ID] = viewOf(m)
			query.After = m.Seq
		}
		more = page.More
	}
	for _, each := range w.watchers {
		each.mu.Lock()
		if !maps.Equal(each.views, stored) {
			all = append(all, each.name+" shows other things than the store holds")
		}
		for _, back := range each.backwards {
			all = append(all, each.name+": backwards: "+back)
		}
		each.mu.Unlock()
	}
	return all
}

// choices returns the source of a test's choices, and how to make them again.
func choices(t *testing.T) (random *rand.Rand, start uint64) {
	start = *seed
	if start == 0 {
		start = rand.Uint64()
	}
	t.Logf("-seed %d", start)
	return rand.New(rand.NewPCG(start, 0)), start
}

func TestWatchers(t *testing.T) {
	watchers, cuts := 20, 120
	if *full {
		watchers, cuts = 100, 1000
	}
	for _, e := range engines.All {
		if e.Kind != engines.SQLite && !*full {
			continue
		}
		t.Run(e.Name, func(t *testing.T) {
			random, start := choices(t)
			w := newWorld(t, e, watchers, careful, start)
			began := time.Now()
			w.run(cuts, random)
			for _, wrong := range w.wrong() {
				t.Error(wrong)
			}
			t.Logf("%d watchers, %d cuts, %d messages, %d changes, %v", watchers, cuts, len(w.watchers[0].views), w.watchers[0].at(), time.Since(began).Round(time.Millisecond))
		})
	}
}

func TestWatchersWithABadHabitAreNoticed(t *testing.T) {
	for _, habit := range []habit{heedless, gullible} {
		t.Run("who "+string(habit), func(t *testing.T) {
			random, start := choices(t)
			w := newWorld(t, engines.All[0], 6, habit, start)
			w.run(40, random)
			if len(w.wrong()) == 0 {
				t.Error("nothing is wrong")
			}
		})
	}
}

package streams

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/redisserver"
	"github.com/msgdelivery/delivery/sqlstore"
)

const (
	members       = 100
	conversations = 10
	cuts          = 1000
)

// TestEveryViewBecomesTheStores is the test of the package.
func TestEveryViewBecomesTheStores(t *testing.T) {
	w := newWorld(t, config{})
	w.storm(t, cuts)
	if wrong := w.settle(t, time.Minute); len(wrong) > 0 {
		t.Errorf("%d views are not the store's: %q", len(wrong), wrong[:min(len(wrong), 5)])
	}
	w.report(t)
}

// TestNodesWithoutACommonBusAreFoundOut shows that the test above notices what it is there for.
func TestNodesWithoutACommonBusAreFoundOut(t *testing.T) {
	w := newWorld(t, config{OwnBus: true})
	w.storm(t, 20)
	if wrong := w.settle(t, 3*time.Second); len(wrong) == 0 {
		t.Error("every view is the store's")
	}
}

// world is the nodes, their servers and the clients.
type world struct {
	tracker *delivery.Tracker // the test's own, which publishes nothing
	redis   *redisserver.Server
	nodes   []*process
	clients []*client
	stop    func() // ends the clients
}

func newWorld(t *testing.T, c config) *world {
	t.Helper()
	database := engines.First(engines.Postgres).Database(t)
	db := database.Open(t)
	if err := sqlstore.Migrate(t.Context(), db, sqlstore.Postgres); err != nil {
		t.Fatal(err)
	}
	store, err := sqlstore.New(db, sqlstore.Postgres)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{redis: redisserver.Start(t)}
	if w.tracker, err = delivery.New(store, delivery.NotifierFunc(nil), &delivery.Options{OpenConversations: true}); err != nil {
		t.Fatal(err)
	}
	c.Driver, c.DSN, c.Redis, c.Members, c.Quorum = database.Driver, database.DSN, w.redis.Addr, members, members/2
	var addrs []string
	for range 3 {
		node := startNode(t, c)
		w.nodes = append(w.nodes, node)
		addrs = append(addrs, node.config.Addr)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for i := range members {
		mine := []string{fmt.Sprint("c", i%conversations), fmt.Sprint("c", (i+1+i/conversations)%conversations)}
		if mine[0] == mine[1] {
			mine = mine[:1]
		}
		c := newClient(fmt.Sprint("user", i), mine, addrs)
		w.clients = append(w.clients, c)
		running.Go(func() { c.run(ctx) })
	}
	w.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
	})
	t.Cleanup(w.stop)
	return w
}

// storm has the clients send and mark while connections are cut, a node is killed and started
// again, and Redis is killed and started again.
func (w *world) storm(t *testing.T, cuts int) {
	t.Helper()
	calm, end := context.WithCancel(t.Context())
	var busy sync.WaitGroup
	defer busy.Wait()
	defer end()
	for _, c := range w.clients[:30] {
		busy.Go(func() { c.live(t.Context(), calm, 500*time.Millisecond) })
	}
	for n := 0; n < cuts; {
		if w.clients[rand.IntN(len(w.clients))].cut() {
			n++
			switch n {
			case cuts * 2 / 10:
				w.nodes[0].kill()
			case cuts * 4 / 10:
				w.nodes[0].start(t)
			case cuts * 6 / 10:
				w.redis.Kill()
			case cuts * 7 / 10:
				w.redis.Restart(t)
			}
		}
		time.Sleep(15 * time.Millisecond)
	}
}

// settle waits until all is published and every view is the store's, or the time is over. It
// returns the differences that are left.
func (w *world) settle(t *testing.T, limit time.Duration) (wrong []string) {
	t.Helper()
	for end := time.Now().Add(limit); ; time.Sleep(200 * time.Millisecond) {
		backlog, err := w.tracker.Backlog(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if backlog.Dead > 0 {
			t.Errorf("%d events are dead", backlog.Dead)
		}
		wrong = w.differences(t)
		if backlog.Waiting > 0 {
			wrong = append(wrong, fmt.Sprint(backlog.Waiting, " events are not published"))
		}
		if len(wrong) == 0 || time.Now().After(end) {
			return wrong
		}
	}
}

// differences compares each client's views with the store.
func (w *world) differences(t *testing.T) (wrong []string) {
	t.Helper()
	stored, versions := make(map[string]map[string]view), make(map[string]int64)
	for i := range conversations {
		name := fmt.Sprint("c", i)
		stored[name] = make(map[string]view)
		for after, more := int64(0), true; more; {
			page, err := w.tracker.Messages(t.Context(), delivery.Query{Conversation: name, After: after, Limit: delivery.MaxBatch})
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range page.Messages {
				stored[name][m.ID], after = view{m.Version, m.Status, m.Delivered, m.Read}, m.Seq
			}
			versions[name], more = page.Version, page.More
		}
	}
	for _, c := range w.clients {
		c.mu.Lock()
		for _, name := range c.conversations {
			if c.versions[name] != versions[name] {
				wrong = append(wrong, fmt.Sprintf("%s knows %s up to %d of %d", c.user, name, c.versions[name], versions[name]))
			}
			for id, want := range stored[name] {
				if got := c.views[name][id]; got != want {
					wrong = append(wrong, fmt.Sprintf("%s shows %s as %+v, want %+v", c.user, id, got, want))
				}
			}
		}
		c.mu.Unlock()
	}
	return wrong
}

// report fails for ticks that went back, and says what the clients met.
func (w *world) report(t *testing.T) {
	t.Helper()
	w.stop()
	var streams, events, resets, refetches, messages int64
	for _, c := range w.clients {
		for _, back := range c.backwards {
			t.Error(back)
		}
		streams += c.opened.Load()
		events += c.counted.events.Load()
		resets += c.counted.resets.Load()
		refetches += c.counted.refetches.Load()
		for _, views := range c.views {
			messages += int64(len(views))
		}
	}
	if resets > 0 {
		t.Errorf("%d resets, and the store was never restored", resets)
	}
	if streams < cuts {
		t.Errorf("only %d streams were opened", streams)
	}
	t.Logf("%d streams, %d events, %d reads of changes, %d views of messages", streams, events, refetches, messages)
}

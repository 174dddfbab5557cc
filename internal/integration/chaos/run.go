package chaos

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
	"github.com/msgdelivery/delivery/sqlstore"
)

// Size is how much of everything a run has.
type Size struct {
	World World
	Marks int // to be acknowledged before it ends, at least
	Nodes int
	Times int // that the harm is done
}

// Run is one run of a scenario.
type Run struct {
	testing.TB
	Size
	Row    string
	Engine engines.Engine
	Seed   uint64
	Full   bool
	Node   NodeConfig // what its nodes have in common

	dir      string
	random   *rand.Rand // of the scenario
	began    time.Time
	schedule *Journal
	server   *engines.Server  // its own, or nil
	pair     *engines.Pair    // likewise
	cluster  *engines.Cluster // likewise
	database engines.Database
	db       *sql.DB
	store    *sqlstore.Store
	sink     *Sink
	nodes    []*Process // the latest of each index
	past     int64      // marks of nodes that are no more
	kills    int        // of nodes
	figures  []string   // that the scenario adds to the line
	ends     []func()   // called before the verdict
}

// forever is for how long a run waits for what must come, on a machine however busy.
const forever = 10 * time.Minute

const (
	publishers   = 32                           // publishes that a node has under way at most: few, for a bound that tells
	publishBatch = delivery.DefaultNotifyEvents // events in each
)

// newRun prepares a run: a database with the world in it, and a sink. Setup, if it is not nil,
// makes the database.
func newRun(t testing.TB, name string, e engines.Engine, size Size, seed uint64, setup func(*Run) engines.Database) *Run {
	t.Helper()
	r := &Run{TB: t, Size: size, Row: name, Engine: e, Seed: seed, random: rand.New(rand.NewPCG(seed, 0)), began: time.Now()}
	var err error
	if r.dir, err = os.MkdirTemp("", "chaos-"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !t.Failed() {
			os.RemoveAll(r.dir)
			return
		}
		t.Logf("the run is kept: go test ./internal/integration/chaos -run Recheck -recheck %s", r.dir)
	})
	if r.schedule, err = newJournal(filepath.Join(r.dir, "schedule.jsonl")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.schedule.close() })

	if setup == nil {
		setup = func(*Run) engines.Database { return e.Database(t) }
	}
	r.database = setup(r)
	r.db = r.database.Open(t)
	if err := sqlstore.Migrate(t.Context(), r.db, stores.Dialects[e.Kind]); err != nil {
		t.Fatal(err)
	}
	for _, statement := range watchers[e.Kind] {
		if _, err := r.db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if r.store, err = sqlstore.New(r.db, stores.Dialects[e.Kind]); err != nil {
		t.Fatal(err)
	}
	r.sink = newSink(t, r.dir, seed)
	r.Node = NodeConfig{
		Seed: seed, Dir: r.dir, Kind: e.Kind, Driver: r.database.Driver, DSN: r.database.DSN, Sink: r.sink.url(),
		Lease: 3 * time.Second, World: size.World, Markers: 4, Batch: 20, Spread: 2, Pool: 8,
	}
	if e.Kind == engines.SQLite {
		r.Node.Markers = 2 // each of them locks out all others
	}
	r.note("a run begins", "name", name, "engine", e.Name, "seed", seed, "size", size)
	r.seed()
	return r
}

// ownServer gives the run a database server of its own, if there is one.
func ownServer(r *Run) engines.Database {
	if r.Engine.Kind == engines.SQLite {
		return r.Engine.Database(r)
	}
	r.server = r.Engine.Server(r)
	return r.server.Database(r)
}

// seed stores the messages of the world. Their events are for the nodes to publish.
func (r *Run) seed() {
	w := r.World
	users := w.users()
	slices.Sort(users)
	var batch []delivery.NewMessage
	flush := func() {
		if _, _, err := r.store.Create(r.Context(), batch, delivery.Lease{}); err != nil {
			r.Fatal(err)
		}
		batch = batch[:0]
	}
	add := func(conversation, id string, m int, frozen bool) {
		message := delivery.NewMessage{
			Header: delivery.Header{ID: id, Conversation: conversation, Sender: w.sender(m), Open: true, Quorum: 1, SentAt: time.Now()},
			Body:   "a body that no event may carry",
		}
		if frozen {
			message.Open, message.Quorum, message.Roster, message.Members = false, 0, "all", users
		}
		if batch = append(batch, message); len(batch) == 200 {
			flush()
		}
	}
	for p := range w.Poison {
		add(poisonID(p), poisonID(p)+"-0", 0, false)
	}
	for c := range w.Conversations {
		for m := range w.Messages {
			add(conversationID(c), messageID(c, m), m, w.frozen(m))
		}
	}
	flush()
}

// note writes to the schedule.
func (r *Run) note(what string, pairs ...any) {
	line := map[string]any{"at": now(), "what": what}
	for i := 0; i < len(pairs); i += 2 {
		line[pairs[i].(string)] = pairs[i+1]
	}
	r.schedule.write(line)
}

// figure adds to the line of figures.
func (r *Run) figure(format string, args ...any) {
	r.figures = append(r.figures, fmt.Sprintf(format, args...))
}

// waiting counts the events that were not accepted yet.
func (r *Run) waiting() int {
	n, err := outbox(r.Context(), r.db)
	if err != nil {
		r.Fatal(err)
	}
	return n
}

// verdict has the checker judge the run, and prints the line of figures.
func (r *Run) verdict() *Verdict {
	r.Helper()
	for _, end := range r.ends {
		end()
	}
	time.Sleep(10 * time.Millisecond) // for the server to notice that connections are closed
	state, err := readState(r.Context(), r.db, r.Engine.Kind, r.store, r.World)
	if err == nil {
		err = state.save(r.dir)
	}
	var v *Verdict
	if err == nil {
		v, err = Check(r.dir, r.World)
	}
	if err != nil {
		r.Fatalf("checking the run: %v", err)
	}
	r.figure("bound=%d seed=%d in %.1fs", r.duplicateBound(v), r.Seed, time.Since(r.began).Seconds())
	r.Logf("%s %s: %s %s", r.Row, r.Engine.Name, v, strings.Join(r.figures, " "))
	return v
}

// duplicateBound is how many duplicates the run can explain: what a killed node had under way, what
// was accepted in calls whose answer the sink withheld or the node did not wait for, what outlived
// its lease, and what the store failed to settle.
func (r *Run) duplicateBound(v *Verdict) int {
	return r.kills*publishers*publishBatch + int(r.sink.swallowed.Load()) + v.LeaseLost + v.Unsettled + v.Unanswered
}

// expectKept fails the run unless the promise was kept, with so many dead letters.
func (r *Run) expectKept(v *Verdict, dead int) {
	r.Helper()
	for _, word := range []struct {
		name string
		Findings
	}{{"lost", v.Lost}, {"unexpected", v.Unexpected}, {"backwards", v.Backwards}, {"wrong tallies", v.Tallies}, {"wrong counts of what is unread", v.Unread}} {
		if word.Count > 0 {
			r.Errorf("%d %s, such as:\n\t%s", word.Count, word.name, strings.Join(word.Samples, "\n\t"))
		}
	}
	if bound := r.duplicateBound(v); v.Duplicates.Count > bound {
		r.Errorf("%d duplicates, at most %d can be explained", v.Duplicates.Count, bound)
	}
	if v.Dead != dead {
		r.Errorf("%d dead letters, want %d", v.Dead, dead)
	}
	if v.Outbox > 0 || v.Leased > 0 || v.Idle > 0 || v.Leaked > 0 {
		r.Errorf("left behind: %d events, %d of them leased, %d idle transactions, %d goroutines", v.Outbox, v.Leased, v.Idle, v.Leaked)
	}
	if v.Changed == 0 && r.Marks > 0 {
		r.Error("no mark advanced anything")
	}
}

// through has the nodes reach the database through a proxy.
func (r *Run) through() *Proxy {
	r.Helper()
	var p *Proxy
	switch r.Engine.Kind {
	case engines.Postgres:
		u, err := url.Parse(r.database.DSN)
		if err != nil {
			r.Fatal("not a URL")
		}
		p = newProxy(r, u.Host, r.Seed)
		u.Host = p.addr()
		r.Node.DSN = u.String()
	case engines.MySQL:
		config, err := mysql.ParseDSN(r.database.DSN)
		if err != nil {
			r.Fatal("not a DSN")
		}
		p = newProxy(r, config.Addr, r.Seed)
		config.Net, config.Addr = "tcp", p.addr()
		r.Node.DSN = config.FormatDSN()
	default:
		r.Fatalf("%s has no connections to cut", r.Engine.Name)
	}
	return p
}

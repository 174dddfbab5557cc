package chaos

import (
	"flag"
	"fmt"
	"hash/fnv"
	"io"
	"log"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/msgdelivery/delivery/internal/integration/engines"
)

var (
	full    = flag.Bool("full", false, "run the scenarios at full size")
	seed    = flag.Uint64("seed", 0, "of all choices; by default another one each time")
	recheck = flag.String("recheck", "", "the directory of a run that TestRecheck is to check")
)

func TestMain(m *testing.M) {
	if os.Getenv(nodeEnv) != "" {
		RunNode()
		return
	}
	mysql.SetLogger(log.New(io.Discard, "", 0)) // it tells of every connection that we cut
	engines.Main(m)
	if n := leaked(); n > 0 {
		fmt.Fprintf(os.Stderr, "%d goroutines of the library are left\n", n)
		os.Exit(1)
	}
}

// Scenario is a row of the matrix.
type Scenario struct {
	Row, Name string
	Engines   []string                    // those it applies to
	Setup     func(*Run) engines.Database // makes the database; by default it is one of the server that all share
	OnlyFull  bool                        // it is run at full size only
	Timed     bool                        // it is there for its limits of time: see TestChaosInTime
	Size      Size                        // short
	Full      func(engine string) Size
	Run       func(r *Run)
}

var (
	everyEngine = []string{"sqlite", "postgres-pgx", "mysql"}
	servers     = []string{"postgres-pgx", "mysql"}
	scenarios   = slices.Concat(processScenarios, databaseScenarios, talkScenarios, upkeepScenarios, endpointScenarios, replicaScenarios)
)

// Worlds whose receipts can take ten thousands of marks, or a million. In a wide one there are more
// conversations.
var (
	small = World{Conversations: 40, Messages: 20, Users: 40}
	wide  = World{Conversations: 200, Messages: 4, Users: 20}
	large = World{Conversations: 200, Messages: 50, Users: 50}
)

// lenience is what a limit is exceeded by on a machine that does little else.
const lenience = 2 * time.Second

// always is the same size on every engine.
func always(size Size) func(string) Size { return func(string) Size { return size } }

func TestChaos(t *testing.T) { testScenarios(t, false) }

// testScenarios runs those that are there for their limits of time, or all others.
func testScenarios(t *testing.T, inTime bool) {
	for _, s := range scenarios {
		if s.Timed != inTime || s.OnlyFull && !*full {
			continue
		}
		t.Run(s.Row+" "+s.Name, func(t *testing.T) {
			for _, e := range engines.All {
				if !slices.Contains(s.Engines, e.Name) || !timed && e.Name != s.watched() {
					continue
				}
				t.Run(e.Name, func(t *testing.T) {
					t.Parallel()
					size := s.Size
					if *full && s.Full != nil {
						size = s.Full(e.Name)
					}
					r := newRun(t, s.Row, e, size, seedOf(t), s.Setup)
					r.Full, r.Node.Talk = *full, 3
					s.Run(r)
				})
			}
		})
	}
}

// watched is the engine on which the race detector watches a scenario: what it watches is the same
// on all of them, and becomes several times as slow.
func (s Scenario) watched() string {
	if slices.Contains(s.Engines, "postgres-pgx") {
		return "postgres-pgx"
	}
	return s.Engines[0]
}

// within fails the run if something took longer than its limit, where limits hold.
func (r *Run) within(what string, took, limit time.Duration) {
	r.Helper()
	if timed && took > limit {
		r.Errorf("%s only within %v, want %v", what, took, limit)
	}
}

// seedOf is the seed of a test.
func seedOf(t *testing.T) uint64 {
	if *seed != 0 {
		return *seed
	}
	h := fnv.New32()
	fmt.Fprint(h, t.Name(), time.Now().UnixNano())
	return uint64(h.Sum32())
}

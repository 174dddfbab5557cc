package chaos

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliverytest"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/memstore"
)

// The checker must find what is wrong with each mutant. A mutant's name says what that is.
func TestMutants(t *testing.T) {
	for _, m := range []struct {
		name    string
		engine  string
		weather Weather
		poison  int
		harm    func(r *Run)
		finds   func(r *Run, v *Verdict) int
	}{
		{name: twoTransactions, finds: lost, harm: func(r *Run) {
			for i, p := range r.nodes {
				select {
				case <-p.done:
				case <-time.After(20 * time.Second):
				}
				r.startNode(i, func(c *NodeConfig) { c.Mutant = "" })
			}
		}},
		{name: forgetsEvents, finds: lost},
		{name: noGuard, finds: backwards},
		{name: miscounts, finds: tallies},
		{name: passesOver, finds: unread},
		{name: acksBeforeCommit, finds: lost, harm: kill},
		{name: settlesBeforePublish, finds: lost, weather: Weather{Delay: 50 * time.Millisecond}, harm: kill},
		{name: acksWholeBatch, finds: lost},
		{name: cursor, finds: left, weather: Weather{Fail: 0.3}},
		{name: letsSendersMark, finds: unexpected},
		{name: keepsExclusion, finds: unexpected, weather: Weather{Fail: 1}, harm: func(r *Run) { r.sink.become(Weather{}) }},
		{name: claimsWithoutLease, finds: earlyEnds, weather: Weather{Delay: 20 * time.Millisecond}},
		{name: processClock, finds: earlyEnds, weather: Weather{Delay: 20 * time.Millisecond}},
		{name: buriesOutages, finds: deadLetters, weather: Weather{Fail: 0.2}},
		{name: retriesRefusals, finds: left, weather: Weather{Poison: 400}, poison: 5},
		{name: retriesStatements, finds: lost, engine: "mysql", harm: func(r *Run) { lockForAWhile(r, 5*time.Second) }},
	} {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			world := World{Conversations: 10, Messages: 10, Users: 10, Poison: m.poison}
			marks, stall := 600, 6*time.Second
			switch m.name {
			case retriesRefusals:
				stall = 3 * time.Second // it always leaves something, and the rest takes pauses
			case retriesStatements:
				world.Conversations, world.Messages = 2, 50
			case twoTransactions:
				marks = 0 // the nodes may not live that long
			case letsSendersMark:
				marks = 3_000 // of which few are by senders, of open messages that the node has not seen yet
			}
			name := "sqlite"
			if m.engine != "" {
				name = m.engine
			}
			e := engines.All[slices.IndexFunc(engines.All, func(e engines.Engine) bool { return e.Name == name })]
			for range 3 { // whether a mutant does wrong in a short run may be left to chance
				r := newRun(t, "mutant", e, Size{World: world, Marks: marks, Nodes: 2}, seedOf(t), nil)
				r.Node.Mutant, r.Node.Lease = m.name, 30*time.Second
				if m.harm != nil {
					r.Node.Lease = time.Second // is waited for
				}
				r.sink.become(m.weather)
				r.start()
				r.untilMarks(r.Marks)
				if m.harm != nil {
					m.harm(r)
				}
				r.quiet()
				r.settleOrStall(stall)
				if m.finds(r, r.verdict()) > 0 {
					return
				}
			}
			t.Errorf("the checker has no objection to a mutant: %s", m.name)
		})
	}
}

func kill(r *Run) {
	for i := range r.nodes {
		r.killNode(i)
		r.startNode(i, func(c *NodeConfig) { c.Mutant, c.Markers = "", 0 })
	}
}

// The faults that the checker can find.
func lost(_ *Run, v *Verdict) int { // and not merely late
	if v.Outbox > 0 {
		return 0
	}
	return v.Lost.Count
}
func unexpected(_ *Run, v *Verdict) int  { return v.Unexpected.Count }
func backwards(_ *Run, v *Verdict) int   { return v.Backwards.Count }
func tallies(_ *Run, v *Verdict) int     { return v.Tallies.Count }
func unread(_ *Run, v *Verdict) int      { return v.Unread.Count }
func deadLetters(_ *Run, v *Verdict) int { return v.Dead }
func left(_ *Run, v *Verdict) int        { return v.Outbox }
func earlyEnds(_ *Run, v *Verdict) int   { return min(v.Duplicates.Count, v.LeaseLost) } // of leases, which are long here

// A mutant that only a contract can tell from the real thing fails the rule of deliverytest that
// speaks of it.
func TestMutantsAgainstTheContract(t *testing.T) {
	const mutantEnv = "DELIVERY_CHAOS_CONTRACT"
	if name := os.Getenv(mutantEnv); name != "" {
		deliverytest.TestStore(t, func(*testing.T) delivery.Store { return mutantStore(name, memstore.New(), nil) }, nil)
		return
	}
	for name, rule := range map[string]string{
		settlesWithoutLease: "lease",
		attemptsOnFailure:   "attempt",
		claimsWithoutLease:  "hold",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(os.Args[0], "-test.run=^TestMutantsAgainstTheContract$/"+rule, "-test.v")
			cmd.Env = append(os.Environ(), mutantEnv+"="+name)
			output, err := cmd.CombinedOutput()
			var broken []string
			for line := range strings.Lines(string(output)) {
				if _, test, ok := strings.Cut(line, "--- FAIL: TestMutantsAgainstTheContract/"); ok {
					broken = append(broken, strings.TrimSpace(test))
				}
			}
			if err == nil || len(broken) == 0 {
				t.Errorf("it broke no rule about %s: %v\n%s", rule, err, output)
			}
			t.Logf("it broke %q", broken)
		})
	}
}

// TestRecheck checks a run again by what it left in its directory.
func TestRecheck(t *testing.T) {
	if *recheck == "" {
		return
	}
	var world World
	if err := readJournal(filepath.Join(*recheck, "schedule.jsonl"), func(line struct{ Size *Size }) error {
		if line.Size != nil {
			world = line.Size.World
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	v, err := Check(*recheck, world)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(v)
	for _, word := range []Findings{v.Lost, v.Unexpected, v.Backwards, v.Tallies, v.Unread, v.Duplicates} {
		t.Logf("%d, such as:\n\t%s", word.Count, strings.Join(word.Samples, "\n\t"))
	}
	for reason, n := range v.failures {
		t.Logf("%d times: %s", n, reason)
	}
}

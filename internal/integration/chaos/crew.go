package chaos

import (
	"fmt"
	"path/filepath"
	"slices"
	"time"
)

// start starts the nodes of the run.
func (r *Run) start() {
	for i := range r.Nodes {
		r.startNode(i, nil)
	}
}

// startNode starts a node, or starts it again. Change adjusts what is special about it.
func (r *Run) startNode(i int, change func(*NodeConfig)) *Process {
	r.Helper()
	config := r.Node
	config.Index = i
	for len(r.nodes) <= i {
		r.nodes = append(r.nodes, nil)
	}
	if before := r.nodes[i]; before != nil {
		config.Generation = before.config.Generation + 1
		r.past += before.marks.Load()
	}
	if change != nil {
		change(&config)
	}
	p, err := startProcess(config)
	if err != nil {
		r.Fatal(err)
	}
	p.sentEnd.Store(slices.Contains(killPoints, config.Harm) || config.Mutant == twoTransactions)
	r.nodes[i] = p
	r.Cleanup(p.kill)
	r.note("a node starts", "node", i, "harm", config.Harm)
	return p
}

// killNode kills a node at once.
func (r *Run) killNode(i int) {
	r.check(i)
	r.note("a node is killed", "node", i)
	r.nodes[i].kill()
	r.kills++
}

// check fails the run if a node has ended by itself.
func (r *Run) check(i int) {
	r.Helper()
	if p := r.nodes[i]; p.ended() && !p.sentEnd.Load() && p.err != nil {
		r.Fatalf("node %d ended by itself: %v; see %s", i, p.err, filepath.Join(r.dir, fmt.Sprintf("node-%d.log", i)))
	}
}

// acknowledged counts the marks that nodes say were acknowledged.
func (r *Run) acknowledged() int {
	sum := r.past
	for _, p := range r.nodes {
		sum += p.marks.Load()
	}
	return int(sum)
}

// failures counts the calls of nodes that failed.
func (r *Run) failures() (n int) {
	r.Helper()
	paths, err := filepath.Glob(filepath.Join(r.dir, "node-*.jsonl"))
	for _, path := range paths {
		if err == nil {
			err = readJournal(path, func(e Entry) error {
				if e.What == failed {
					n++
				}
				return nil
			})
		}
	}
	if err != nil {
		r.Fatal(err)
	}
	return n
}

// until waits until a condition holds, and fails the run if that takes forever.
func (r *Run) until(what string, condition func() bool) {
	r.Helper()
	for began := time.Now(); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > forever {
			r.Fatalf("%s: not within %v", what, forever)
		}
		for i := range r.nodes {
			r.check(i)
		}
	}
}

// untilMarks waits until the nodes have n marks acknowledged since the run began.
func (r *Run) untilMarks(n int) {
	r.Helper()
	for next := r.acknowledged(); next < n; next = r.acknowledged() {
		r.until(fmt.Sprintf("the mark after %d, of %d", next, n), func() bool { return r.acknowledged() > next })
	}
}

// each does harm as often as the size says, evenly over the marks of the run.
func (r *Run) each(harm func(i int)) {
	r.Helper()
	for i := range r.Times {
		r.untilMarks((i + 1) * r.Marks / (r.Times + 1))
		harm(i)
	}
	r.untilMarks(r.Marks)
}

// quiet has all nodes stop marking.
func (r *Run) quiet() {
	r.Helper()
	r.note("quiet")
	for _, p := range r.nodes {
		p.quiet()
	}
	for _, p := range r.nodes {
		r.until("quiet", func() bool { return p.silent.Load() || p.ended() })
	}
}

// settle waits until nothing is left to publish, and then ends the nodes.
func (r *Run) settle() {
	r.Helper()
	r.settleOrStall(forever)
}

// settleOrStall is settle, and gives up when the outbox has not shrunk for so long.
func (r *Run) settleOrStall(stall time.Duration) {
	r.Helper()
	least, since := r.waiting(), time.Now()
	for n := least; n > 0 && time.Since(since) < stall; n = r.waiting() {
		if n < least {
			least, since = n, time.Now()
		}
		time.Sleep(20 * time.Millisecond)
		for i := range r.nodes {
			r.check(i)
		}
	}
	r.stop()
}

// stop ends the nodes.
func (r *Run) stop() {
	r.Helper()
	for _, p := range r.nodes {
		if p.ended() {
			continue
		}
		if _, err := p.stop(); err != nil {
			r.Errorf("%v; see %s", err, r.dir)
		}
	}
}

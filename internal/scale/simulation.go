package scale

import (
	"cmp"
	"container/heap"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/coalesce"
)

// Machine is a computer with a database server and a process whose Tracker takes marks: what waits
// goes out in batches, and each batch takes the server and the process some time.
type Machine struct {
	Processors int           // which the server and the process share
	Batch      time.Duration // of a processor for a batch, however few marks it has
	Mark       time.Duration // for each mark in it, at the database
	Answer     time.Duration // for each afterwards, in the process, one after another

	Writers int // batches at a time
	Crowd   int // marks waiting and under way above which there is more than one
	Most    int // marks in a batch
}

// Measured is the machine of docs/benchmarks.md with Postgres, where nothing is published. A batch
// costs what a mark alone costs beyond the part of it that each mark adds.
func Measured() Machine {
	each := func(alone, among Unit) float64 { return (among.Value - alone.Value*shared.Value) / (1 - shared.Value) }
	mark, answer := each(aloneTime, markTime), each(aloneAnswer, markAnswer)
	micro := func(v float64) time.Duration { return time.Duration(v * float64(time.Microsecond)) }
	return Machine{
		Processors: 2, Batch: micro(aloneTime.Value + aloneAnswer.Value - mark - answer), Mark: micro(mark), Answer: micro(answer),
		Writers: 2, Crowd: coalesce.Crowd, Most: delivery.MaxBatch,
	}
}

// Wait is how long marks took.
type Wait struct {
	Rate     float64 // marks a second
	P50, P99 time.Duration
}

// Open simulates so many marks that come at random moments, so many a second, whoever waits.
func (m Machine) Open(rate float64, marks int) Wait {
	s, random := simulation{machine: m, left: marks}, rand.New(rand.NewPCG(1, 2)) // #nosec G404 -- the same at each run
	s.after = func(time.Duration) {}
	at := time.Duration(0)
	for range marks {
		at += time.Duration(random.ExpFloat64() / rate * float64(time.Second))
		s.at(at, s.arrive)
	}
	return s.run()
}

// Closed simulates so many callers, each of whom makes a mark as soon as the last one is answered.
func (m Machine) Closed(callers, marks int) Wait {
	s := simulation{machine: m, left: marks}
	s.after = func(answered time.Duration) { s.at(answered, s.arrive) }
	for range callers {
		s.at(0, s.arrive)
	}
	return s.run()
}

// simulation is a machine at work. Its clock is that of the event that happens.
type simulation struct {
	machine Machine
	now     time.Duration
	events  events
	after   func(answered time.Duration)

	waiting  []time.Duration // when each mark came
	jobs     []job           // that wait for a processor
	busy     int             // processors
	flying   int             // batches
	underWay int             // marks in them
	left     int
	waits    []time.Duration
}

func (s *simulation) at(when time.Duration, do func()) {
	s.events.count++
	heap.Push(&s.events, event{when, s.events.count, do})
}

func (s *simulation) run() Wait {
	for s.left > 0 && s.events.Len() > 0 {
		e := heap.Pop(&s.events).(event)
		s.now = e.at
		e.do()
	}
	slices.Sort(s.waits)
	n := len(s.waits)
	return Wait{float64(n) / s.now.Seconds(), s.waits[n/2], s.waits[n*99/100]}
}

func (s *simulation) arrive() {
	s.waiting = append(s.waiting, s.now)
	s.take()
}

// take begins batches as package coalesce does: one, or in a crowd each writer's share.
func (s *simulation) take() {
	for len(s.waiting) > 0 {
		pending := len(s.waiting) + s.underWay
		n := min(len(s.waiting), s.machine.Most)
		if pending > s.machine.Crowd {
			n = min(n, (pending+s.machine.Writers-1)/s.machine.Writers)
		}
		if s.flying > 0 && (pending <= s.machine.Crowd || s.flying == s.machine.Writers) {
			return
		}
		batch := slices.Clone(s.waiting[:n])
		s.waiting = s.waiting[n:]
		s.flying++
		s.underWay += n
		s.work(job{s.machine.Batch + time.Duration(n)*s.machine.Mark, func() { s.end(batch) }})
	}
}

// end lets the next batch go, and answers this one: its callers run one after another.
func (s *simulation) end(batch []time.Duration) {
	s.flying--
	s.underWay -= len(batch)
	s.answer(batch)
	s.take()
}

// answer lets the first caller run, and then the others.
func (s *simulation) answer(batch []time.Duration) {
	s.work(job{s.machine.Answer, func() {
		s.waits = append(s.waits, s.now-batch[0])
		s.left--
		s.after(s.now)
		if len(batch) > 1 {
			s.answer(batch[1:])
		}
	}})
}

// job is something that takes a processor for a time.
type job struct {
	takes time.Duration
	end   func()
}

// work does a job on the next processor that is free.
func (s *simulation) work(j job) {
	if s.busy == s.machine.Processors {
		s.jobs = append(s.jobs, j)
		return
	}
	s.busy++
	s.at(s.now+j.takes, func() {
		s.busy--
		if len(s.jobs) > 0 {
			next := s.jobs[0]
			s.jobs = s.jobs[1:]
			s.work(next)
		}
		j.end()
	})
}

type event struct {
	at    time.Duration
	count int // orders what happens at the same time
	do    func()
}

type events struct {
	all   []event
	count int
}

func (e *events) Len() int { return len(e.all) }
func (e *events) Less(i, j int) bool {
	a, b := e.all[i], e.all[j]
	return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.count, b.count)) < 0
}
func (e *events) Swap(i, j int) { e.all[i], e.all[j] = e.all[j], e.all[i] }
func (e *events) Push(x any)    { e.all = append(e.all, x.(event)) }
func (e *events) Pop() any {
	last := len(e.all) - 1
	x := e.all[last]
	e.all = e.all[:last]
	return x
}

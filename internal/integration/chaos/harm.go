package chaos

import (
	"context"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/msgdelivery/delivery"
)

// A node can kill itself at one of these points: before or after a call of its store or notifier,
// or before or after a statement of its store's.
var killPoints = []string{
	"before Create", "after Create", "before Advance", "after Advance", "before AdvanceUpTo", "after AdvanceUpTo",
	"before Claim", "after Claim", "before Notify", "after Notify", "before Settle", "after Settle",
	"before statement", "after statement", "before COMMIT", "after COMMIT",
}

// harms that are no kill points.
const (
	panicking = "panicking" // the store and the notifier panic now and then, and the notifier always at poison
	dawdling  = "dawdling"  // its transactions stay open for long after their last statement
)

const dawdle = 2 * time.Second // is how long

// die is a crash.
func die() {
	syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

// killer returns a function to be called at every point, that ends the process at the chosen one.
func (n *node) killer() func(point string) {
	var times atomic.Int64
	return func(point string) {
		if point == n.Harm && times.Add(1) == int64(n.HarmAt) {
			die()
		}
	}
}

// watchesStatements reports whether something is to be done at statements.
func (n *node) watchesStatements() bool {
	return strings.HasSuffix(n.Harm, " statement") || strings.HasSuffix(n.Harm, " COMMIT") || n.Harm == dawdling ||
		n.Mutant == retriesStatements || n.Mutant == locksGaps
}

// watchStatements returns what is done at statements.
func (n *node) watchStatements() watch {
	kill := n.killer()
	at := func(when, query string) {
		if query == "COMMIT" {
			kill(when + " COMMIT")
			if n.Harm == dawdling && when == "before" {
				time.Sleep(dawdle)
			}
		}
		kill(when + " statement")
	}
	w := watch{first: n.First, before: func(query string) { at("before", query) }, after: func(query string) { at("after", query) }}
	if n.Mutant == retriesStatements {
		w.retry = isDeadlock
	}
	if n.Mutant == locksGaps {
		w.leaveOut = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED"
	}
	return w
}

// harm builds the harm into a store and a notifier.
func (n *node) harm(store delivery.Store, notifier delivery.Notifier) (delivery.Store, delivery.Notifier) {
	switch {
	case n.Harm == panicking:
		var advances, notifies atomic.Int64 // each for itself, so that both panic however large the batches are
		point := func(point string) {
			if point == "before Advance" && advances.Add(1)%20 == 0 || point == "before Notify" && notifies.Add(1)%50 == 0 {
				panic("on purpose")
			}
		}
		return &pointedStore{store, point}, pointedNotifier(allergicNotifier(notifier), point)
	case slices.Contains(killPoints, n.Harm):
		point := n.killer()
		return &pointedStore{store, point}, pointedNotifier(notifier, point)
	case n.Skew != 0:
		return &skewedStore{store, n.Skew}, notifier
	}
	return store, notifier
}

// pointedStore calls a function before and after its work.
type pointedStore struct {
	delivery.Store
	point func(string)
}

func (s *pointedStore) Create(ctx context.Context, messages []delivery.NewMessage, lease delivery.Lease) ([]delivery.Created, []delivery.Claimed, error) {
	s.point("before Create")
	defer s.point("after Create")
	return s.Store.Create(ctx, messages, lease)
}

func (s *pointedStore) Advance(ctx context.Context, marks []delivery.Mark, lease delivery.Lease) ([]delivery.Marked, []delivery.Claimed, error) {
	s.point("before Advance")
	defer s.point("after Advance")
	return s.Store.Advance(ctx, marks, lease)
}

func (s *pointedStore) AdvanceUpTo(ctx context.Context, upTo []delivery.UpTo, limit int, lease delivery.Lease) ([]delivery.MarkedUpTo, []delivery.Claimed, error) {
	s.point("before AdvanceUpTo")
	defer s.point("after AdvanceUpTo")
	return s.Store.AdvanceUpTo(ctx, upTo, limit, lease)
}

func (s *pointedStore) Claim(ctx context.Context, limit int, lease delivery.Lease) ([]delivery.Claimed, error) {
	s.point("before Claim")
	claimed, err := s.Store.Claim(ctx, limit, lease)
	if len(claimed) > 0 {
		s.point("after Claim")
	}
	return claimed, err
}

func (s *pointedStore) Settle(ctx context.Context, settlements []delivery.Settlement) (int, error) {
	s.point("before Settle")
	defer s.point("after Settle")
	return s.Store.Settle(ctx, settlements)
}

func pointedNotifier(notifier delivery.Notifier, point func(string)) delivery.Notifier {
	return delivery.NotifierFunc(func(ctx context.Context, events []delivery.Event) error {
		point("before Notify")
		defer point("after Notify")
		return notifier.Notify(ctx, events)
	})
}

// allergicNotifier panics at poison.
func allergicNotifier(notifier delivery.Notifier) delivery.Notifier {
	return delivery.NotifierFunc(func(ctx context.Context, events []delivery.Event) error {
		for _, e := range events {
			if strings.HasPrefix(e.Conversation, poison) {
				panic("poison")
			}
		}
		return notifier.Notify(ctx, events)
	})
}

// skewedStore gets what a process with a wrong clock hands it. Stamps are all that crosses there:
// the length of a lease is a length on any clock.
type skewedStore struct {
	delivery.Store
	skew time.Duration
}

func (s *skewedStore) Create(ctx context.Context, messages []delivery.NewMessage, lease delivery.Lease) ([]delivery.Created, []delivery.Claimed, error) {
	messages = slices.Clone(messages)
	for i := range messages {
		messages[i].SentAt = messages[i].SentAt.Add(s.skew)
	}
	return s.Store.Create(ctx, messages, lease)
}

func (s *skewedStore) Advance(ctx context.Context, marks []delivery.Mark, lease delivery.Lease) ([]delivery.Marked, []delivery.Claimed, error) {
	marks = slices.Clone(marks)
	for i := range marks {
		marks[i].At = marks[i].At.Add(s.skew)
	}
	return s.Store.Advance(ctx, marks, lease)
}

func (s *skewedStore) AdvanceUpTo(ctx context.Context, upTo []delivery.UpTo, limit int, lease delivery.Lease) ([]delivery.MarkedUpTo, []delivery.Claimed, error) {
	upTo = slices.Clone(upTo)
	for i := range upTo {
		upTo[i].At = upTo[i].At.Add(s.skew)
	}
	return s.Store.AdvanceUpTo(ctx, upTo, limit, lease)
}

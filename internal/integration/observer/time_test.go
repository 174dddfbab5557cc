//go:build !race

package observer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
)

// A measurement of times goes like this.
//
// Alice times her own calls of seven kinds while bob and bert mark the message that carol has just
// sent: the same message that alice's call is about, where it is about one. They flag it as unread
// and mark it again while alice's call takes, so that their writes overlap with it. The call begins
// a little later than they do, so that it meets each part of what they write. There are two
// conversations of the same members and messages. In the first, bob and bert hide their marks. In
// the second they do what that is to look like, and put the load of their hidden marks on a third
// conversation, where alice does nothing. Alice's calls come in pairs, one in each of the first two
// conversations, in an order that is drawn anew for each pair. So whatever else the machine does
// meets both alike, and if nothing leaks, the two samples of a kind have the same distribution.
//
// Calls that only read are made several times in a row, and the shortest time counts: a busy
// machine makes calls longer, and none shorter.
//
// A sample is told apart if the Mann-Whitney test says p < alpha. A leak is reported if the samples
// of one kind are told apart in three measurements in a row, each with fresh conversations. Without
// a leak, that happens with probability kinds × alpha³ = 7e-9 in a test. A leak that shows with
// probability q in a measurement is found with probability q³. With a private mark that takes the
// conversation's lock q is nearly 1. A statement more shows less, so
// TestAnswersTakeNoOtherStatementsForWhatIsHidden looks for that.
//
// SQLite is exempt, since it has one writer at a time: there, every write can be noticed.
const (
	alpha        = 0.001
	measurements = 3
	pairs        = 30                   // in a measurement, for each kind of call
	repeats      = 8                    // of a call that only reads
	overlap      = 20                   // marks by bob and by bert, at most, beside one call
	lead         = 3 * time.Millisecond // of theirs before the call, at most
)

// timed are the databases on which times are to tell nothing: all but SQLite.
var timed = []engines.Kind{engines.Postgres, engines.MySQL}

// hiding is a way to hide marks, and what it is to look like.
type hiding struct {
	name string
	hide delivery.Hide
	// looks is what others are to see of a hidden mark as read; nil if nothing.
	looks func(ctx context.Context, t *delivery.Tracker, user, message string) error
}

var hidingAll = hiding{"HideAll", delivery.HideAll, nil}

var hidingRead = hiding{"HideRead", delivery.HideRead, func(ctx context.Context, t *delivery.Tracker, user, message string) error {
	_, err := t.MarkDelivered(ctx, delivery.Actor{User: user}, message)
	return err
}}

func TestTimesDoNotTellWhatIsHidden(t *testing.T) {
	for _, kind := range timed {
		for _, h := range []hiding{hidingAll, hidingRead} {
			t.Run(string(kind)+"/"+h.name, func(t *testing.T) {
				db, store := stores.Migrated(t, engines.First(kind))
				db.SetMaxIdleConns(16)
				if told := tellApart(t, store, h); len(told) > 0 {
					t.Errorf("hidden marks show in the times of: %s", strings.Join(told, ", "))
				}
			})
		}
	}
}

// tellApart returns those of these kinds of calls, or of all, whose times tell what is hidden.
func tellApart(t *testing.T, store delivery.Store, h hiding, told ...string) []string {
	t.Helper()
	tracker, err := delivery.New(store, delivery.NotifierFunc(func(context.Context, []delivery.Event) error { return nil }), &delivery.Options{
		OpenConversations: true, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	if told == nil {
		for _, k := range kinds {
			told = append(told, k.name)
		}
	}
	for n := range measurements {
		times := measure(t, tracker, h, n, told)
		told = slices.DeleteFunc(told, func(name string) bool {
			a, b := times[0][name], times[1][name]
			u, p := mannWhitney(a, b)
			t.Logf("measurement %d: %10s: medians %.3f and %.3f ms, the first is the larger in %.0f %% of all pairs, p %.2g", n+1, name, median(a), median(b), 100*u/float64(len(a)*len(b)), p)
			return p >= alpha
		})
		if len(told) == 0 {
			break
		}
	}
	return told
}

// measure returns the times in milliseconds that calls of these kinds take, while marks are hidden
// and while they only look so.
func measure(t *testing.T, tracker *delivery.Tracker, h hiding, n int, names []string) (times [2]map[string][]float64) {
	t.Helper()
	const warmUp = 3
	times = [2]map[string][]float64{{}, {}}
	for i := range warmUp + pairs {
		for _, k := range rand.Perm(len(kinds)) {
			if !slices.Contains(names, kinds[k].name) {
				continue
			}
			for _, looks := range rand.Perm(2) {
				took := probe(t, tracker, h, fmt.Sprintf("%d/%d", n, looks), fmt.Sprintf("%d/elsewhere", n), fmt.Sprintf("%d/%d/%d", i, k, looks), looks == 1, kinds[k].reads, kinds[k].call)
				if i >= warmUp {
					times[looks][kinds[k].name] = append(times[looks][kinds[k].name], took)
				}
			}
		}
	}
	return times
}

// probe returns how many milliseconds a call of alice's takes in a conversation, while bob and bert
// mark there.
func probe(t *testing.T, tracker *delivery.Tracker, h hiding, conversation, elsewhere, id string, looks, reads bool,
	call func(context.Context, *delivery.Tracker, delivery.MessageRef) error,
) float64 {
	t.Helper()
	ctx := t.Context()
	message, other := delivery.MessageRef{Conversation: conversation, ID: conversation + " " + id}, delivery.MessageRef{Conversation: elsewhere, ID: elsewhere + " " + id}
	var wg sync.WaitGroup
	check := func(what string, err error) {
		if err != nil && !errors.Is(err, delivery.ErrNotFound) { // alice deletes some of what is marked
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, m := range []delivery.MessageRef{message, other} {
		wg.Go(func() {
			_, err := tracker.Send(ctx, draft("carol", m.Conversation, m.ID))
			check("carol's send", err)
		})
	}
	wg.Wait()
	ready, done := make(chan struct{}), make(chan struct{})
	for _, user := range []string{"bob", "bert"} {
		wg.Go(func() {
			<-ready
			hidden, actor := message, delivery.Actor{User: user, Hide: h.hide}
			if looks {
				hidden, actor.Hide = other, delivery.HideAll
			}
			for range overlap {
				if looks && h.looks != nil {
					check("what a mark looks like", h.looks(ctx, tracker, user, message.ID))
				}
				_, err := tracker.MarkRead(ctx, actor, hidden.ID)
				check("a hidden mark", err)
				select {
				case <-done:
					return
				default:
					_, err := tracker.MarkUnread(ctx, actor, hidden.ID)
					check("a flag", err)
				}
			}
		})
	}
	close(ready)
	time.Sleep(rand.N(lead))
	least := time.Duration(math.MaxInt64)
	for range cmp.Or(map[bool]int{true: repeats}[reads], 1) {
		began := time.Now()
		check("alice's call", call(ctx, tracker, message))
		least = min(least, time.Since(began))
	}
	close(done)
	wg.Wait()
	return least.Seconds() * 1000
}

func median(values []float64) float64 {
	return slices.Sorted(slices.Values(values))[len(values)/2]
}

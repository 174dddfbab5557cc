package model

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/msgdelivery/delivery"
)

func TestHistoriesAreLinearizable(t *testing.T) {
	keys := 48
	if *full {
		keys = 10_000
	}
	each(t, func(t *testing.T, s subject) {
		count := 0
		for round := 0; count < keys; round++ {
			seed := rand.Uint64()
			histories, err := record(t.Context(), s, seed)
			if err != nil {
				t.Fatal(err)
			}
			if bad := illegal(t, histories); bad != "" {
				t.Fatalf("seed %d: not linearizable: %s", seed, bad)
			}
			count += len(histories)
		}
		t.Logf("%d histories", count)
	})
}

// The size of a round of calls.
const (
	rounders  = 8  // workers
	perWorker = 14 // calls
	readers   = 4  // users, of whom all may mark
	drafts    = 4  // messages
)

// history is what was asked of one receipt and answered.
type history = []porcupine.Operation

// input is a call.
type input struct {
	mark delivery.Status // what was claimed; 0 for a read
}

// output is its answer.
type output struct {
	unknown bool // there was none
	status  delivery.Status
	version int64 // 0 if the answer does not say
	counted bool  // whether the answer says if the mark changed anything
	changed bool
}

// receipt is the model: a status that only grows, and the version at which it last did, 0 if that
// is not known.
var receipt = porcupine.Model{
	Init: func() any { return output{status: delivery.Sent} },
	Step: func(state, in, out any) (bool, any) {
		now, mark, answer := state.(output), in.(input).mark, out.(output)
		advances := mark > now.status
		if advances {
			now = output{status: mark}
		}
		if answer.unknown {
			return true, now
		}
		switch {
		case answer.counted && answer.changed != advances, answer.status != now.status:
			return false, now
		case answer.version != 0 && now.version != 0 && answer.version != now.version:
			return false, now
		case advances && answer.version != 0 && answer.version <= state.(output).version:
			return false, now
		}
		now.version = max(now.version, answer.version)
		return true, now
	},
	DescribeOperation: func(in, out any) string {
		call, answer := "look", out.(output)
		if mark := in.(input).mark; mark != 0 {
			call = "mark " + mark.String()
		}
		if answer.unknown {
			return call + " → ?"
		}
		return fmt.Sprintf("%s → %v at %d, changed %v", call, answer.status, answer.version, answer.changed)
	},
}

// illegal describes a history that is not linearizable, if there is one.
func illegal(t testing.TB, histories map[receiptKey]history) string {
	t.Helper()
	for key, h := range histories {
		switch porcupine.CheckOperationsTimeout(receipt, h, time.Minute) {
		case porcupine.Illegal:
			slices.SortFunc(h, func(a, b porcupine.Operation) int { return int(a.Call - b.Call) })
			text := fmt.Sprint(key)
			for _, op := range h {
				text += fmt.Sprintf("\n\t%9d to %19d: %s", op.Call, op.Return, receipt.DescribeOperation(op.Input, op.Output))
			}
			return text
		case porcupine.Unknown:
			t.Fatalf("a history of %d calls takes too long to check", len(h))
		}
	}
	return ""
}

// recorder takes down what workers do.
type recorder struct {
	subject  subject
	trackers [2]*delivery.Tracker
	began    time.Time
	users    []string
	messages []delivery.Message

	mu        sync.Mutex
	histories map[receiptKey]history
}

// record has workers mark and read new messages, and returns the histories of their receipts.
func record(ctx context.Context, s subject, seed uint64) (map[receiptKey]history, error) {
	r := &recorder{subject: s, began: time.Now(), histories: map[receiptKey]history{}}
	nobody := delivery.NotifierFunc(func(context.Context, []delivery.Event) error { return nil })
	var err error
	if r.trackers, err = s.trackers(nobody, delivery.Options{OpenConversations: true}); err != nil {
		return nil, err
	}
	for i := range readers {
		r.users = append(r.users, fmt.Sprint("user", i))
	}
	run := runs.Add(1)
	for i := range drafts {
		draft := delivery.Draft{ID: fmt.Sprint(run, "/", i), Conversation: fmt.Sprint(run, "/", i%2), Sender: "alice", Audience: delivery.Audience{Recipients: r.users}}
		if i == 0 {
			draft.Audience = delivery.Audience{Open: true}
		}
		m, err := r.trackers[0].Send(ctx, draft)
		if err != nil {
			return nil, err
		}
		r.messages = append(r.messages, m)
	}
	var workers sync.WaitGroup
	failures := make([]error, rounders)
	for i := range rounders {
		random := rand.New(rand.NewPCG(seed, uint64(i)))
		workers.Go(func() {
			for range perWorker {
				if err := r.call(ctx, i, random); err != nil {
					failures[i] = err
					return
				}
			}
		})
	}
	workers.Wait()
	return r.histories, errors.Join(errors.Join(failures...), s.drain(ctx))
}

// call makes a random call, and takes it down unless it failed without an effect.
func (r *recorder) call(ctx context.Context, worker int, random *rand.Rand) error {
	if random.IntN(4) == 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(random.IntN(3000))*time.Microsecond)
		defer cancel()
	}
	c := call{
		recorder: r, worker: worker, tracker: r.trackers[worker%2], began: time.Since(r.began),
		user: r.users[random.IntN(readers)], status: delivery.Delivered + delivery.Status(random.IntN(2)),
	}
	message := r.messages[random.IntN(drafts)]
	var some []string
	for _, m := range r.messages {
		if m.ID == message.ID || random.IntN(3) == 0 {
			some = append(some, m.ID)
		}
	}
	var err error
	switch n := random.IntN(20); {
	case n < 10:
		var results []delivery.MarkResult
		results, err = c.tracker.Mark(ctx, delivery.Actor{User: c.user}, c.status, some...)
		c.marked(some, results, err)
	case n < 12:
		err = c.inTransaction(ctx, some, random.IntN(4) > 0)
	case n < 13:
		_, err = c.tracker.MarkUpTo(ctx, delivery.Actor{User: c.user}, c.status, delivery.MessageRef{Conversation: message.Conversation, ID: message.ID})
		for _, m := range r.messages {
			if m.Conversation == message.Conversation && m.Seq <= message.Seq {
				c.write(m.ID, output{unknown: true}, err != nil) // the answer does not say what became of which
			}
		}
	case n < 17:
		var page delivery.ReceiptPage
		if page, err = c.tracker.Receipts(ctx, delivery.ReceiptQuery{Message: message.ID}); err == nil {
			for _, user := range r.users {
				c.read(message.ID, user, page.Receipts)
			}
		}
	default:
		var page delivery.Page
		page, err = c.tracker.Messages(ctx, delivery.Query{Conversation: message.Conversation, Viewer: c.user})
		for _, m := range page.Messages {
			if m.Own != nil {
				c.read(m.ID, c.user, []delivery.Receipt{delivery.Receipt(*m.Own)})
			} else {
				c.read(m.ID, c.user, nil)
			}
		}
	}
	if _, cut := ctx.Deadline(); cut {
		return nil // whatever came of it is taken down
	}
	return err
}

// call is one call under way.
type call struct {
	*recorder
	worker  int
	tracker *delivery.Tracker
	began   time.Duration
	user    string
	status  delivery.Status
}

// marked takes down the answer to a Mark. An error that does not say that the outcome is unknown
// says that there was none.
func (c *call) marked(messages []string, results []delivery.MarkResult, err error) {
	for i, id := range messages {
		var result delivery.MarkResult
		if err == nil {
			result = results[i]
		}
		switch failure := errors.Join(err, result.Err); {
		case failure == nil:
			c.write(id, output{status: result.Own.Status, version: result.Own.Version, counted: true, changed: result.Changed}, false)
		case errors.Is(failure, delivery.ErrOutcomeUnknown):
			c.write(id, output{unknown: true}, true)
		}
	}
}

// inTransaction marks in a transaction of the app's.
func (c *call) inTransaction(ctx context.Context, messages []string, commit bool) error {
	if c.subject.db == nil {
		return nil
	}
	tx, err := c.subject.db.BeginTx(ctx, nil)
	if err != nil {
		return nil // the app's own, who may find SQLite locked for too long
	}
	defer tx.Rollback()
	results, err := c.tracker.MarkTx(ctx, tx, delivery.Actor{User: c.user}, c.status, messages...)
	if err != nil || !commit {
		return err
	}
	if err = tx.Commit(); err != nil {
		err = fmt.Errorf("%w: %w", delivery.ErrOutcomeUnknown, err)
	}
	c.marked(messages, results, err)
	return err
}

func (c *call) write(message string, out output, open bool) {
	c.add(receiptKey{message, c.user}, input{c.status}, out, open)
}

func (c *call) read(message, user string, receipts []delivery.Receipt) {
	out := output{status: delivery.Sent}
	for _, r := range receipts {
		if r.Recipient == user && r.Status > delivery.Sent {
			out = output{status: r.Status, version: r.Version}
		}
	}
	c.add(receiptKey{message, user}, input{}, out, false)
}

// add takes down a call; an open one may yet have an effect, or never.
func (c *call) add(key receiptKey, in input, out output, open bool) {
	ended := int64(math.MaxInt64)
	if !open {
		ended = int64(time.Since(c.recorder.began))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.histories[key] = append(c.histories[key], porcupine.Operation{
		ClientId: c.worker, Input: in, Output: out, Call: int64(c.began), Return: ended,
	})
}

package watchers

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliverywire"
)

// view is a message as a watcher shows it.
type view struct {
	Sender                 string
	Version                int64
	Status                 delivery.Status
	Delivered, Read, Total int
}

// span is a range of versions, both ends included.
type span struct{ from, to int64 }

// watcher is a page without a browser, which shows what became of all messages of the conversation.
type watcher struct {
	world  *world
	name   string
	habit  habit
	random *rand.Rand // of its connections
	epoch  int64      // of the page that it read last

	mu        sync.Mutex
	views     map[string]view // by message
	version   int64           // everything up to here is known
	ahead     []span          // what is known beyond that
	socket    string          // the id of the connection; "" while there is none
	hangUp    context.CancelFunc
	backwards []string // what went back

	behind chan struct{} // holds a value when there are changes to be read
	moved  chan struct{} // holds a value when version has moved
}

// habit is what a watcher does otherwise than it should.
type habit string

const (
	careful  habit = ""
	heedless habit = "reads no changes but at its start"
	gullible habit = "believes whatever comes last"
)

func newWatcher(w *world, name string, habit habit, random *rand.Rand) *watcher {
	return &watcher{
		world: w, name: name, habit: habit, random: random, views: map[string]view{}, hangUp: func() {},
		behind: make(chan struct{}, 1), moved: make(chan struct{}, 1),
	}
}

// watch connects again and again until ctx ends.
func (w *watcher) watch(ctx context.Context) {
	for ctx.Err() == nil {
		w.connection(ctx)
	}
}

// cut ends the watcher's connection, if it has one.
func (w *watcher) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hangUp()
}

// connection is the life of one connection.
func (w *watcher) connection(ctx context.Context) {
	ctx, hangUp := context.WithCancel(ctx)
	defer hangUp()
	w.mu.Lock()
	w.hangUp = hangUp
	w.mu.Unlock()
	l := newLine(w.random, &w.world.calm)
	served := make(chan struct{})
	go func() {
		defer close(served)
		w.world.pusher.ServeConn(ctx, l, w.world.pusher.Key)
		hangUp()
	}()
	for ctx.Err() == nil {
		select {
		case message := <-l.toWatcher:
			w.receive(ctx, l, message)
		case <-w.behind:
			w.readChanges(ctx)
		case <-ctx.Done():
		}
	}
	w.mu.Lock()
	w.socket = ""
	w.mu.Unlock()
	<-served
}

// receive takes a message of the Pusher protocol.
func (w *watcher) receive(ctx context.Context, l *line, message []byte) {
	var frame struct{ Event, Data string }
	if err := json.Unmarshal(message, &frame); err != nil {
		w.world.t.Errorf("%s got %q: %v", w.name, message, err)
		return
	}
	switch frame.Event {
	case "pusher:connection_established":
		var hello struct {
			SocketID string `json:"socket_id"`
		}
		json.Unmarshal([]byte(frame.Data), &hello)
		w.mu.Lock()
		w.socket = hello.SocketID
		w.mu.Unlock()
		form := url.Values{"socket_id": {hello.SocketID}, "channel_name": {w.world.channel}}
		entry, err := w.world.app.AuthorizePrivateChannel([]byte(form.Encode()))
		if err != nil {
			w.world.t.Error(err)
			return
		}
		subscription := strings.Replace(string(entry), "{", fmt.Sprintf(`{"channel":%q,`, w.world.channel), 1)
		l.toServer <- []byte(`{"event":"pusher:subscribe","data":` + subscription + `}`)
	case "pusher_internal:subscription_succeeded":
		w.readChanges(ctx) // not before, lest something falls between
	case "message", "status":
		var payload deliverywire.Payload
		if err := json.Unmarshal([]byte(frame.Data), &payload); err != nil {
			w.world.t.Errorf("%s got %q: %v", w.name, frame.Data, err)
			return
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, u := range payload.Expand() {
			w.show(u.Message, view{u.Sender, u.Version, u.Status, u.Delivered, u.Read, u.Total})
		}
		w.learn(span{payload.From, payload.To})
	default:
		w.world.t.Errorf("%s got %s: %s", w.name, frame.Event, frame.Data)
	}
}

// readChanges reads all that has changed since the version that the watcher knows.
func (w *watcher) readChanges(ctx context.Context) {
	for more := w.habit != heedless || w.at() == 0; more; {
		page, err := w.world.tracker().Changes(ctx, conversation, delivery.Cursor{Version: w.at(), Epoch: w.epoch}, 50)
		if ctx.Err() != nil {
			return // the next connection will read them
		}
		if err != nil {
			w.world.t.Errorf("%s reads the changes: %v", w.name, err)
			return
		}
		if page.Reset && w.epoch != 0 {
			w.world.t.Errorf("%s is told to start over", w.name)
		}
		w.epoch = page.Epoch
		if page.Reset {
			continue // events that came before the first page told a version, and no epoch
		}
		w.mu.Lock()
		for _, m := range page.Messages {
			w.show(m.ID, viewOf(m))
		}
		w.learn(span{0, page.Version})
		w.mu.Unlock()
		more = page.More
	}
}

func viewOf(m delivery.Message) view {
	return view{m.Sender, m.Version, m.Status, m.Delivered, m.Read, m.Total}
}

// show shows a message, unless what is shown is newer. The caller holds w.mu.
func (w *watcher) show(id string, v view) {
	old := w.views[id]
	if v.Version <= old.Version && w.habit != gullible {
		return
	}
	if !v.Status.Reaches(old.Status) && old.Version > 0 || v.Delivered < old.Delivered || v.Read < old.Read {
		w.backwards = append(w.backwards, fmt.Sprintf("%s: %+v became %+v", id, old, v))
	}
	w.views[id] = v
}

// learn notes that the changes of some versions are known. If there are unknown ones before them,
// it has them read. The caller holds w.mu.
func (w *watcher) learn(s span) {
	w.ahead = append(w.ahead, s)
	slices.SortFunc(w.ahead, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	for len(w.ahead) > 0 && w.ahead[0].from <= w.version+1 {
		w.version = max(w.version, w.ahead[0].to)
		w.ahead = w.ahead[1:]
	}
	if len(w.ahead) > 0 {
		signal(w.behind)
	}
	signal(w.moved)
}

// signal puts a value into a channel that holds one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// at returns the version up to which the watcher knows everything.
func (w *watcher) at() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.version
}

// act does one thing that a user does: it sends a message, or marks some. Its own events exclude
// the watcher's connection, so it has to make do with the answers.
func (w *watcher) act(ctx context.Context, random *rand.Rand) error {
	w.mu.Lock()
	actor := delivery.Actor{User: w.name, Socket: w.socket}
	var others []string
	for id, v := range w.views {
		if v.Sender != w.name {
			others = append(others, id)
		}
	}
	w.mu.Unlock()
	slices.Sort(others)
	random.Shuffle(len(others), func(i, j int) { others[i], others[j] = others[j], others[i] })

	tracker := w.world.tracker()
	var err error
	switch chance := random.IntN(20); {
	case chance < 1 || len(others) == 0:
		var m delivery.Message
		m, err = tracker.Send(ctx, delivery.Draft{
			Conversation: conversation, Sender: w.name, Body: "hello", Audience: delivery.Audience{Recipients: w.world.members, Quorum: 1 + random.IntN(4)}, Socket: actor.Socket,
		})
		if err == nil {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.show(m.ID, viewOf(m))
			w.learn(span{m.Seq, m.Seq})
		}
		return err
	case chance < 8:
		_, err = tracker.Mark(ctx, actor, delivery.Delivered, others[:min(3, len(others))]...)
	case chance < 16:
		_, err = tracker.MarkRead(ctx, actor, others[0])
	default:
		_, err = tracker.MarkUpTo(ctx, actor, delivery.Delivered, delivery.MessageRef{Conversation: conversation, ID: others[0]})
	}
	signal(w.behind) // the answers have receipts only, not what they made of the messages
	return err
}

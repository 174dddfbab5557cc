//go:build !race

package orm

import (
	"crypto/rand"
	"reflect"
	"strings"
	"testing"

	"github.com/msgdelivery/delivery"
)

// scene is a conversation in which alice has sent bob one message, "first".
type scene struct {
	*testing.T
	*world
	conversation string
}

var bob = delivery.Actor{User: "bob"}

func (w *world) scene(t *testing.T) scene {
	s := scene{T: t, world: w, conversation: rand.Text()}
	_, err := w.tracker.Send(t.Context(), s.draft("first"))
	must(t, err)
	return s
}

// id names a message or a row of the app's.
func (s scene) id(name string) string { return s.conversation + " " + name }

// draft is a message of alice's to bob, whose body is its name.
func (s scene) draft(name string) delivery.Draft {
	return delivery.Draft{ID: s.id(name), Conversation: s.conversation, Sender: "alice", Body: name, Audience: delivery.Audience{Recipients: []string{"bob"}}}
}

func (s scene) send(in inside, name string) error {
	_, err := s.tracker.SendTx(s.Context(), in.tx, s.draft(name))
	return err
}

func (s scene) read(in inside, name string) error {
	results, err := s.tracker.MarkTx(s.Context(), in.tx, bob, delivery.Read, s.id(name))
	if err == nil {
		err = results[0].Err
	}
	return err
}

func (s scene) deliverUpTo(in inside, name string) error {
	_, err := s.tracker.MarkUpToTx(s.Context(), in.tx, bob, delivery.Delivered, delivery.MessageRef{Conversation: s.conversation, ID: s.id(name)})
	return err
}

// stored is what the database has of a scene.
type stored struct {
	rows      []string // of the app's
	messages  []string // with bob's status
	announced []string // with the highest status that the notifier was told of
}

// has fails the test unless the database has just what is wanted.
func (s scene) has(want stored) {
	s.Helper()
	must(s.T, s.tracker.Flush(s.Context()))
	got := stored{rows: s.rows()}
	page, err := s.tracker.Messages(s.Context(), delivery.Query{Conversation: s.conversation})
	must(s.T, err)
	for _, m := range page.Messages {
		receipts, err := s.tracker.Receipts(s.Context(), delivery.ReceiptQuery{Message: m.ID})
		must(s.T, err)
		got.messages = append(got.messages, m.Body+" "+receipts.Receipts[0].Status.String())
		var announced delivery.Status
		for _, e := range s.events.Events() {
			for _, u := range e.Updates {
				if u.Message == m.ID {
					announced = max(announced, u.Status)
				}
			}
		}
		got.announced = append(got.announced, m.Body+" "+announced.String())
	}
	if !reflect.DeepEqual(got, want) {
		s.Errorf("the database has %q, want %q", got, want)
	}
}

// rows returns the names of the app's rows.
func (s scene) rows() (names []string) {
	s.Helper()
	rows, err := s.db.QueryContext(s.Context(), "SELECT id FROM notes ORDER BY id")
	must(s.T, err)
	defer rows.Close()
	for rows.Next() {
		var id string
		must(s.T, rows.Scan(&id))
		if name, ok := strings.CutPrefix(id, s.id("")); ok {
			names = append(names, name)
		}
	}
	must(s.T, rows.Err())
	return names
}

// before is what the database has of a scene before anything else happens.
var before = stored{messages: []string{"first sent"}, announced: []string{"first sent"}}

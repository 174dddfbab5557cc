package pusheradapter

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/msgdelivery/delivery"
)

func TestMerge(t *testing.T) {
	// An event is written as its conversation, its versions and its socket; "m" before it makes it
	// a new message, and "!" after it a replayed one.
	parse := func(s string) delivery.Event {
		e := delivery.Event{Kind: delivery.StatusChanged}
		s, isMessage := strings.CutPrefix(s, "m")
		if isMessage {
			e.Kind = delivery.MessageSent
		}
		s, replayed := strings.CutSuffix(s, "!")
		if _, err := fmt.Sscanf(s, "%1s%d-%d/%s", &e.Conversation, &e.From, &e.To, &e.Except); err != nil {
			t.Fatal(s, err)
		}
		for v := e.From; v <= e.To; v++ {
			e.Updates = append(e.Updates, delivery.Update{Version: v})
		}
		if replayed {
			e.Updates[len(e.Updates)-1].Version = 90
		}
		return e
	}
	tests := []struct{ name, events, want string }{
		{"nothing", "", ""},
		{"one", "c1-1/x", "c1-1/x"},
		{"those that follow each other", "c1-1/x c2-4/x c5-5/x", "c1-5/x"},
		{"not across a gap", "c1-1/x c3-3/x", "c1-1/x c3-3/x"},
		{"not backwards", "c2-2/x c1-1/x", "c2-2/x c1-1/x"},
		{"not the same again", "c1-1/x c1-1/x", "c1-1/x c1-1/x"},
		{"not of different sockets", "c1-1/x c2-2/y c3-3/x", "c1-1/x c2-2/y c3-3/x"},
		{"not of different conversations", "c1-1/x d2-2/x", "c1-1/x d2-2/x"},
		{"others may stand between", "c1-1/x d1-1/x mc7-7/x c2-2/x d2-2/x", "c1-2/x d1-2/x mc7-7/x"},
		{"not messages", "mc1-1/x mc2-2/x", "mc1-1/x mc2-2/x"},
		{"not a status and a message", "mc1-1/x c2-2/x mc3-3/x", "mc1-1/x c2-2/x mc3-3/x"},
		{"nothing after a replayed one", "c1-1/x! c2-2/x", "c1-1/x c2-2/x"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var events []delivery.Event
			for _, s := range strings.Fields(test.events) {
				events = append(events, parse(s))
			}
			var got []string
			var of []int
			for _, p := range merge(events, consecutive) {
				s := fmt.Sprintf("%s%d-%d/%s", p.Conversation, p.From, p.To, p.Except)
				if p.Kind == delivery.MessageSent {
					s = "m" + s
				}
				got = append(got, s)
				if len(p.Updates) != int(p.To-p.From)+1 {
					t.Errorf("%s has %d updates", s, len(p.Updates))
				}
				of = append(of, p.of...)
			}
			if text := strings.Join(got, " "); text != test.want {
				t.Errorf("merged to %s, want %s", text, test.want)
			}
			slices.Sort(of)
			for i := range events {
				if len(of) != len(events) || of[i] != i {
					t.Fatalf("tells of the events %v", of)
				}
			}
		})
	}
}

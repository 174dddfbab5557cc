package observer

import (
	"fmt"

	"github.com/msgdelivery/delivery"
	"pgregory.net/rapid"
)

// all is what the sequences are about: few names, so that they meet. The others are all but bob.
// The app's rule lets dave into no conversation, and carol into one.
var all = struct{ conversations, others, ids []string }{
	[]string{"c", "d"}, []string{"alice", "carol", "dave"}, []string{"m1", "m2", "m3", "m4"},
}

var (
	conversations = rapid.SampledFrom([]string{"c", "c", "d"})
	others        = rapid.SampledFrom(all.others)
	ids           = rapid.SampledFrom(all.ids)
	statuses      = rapid.SampledFrom([]delivery.Status{delivery.Delivered, delivery.Read})
	hidings       = rapid.SampledFrom([]delivery.Hide{delivery.HideNothing, delivery.HideRead, delivery.HideAll, delivery.HideAll})
)

// verb is what a step does.
type verb string

const (
	send         verb = "send"
	mark         verb = "mark"
	upTo         verb = "mark up to"
	dismiss      verb = "dismiss"
	flagUnread   verb = "mark unread"
	remove       verb = "delete"
	removeAll    verb = "delete the conversation"
	fail         verb = "fail" // to reach bob, as the app says
	erase        verb = "erase"
	refuseEvents verb = "refuse events"
	replay       verb = "replay"
)

// step is one call of a sequence.
type step struct {
	verb         verb
	user         string
	hide         delivery.Hide
	status       delivery.Status
	conversation string
	messages     []string
	recipients   []string      // of a send; nil for an open audience
	cap          delivery.Hide // what sends say that bob hides, for good
}

func (s step) String() string {
	return fmt.Sprintf("%s: %s, hiding %d and always %d, %v, %s, %q, to %q", s.user, s.verb, s.hide, s.cap, s.status, s.conversation, s.messages, s.recipients)
}

// scripts draws sequences of calls. The first ones send, so that there is something to mark.
var scripts = rapid.Custom(func(t *rapid.T) []step {
	var script []step
	for range rapid.IntRange(1, 3).Draw(t, "sends") {
		script = append(script, drawSend(t))
	}
	script = append(script, rapid.SliceOfN(rapid.Custom(drawStep), 3, 20).Draw(t, "steps")...)
	if always := hidings.Draw(t, "always hidden"); always != delivery.HideNothing && rapid.Bool().Draw(t, "frozen alone") {
		for i := range script {
			if script[i].cap = always; script[i].verb == send && script[i].recipients == nil {
				script[i].recipients = []string{"alice", "bob", "carol"} // open messages say of nobody what is hidden
			}
		}
	}
	return script
})

func drawSend(t *rapid.T) step {
	s := step{verb: send, user: others.Draw(t, "sender"), conversation: conversations.Draw(t, "conversation"), messages: []string{ids.Draw(t, "message")}}
	if rapid.Bool().Draw(t, "frozen") {
		s.recipients = rapid.SampledFrom([][]string{{"alice", "bob", "carol"}, {"bob"}, {"alice", "carol"}, {"alice", "bob"}}).Draw(t, "recipients")
	}
	return s
}

func drawStep(t *rapid.T) step {
	s := step{
		status: statuses.Draw(t, "status"), conversation: conversations.Draw(t, "conversation"),
		messages: rapid.SliceOfN(ids, 1, 3).Draw(t, "messages"),
	}
	switch rapid.IntRange(0, 9).Draw(t, "whose") {
	case 0, 1:
		return drawSend(t)
	case 2, 3:
		s.user = others.Draw(t, "user")
		s.verb = rapid.SampledFrom([]verb{mark, mark, upTo, dismiss, flagUnread, remove}).Draw(t, "verb")
	case 4:
		s.verb = rapid.SampledFrom([]verb{refuseEvents, replay, replay, erase, removeAll, fail, fail, fail}).Draw(t, "verb")
	default:
		s.user, s.hide = "bob", hidings.Draw(t, "hiding")
		s.verb = rapid.SampledFrom([]verb{mark, mark, mark, upTo, upTo, dismiss, flagUnread}).Draw(t, "verb")
	}
	return s
}

// shown returns what a step is to look like to others, and whether it is to look like anything.
func (s step) shown() (step, bool) {
	if s.user != "bob" {
		return s, true
	}
	hide := max(s.hide, s.cap)
	if s.verb == dismiss || s.verb == flagUnread || hide == delivery.HideAll {
		return s, false
	}
	if hide == delivery.HideRead {
		s.status = delivery.Delivered
	}
	s.hide = delivery.HideNothing
	return s, true
}

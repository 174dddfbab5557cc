package security

import (
	"context"
	"net/http"
	"slices"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliveryhttp"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/pusher/pusher-http-go/v5"
)

func TestForbiddenCallsFindEveryHole(t *testing.T) {
	trusting := http.NewCrossOriginProtection()
	trusting.AddInsecureBypassPattern("/")
	for name, hole := range map[string]options{
		"the rule lets everyone view": {authorize: func(user string, to delivery.Action, conversation string) bool {
			return to == delivery.ToView || mayIn(user, to, conversation)
		}},
		"the rule forgets that dan left": {authorize: func(user string, to delivery.Action, conversation string) bool {
			return mayIn(user, to, conversation) || user == "dan" && conversation == "acme/room"
		}},
		"a header is believed": {identify: func(r *http.Request) string {
			if user := r.Header.Get("X-Forwarded-User"); user != "" {
				return user
			}
			return sessions[r.Header.Get("Session")]
		}},
		"nobody signed out": {identify: func(r *http.Request) string {
			if user := sessions[r.Header.Get("Session")]; user != "" {
				return user
			}
			return "alice"
		}},
		"every origin is trusted":        {http: deliveryhttp.Options{CrossOrigin: trusting}},
		"every channel is signed":        {auth: naive(func(string) bool { return true })},
		"channels are told by prefix":    {auth: naive(func(user string) bool { return mayIn(user, delivery.ToView, "acme/room") })},
		"the store admits every mark":    {wrap: func(s delivery.Store) delivery.Store { return admitting{s} }},
		"the store lets senders mark":    {wrap: func(s delivery.Store) delivery.Store { return impartial{s} }},
		"the store repeats some message": {wrap: func(s delivery.Store) delivery.Store { return noisy{s} }},
	} {
		t.Run(name, func(t *testing.T) {
			a := newApp(t, engines.All[0], hole)
			breach := a.attack(t.Context(), newRandom(t), 20_000)
			if breach == nil {
				t.Fatal("not found")
			}
			t.Logf("%.300v", breach)
		})
	}
}

// naive is an auth endpoint that signs what it is asked for, for the users who may enter some
// channel.
func naive(may func(user string) bool) func(a *app) http.Handler {
	return func(a *app) http.Handler {
		client := pusher.Client{AppID: a.pusher.AppID, Key: a.pusher.Key, Secret: a.pusher.Secret}
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body := "socket_id=" + r.PostFormValue("socket_id") + "&channel_name=" + r.PostFormValue("channel_name")
			answer, err := client.AuthorizePrivateChannel([]byte(body))
			if err != nil || !may(sessions[r.Header.Get("Session")]) {
				http.Error(w, "no", http.StatusForbidden)
				return
			}
			w.Write(answer)
		})
	}
}

// admitting lets everyone mark open messages.
type admitting struct{ delivery.Store }

func (s admitting) Advance(ctx context.Context, marks []delivery.Mark, lease delivery.Lease) ([]delivery.Marked, []delivery.Claimed, error) {
	marks = slices.Clone(marks)
	for i := range marks {
		marks[i].Admitted = true
	}
	return s.Store.Advance(ctx, marks, lease)
}

// impartial does not know a sender when it sees one.
type impartial struct{ delivery.Store }

func (s impartial) Advance(ctx context.Context, marks []delivery.Mark, lease delivery.Lease) ([]delivery.Marked, []delivery.Claimed, error) {
	marks = slices.Clone(marks)
	for i := range marks {
		if marks[i].User == "alice" && marks[i].Message == "room-open" {
			marks[i].User, marks[i].Admitted = "alice (me)", true
		}
	}
	return s.Store.Advance(ctx, marks, lease)
}

// noisy tells again of a message whenever someone asks who got it.
type noisy struct{ delivery.Store }

func (s noisy) Load(ctx context.Context, ids []string) ([]delivery.Message, error) {
	found, err := s.Store.Load(ctx, ids)
	if err == nil && len(found) > 0 {
		_, _, err = s.Create(ctx, []delivery.NewMessage{{
			Header: delivery.Header{ID: found[0].ID + "+", Conversation: "echo", Sender: "echo", Open: true, Quorum: 1, SentAt: found[0].SentAt},
		}}, delivery.Lease{})
	}
	return found, err
}

package pusheradapter_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/memstore"
	"github.com/msgdelivery/delivery/pusheradapter"
	"github.com/msgdelivery/delivery/pusheradapter/pushertest"
)

var _ pusheradapter.Authorizer = (*delivery.Tracker)(nil)

// rule is an Authorizer that knows who may view what, and remembers what it was asked.
type rule struct {
	allowed map[string]string // user to conversation
	err     error             // what it answers instead, if set
	asked   []string
}

func (r *rule) Authorize(_ context.Context, user string, to delivery.Action, conversation string) error {
	r.asked = append(r.asked, fmt.Sprint(user, " ", to, " ", conversation))
	if r.err != nil {
		return r.err
	}
	if r.allowed[user] != conversation {
		return fmt.Errorf("the app says: %w", delivery.ErrForbidden)
	}
	return nil
}

// identify takes the user's name from a header, as no app should.
func identify(r *http.Request) (string, error) {
	if r.Header.Get("User") == "broken" {
		return "", errors.New("canary: the sessions are gone")
	}
	return r.Header.Get("User"), nil
}

// newAuthHandler returns the endpoint of an app in which bob may view team:42.
func newAuthHandler(t testing.TB, options *pusheradapter.Options) (http.Handler, *rule) {
	t.Helper()
	config := pusheradapter.Config{AppID: "1", Key: "the-key", Secret: "topsecret", Host: "pusher.invalid"}
	notifier, err := pusheradapter.New(config, options)
	if err != nil {
		t.Fatal(err)
	}
	rule := &rule{allowed: map[string]string{"bob": "team:42"}}
	handler, err := notifier.AuthHandler(rule, identify, &pusheradapter.AuthOptions{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return handler, rule
}

// ask posts a form as pusher-js does and returns the answer.
func ask(handler http.Handler, user, socket, channel string) *httptest.ResponseRecorder {
	form := url.Values{"socket_id": {socket}, "channel_name": {channel}}
	return post(handler, user, form.Encode())
}

func post(handler http.Handler, user, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", "/pusher/auth", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("User", user)
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w
}

// postTo posts a form of bob's to a path, and returns the status and the fields of the answer.
func postTo(handler http.Handler, path, form string) (int, map[string]string) {
	r := httptest.NewRequest("POST", path, strings.NewReader(form))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("User", "bob")
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	var answer map[string]string
	_ = json.Unmarshal(w.Body.Bytes(), &answer)
	return w.Code, answer
}

// signature is what Pusher expects to be signed, by the documentation of its protocol.
func signature(text string) string {
	mac := hmac.New(sha256.New, []byte("topsecret"))
	mac.Write([]byte(text))
	return "the-key:" + hex.EncodeToString(mac.Sum(nil))
}

func TestAuthSignsForWhoMayView(t *testing.T) {
	for channel, want := range map[string]map[string]string{
		"private-conv-team=3A42": {"auth": signature("123.456:private-conv-team=3A42")},
		"presence-conv-team=3A42": {
			"auth":         signature(`123.456:presence-conv-team=3A42:{"user_id":"bob","user_info":{"id":"bob"}}`),
			"channel_data": `{"user_id":"bob","user_info":{"id":"bob"}}`,
		},
	} {
		t.Run(channel, func(t *testing.T) {
			handler, rule := newAuthHandler(t, nil)
			w := ask(handler, "bob", "123.456", channel)
			var got map[string]string
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 || fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%d %s, want %v", w.Code, w.Body, want)
			}
			if fmt.Sprint(rule.asked) != "[bob view team:42]" {
				t.Errorf("the rule was asked %v", rule.asked)
			}
			if w.Header().Get("Content-Type") != "application/json" || w.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("headers: %v", w.Header())
			}
		})
	}
}

func TestAuthRefusesEveryOtherChannelAlike(t *testing.T) {
	handler, rule := newAuthHandler(t, nil)
	refused := ask(handler, "carol", "123.456", "private-conv-team=3A42")
	if refused.Code != 403 || len(rule.asked) != 1 {
		t.Fatalf("%d, asked %v", refused.Code, rule.asked)
	}
	for _, channel := range []string{
		"",
		"private-conv-",
		"private-conv-other",
		"private-conv-team:42",
		"private-conv-team=3a42",
		"private-conv-team=3A42 ",
		"private-conv-team=3A42\n",
		"private-conv-team=3A42\x00",
		"Private-conv-team=3A42",
		"conv-team=3A42",
		"team:42",
		"private-team=3A42",
		"private-encrypted-conv-team=3A42",
		"private-encrypted-team=3A42",
		"private-cache-conv-team=3A42",
		"#server-to-user-bob",
		"presence-conv-other",
		// A private channel's signature covers socket:channel, a presence channel's
		// socket:channel:member. Signing these would make bob someone else.
		`presence-conv-team=3A42:{"user_id":"victim"}`,
		`private-conv-team=3A42:{"user_id":"victim"}`,
		`presence-room:{"user_id":"victim"}`,
		`presence-conv-team=3A42:`,
		"private-conv-" + strings.Repeat("x", 128),
		"private-conv-" + strings.Repeat("x", 8_000),
	} {
		w := ask(handler, "bob", "123.456", channel)
		if w.Code != 403 || w.Body.String() != refused.Body.String() || fmt.Sprint(w.Header()) != fmt.Sprint(refused.Header()) {
			t.Errorf("%.60q: %d %v %s", channel, w.Code, w.Header(), w.Body)
		}
	}
}

func TestAuthForAnAppsOwnChannels(t *testing.T) {
	encode := func(context.Context, delivery.Event) ([]pusheradapter.Trigger, error) { return nil, nil }
	t.Run("are parsed by the app's own function", func(t *testing.T) {
		handler, _ := newAuthHandler(t, &pusheradapter.Options{Encode: encode, Conversation: func(channel string) (string, bool) {
			return "team:42", strings.HasSuffix(channel, "-mine")
		}})
		for channel, want := range map[string]int{
			"private-mine": 200, "presence-mine": 200, "private-cache-mine": 200, "private-conv-team=3A42": 403,
			// These no app can let in by mistake.
			"mine-mine": 403, "private-a:b-mine": 403, "private-encrypted-mine": 403, `presence-x:{"user_id":"victim"}-mine`: 403,
			"private-" + strings.Repeat("x", 160) + "-mine": 403,
		} {
			if w := ask(handler, "bob", "1.1", channel); w.Code != want {
				t.Errorf("%s: %d, want %d", channel, w.Code, want)
			}
		}
	})
	t.Run("need such a function", func(t *testing.T) {
		srv := pushertest.NewServer(t)
		notifier := newNotifier(t, srv, &pusheradapter.Options{Encode: encode})
		var typed *pusheradapter.ConfigError
		if _, err := notifier.AuthHandler(&rule{}, identify, nil); !errors.As(err, &typed) {
			t.Errorf("got %v", err)
		}
	})
}

func TestAuthHandlerNeedsItsArguments(t *testing.T) {
	notifier := newNotifier(t, pushertest.NewServer(t), nil)
	var typed *pusheradapter.ConfigError
	if _, err := notifier.AuthHandler(nil, identify, nil); !errors.As(err, &typed) {
		t.Errorf("without an authorizer: %v", err)
	}
	if _, err := notifier.AuthHandler(&rule{}, nil, nil); !errors.As(err, &typed) {
		t.Errorf("without identify: %v", err)
	}
}

func TestAuthAsksTheTracker(t *testing.T) {
	notifier := newNotifier(t, pushertest.NewServer(t), nil)
	open, err := delivery.New(memstore.New(), notifier, &delivery.Options{OpenConversations: true})
	if err != nil {
		t.Fatal(err)
	}
	handler, err := notifier.AuthHandler(open, identify, nil)
	if err != nil {
		t.Fatal(err)
	}
	if w := ask(handler, "anyone", "1.1", "private-conv-c1"); w.Code != 200 {
		t.Errorf("open conversations: %d", w.Code)
	}
	if w := ask(handler, strings.Repeat("x", 129), "1.1", "private-conv-c1"); w.Code != 403 {
		t.Errorf("a user whose id is too long: %d", w.Code)
	}
	closed, err := delivery.New(memstore.New(), notifier, &delivery.Options{
		Authorize: func(_ context.Context, user string, _ delivery.Action, _ string) (bool, error) {
			return user == "bob", nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if handler, err = notifier.AuthHandler(closed, identify, nil); err != nil {
		t.Fatal(err)
	}
	for user, want := range map[string]int{"bob": 200, "carol": 403} {
		if w := ask(handler, user, "1.1", "private-conv-c1"); w.Code != want {
			t.Errorf("%s: %d, want %d", user, w.Code, want)
		}
	}
}

func TestASignedSocketGetsIntoTheChannel(t *testing.T) {
	srv := pushertest.NewServer(t)
	notifier := newNotifier(t, srv, nil)
	handler, err := notifier.AuthHandler(&rule{allowed: map[string]string{"bob": "team:42"}}, identify, nil)
	if err != nil {
		t.Fatal(err)
	}
	authorize := func(user string) func(socketID, channel string) (pushertest.Authorization, error) {
		return func(socketID, channel string) (answer pushertest.Authorization, err error) {
			w := ask(handler, user, socketID, channel)
			if w.Code != 200 {
				return answer, fmt.Errorf("status %d", w.Code)
			}
			return answer, json.Unmarshal(w.Body.Bytes(), &answer)
		}
	}
	bob := srv.Dial(t)
	bob.Authorize = authorize("bob")
	for _, channel := range []string{"private-conv-team=3A42", "presence-conv-team=3A42"} {
		if err := bob.TrySubscribe(channel); err != nil {
			t.Errorf("bob, %s: %v", channel, err)
		}
	}
	carol := srv.Dial(t)
	carol.Authorize = authorize("carol")
	if carol.TrySubscribe("private-conv-team=3A42") == nil {
		t.Error("carol got in")
	}
	if err := notifier.Notify(t.Context(), []delivery.Event{newEvent("team:42", 1)}); err != nil {
		t.Fatal(err)
	}
	if got := bob.Drain(t.Context()); len(got) != 1 || got[0].Name != "message" {
		t.Errorf("bob was told %v", got)
	}
	if got := carol.Drain(t.Context()); len(got) != 0 {
		t.Errorf("carol was told %v", got)
	}
}

func FuzzAuth(f *testing.F) {
	f.Add("123.456", "private-conv-team=3A42")
	f.Add("1.1", `presence-conv-team=3A42:{"user_id":"victim"}`)
	f.Add("1.1:x", "private-conv-x")
	f.Add("1.1\n", "presence-conv-team=3A42")
	handler, _ := newAuthHandler(f, nil)
	f.Fuzz(func(t *testing.T, socket, channel string) {
		w := ask(handler, "bob", socket, channel)
		switch channel {
		case "private-conv-team=3A42", "presence-conv-team=3A42":
		default:
			if w.Code == 200 {
				t.Errorf("%q was signed for %q", channel, socket)
			}
			return
		}
		if w.Code == 200 && strings.Trim(socket, "0123456789.") != "" {
			t.Errorf("%q was signed for %q", channel, socket)
		}
	})
}

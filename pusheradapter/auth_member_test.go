package pusheradapter_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/msgdelivery/delivery/pusheradapter"
	"github.com/msgdelivery/delivery/pusheradapter/pushertest"
)

// newMemberHandler is newAuthHandler with a UserInfo.
func newMemberHandler(t *testing.T, info func(context.Context, string) (map[string]any, error)) http.Handler {
	t.Helper()
	config := pusheradapter.Config{AppID: "1", Key: "the-key", Secret: "topsecret", Host: "pusher.invalid"}
	notifier, err := pusheradapter.New(config, nil)
	if err != nil {
		t.Fatal(err)
	}
	handler, err := notifier.AuthHandler(&rule{allowed: map[string]string{"bob": "c1"}}, identify,
		&pusheradapter.AuthOptions{UserInfo: info, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return handler
}

func TestAuthTellsWhoAMemberIs(t *testing.T) {
	type infoFunc = func(context.Context, string) (map[string]any, error)
	for name, test := range map[string]struct {
		info infoFunc
		want string // of user_info; "" is a failure
	}{
		"by the id alone": {nil, `{"id":"bob"}`},
		"by what the app adds": {func(_ context.Context, user string) (map[string]any, error) {
			return map[string]any{"name": "Bob <B>", "admin": true, "of": user}, nil
		}, `{"admin":true,"id":"bob","name":"Bob \u003cB\u003e","of":"bob"}`},
		"by the id if the app adds nothing": {func(context.Context, string) (map[string]any, error) { return nil, nil }, `{"id":"bob"}`},
		"never by another's id": {func(context.Context, string) (map[string]any, error) {
			return map[string]any{"id": "alice"}, nil
		}, `{"id":"bob"}`},
		"not if the app cannot say": {func(context.Context, string) (map[string]any, error) { return nil, errors.New("canary") }, ""},
		"not by what is no JSON": {func(context.Context, string) (map[string]any, error) {
			return map[string]any{"f": func() {}}, nil
		}, ""},
		"not by more than Pusher takes": {func(context.Context, string) (map[string]any, error) {
			return map[string]any{"name": strings.Repeat("x", pusheradapter.MaxMember)}, nil
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := ask(newMemberHandler(t, test.info), "bob", "1.1", "presence-conv-c1")
			if test.want == "" {
				if w.Code != 500 || strings.Contains(w.Body.String(), "canary") {
					t.Errorf("%d %s", w.Code, w.Body)
				}
				return
			}
			data := `{"user_id":"bob","user_info":` + test.want + `}`
			var got map[string]string
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || got["channel_data"] != data || got["auth"] != signature("1.1:presence-conv-c1:"+data) {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
	t.Run("without changing the app's own map", func(t *testing.T) {
		info := map[string]any{"name": "Bob"}
		ask(newMemberHandler(t, func(context.Context, string) (map[string]any, error) { return info, nil }), "bob", "1.1", "presence-conv-c1")
		if len(info) != 1 {
			t.Errorf("it is %v", info)
		}
	})
	t.Run("on no private channel", func(t *testing.T) {
		handler := newMemberHandler(t, func(context.Context, string) (map[string]any, error) { return nil, errors.New("asked") })
		if w := ask(handler, "bob", "1.1", "private-conv-c1"); w.Code != 200 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}

func TestAuthSignsUsersIn(t *testing.T) {
	handler := newMemberHandler(t, func(context.Context, string) (map[string]any, error) { return map[string]any{"name": "Bob"}, nil })
	w := post(handler, "bob", "socket_id=1.1")
	data := `{"id":"bob","user_info":{"id":"bob","name":"Bob"}}`
	var got map[string]string
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || got["user_data"] != data || got["auth"] != signature("1.1::user::"+data) || len(got) != 2 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	for body, want := range map[string]int{"socket_id=1.1&user_id=alice": 200, "socket_id=1.1%3A%3Auser": 400, "": 400} {
		if w := post(handler, "bob", body); w.Code != want || strings.Contains(w.Body.String(), "alice") {
			t.Errorf("%q: %d %s", body, w.Code, w.Body)
		}
	}
	if w := post(handler, "", "socket_id=1.1"); w.Code != 401 {
		t.Errorf("nobody: %d %s", w.Code, w.Body)
	}
	if w := post(handler, strings.Repeat("x", 129), "socket_id=1.1"); w.Code != 403 {
		t.Errorf("a user whose id is too long: %d %s", w.Code, w.Body)
	}
}

// TestAuthWhereClientsAskByDefault mounts the handler at the paths of pusher-js and of Laravel
// Echo.
func TestAuthWhereClientsAskByDefault(t *testing.T) {
	srv := pushertest.NewServer(t)
	auth, err := newNotifier(t, srv, nil).AuthHandler(&rule{allowed: map[string]string{"bob": "c1"}}, identify, nil)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	for _, prefix := range []string{"/pusher/", "/broadcasting/"} {
		mux.Handle(prefix+"auth", auth)
		mux.Handle(prefix+"user-auth", auth)
	}
	for _, path := range []string{"/pusher/auth", "/broadcasting/auth"} {
		if status, answer := postTo(mux, path, "socket_id=1.1&channel_name=presence-conv-c1"); status != 200 || answer["channel_data"] == "" {
			t.Errorf("%s: %d %v", path, status, answer)
		}
	}
	for _, path := range []string{"/pusher/user-auth", "/broadcasting/user-auth"} {
		if status, answer := postTo(mux, path, "socket_id=1.1"); status != 200 || answer["user_data"] == "" {
			t.Errorf("%s: %d %v", path, status, answer)
		}
	}
}

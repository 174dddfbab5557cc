package pushertest_test

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/msgdelivery/delivery/pusheradapter/pushertest"
)

// post makes a signed call of the API, and returns the status and the answer.
func post(t *testing.T, srv *pushertest.Server, call string, body any, key string) (int, string) {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	path, sum := "/apps/"+srv.AppID+"/"+call, md5.Sum(text)
	query := fmt.Sprintf("auth_key=%s&auth_timestamp=%d&auth_version=1.0&body_md5=%s", srv.Key, time.Now().Unix(), hex.EncodeToString(sum[:]))
	mac := hmac.New(sha256.New, []byte(srv.Secret))
	fmt.Fprintf(mac, "POST\n%s\n%s", path, query)
	r := httptest.NewRequest("POST", path+"?"+query+"&auth_signature="+hex.EncodeToString(mac.Sum(nil)), strings.NewReader(string(text)))
	if key != "" {
		r.Header.Set("X-Idempotency-Key", key)
	}
	w := httptest.NewRecorder()
	srv.ServeHTTP(w, r)
	return w.Code, strings.TrimSpace(w.Body.String())
}

// TestProfiles is the table of requests and answers in which the servers differ.
func TestProfiles(t *testing.T) {
	event := func(size int) map[string]any {
		return map[string]any{"name": "status", "channel": "c", "data": strings.Repeat("x", size)}
	}
	bad := map[string]any{"channel": "c", "data": "x"}
	on := func(channel string, data any) map[string]any {
		return map[string]any{"name": "status", "channel": channel, "data": data}
	}
	batch := func(n, size int) map[string]any {
		var events []any
		for range n {
			events = append(events, event(size))
		}
		return map[string]any{"batch": events}
	}
	hidden := func(code int) string { return fmt.Sprintf(`200 with "code":%d`, code) }
	for _, test := range []struct {
		request                         string
		call                            string
		body                            any
		pusher, reverb, sockudo, soketi string
	}{
		{"a small event", "events", event(10), "200", "200", "200", "200"},
		{"an event of 9,000 bytes", "events", event(9_000), "200", "200", "200", "200"},
		{"an event of 10,000 bytes", "events", event(10_000), "200", "413", "200", "200"},
		{"an event of 10,240 bytes", "events", event(10_240), "200", "413", "200", "200"},
		{"an event of 10,241 bytes", "events", event(10_241), "413", "413", "200", "200"},
		{"an event of 102,401 bytes", "events", event(102_401), "413", "413", "413", hidden(413)},
		{"a batch of 10", "batch_events", batch(10, 10), "200", "200", "200", "200"},
		{"a batch of 11", "batch_events", batch(11, 10), "400", "200", "400", hidden(400)},
		{"a batch of 10,000 bytes", "batch_events", batch(2, 5_000), "200", "413", "200", "200"},
		{"an event without a name", "events", bad, "400", "422", "400", hidden(400)},
		{"an event without data", "events", on("c", nil), "400", "422", "400", hidden(400)},
		{"an event without a channel", "events", map[string]any{"name": "status", "data": "x"}, "400", "422", "400", hidden(400)},
		{"a channel with a comma", "events", on("a,b", "x"), "200", "200", "400", "200"},
		{"a channel with a colon", "events", on("a:b", "x"), "400", "200", "400", "200"},
		{"a channel with a space", "events", on("a b", "x"), "400", "200", "400", "200"},
		{"a channel of 164 characters", "events", on(strings.Repeat("x", 164), "x"), "200", "200", "200", "200"},
		{"a channel of 165 characters", "events", on(strings.Repeat("x", 165), "x"), "400", "200", "200", "200"},
		{"a channel of 201 characters", "events", on(strings.Repeat("x", 201), "x"), "400", "200", "400", "200"},
	} {
		for name, c := range map[string]struct {
			profile pushertest.Profile
			want    string
		}{
			"Pusher": {pushertest.Pusher, test.pusher}, "Reverb": {pushertest.Reverb, test.reverb},
			"Sockudo": {pushertest.Sockudo, test.sockudo}, "soketi": {pushertest.Soketi, test.soketi},
		} {
			srv, err := pushertest.New(&pushertest.Options{Profile: c.profile})
			if err != nil {
				t.Fatal(err)
			}
			status, answer := post(t, srv, test.call, test.body, "")
			got := fmt.Sprint(status)
			var inside struct{ Code int }
			if json.Unmarshal([]byte(answer), &inside) == nil && inside.Code != 0 {
				got = hidden(inside.Code)
			}
			if got != c.want {
				t.Errorf("%s, %s: %s, want %s (%.100s)", name, test.request, got, c.want, answer)
			}
			if accepted := len(srv.Events()) > 0; accepted != (c.want == "200") {
				t.Errorf("%s, %s: accepted %t", name, test.request, accepted)
			}
			srv.Close()
		}
	}
}

func TestSoketiShowsNoMemberWithoutInfo(t *testing.T) {
	for name, c := range map[string]struct {
		profile pushertest.Profile
		shown   int
	}{"Pusher": {pushertest.Pusher, 2}, "Reverb": {pushertest.Reverb, 2}, "Sockudo": {pushertest.Sockudo, 2}, "soketi": {pushertest.Soketi, 1}} {
		srv, err := pushertest.New(&pushertest.Options{Profile: c.profile})
		if err != nil {
			t.Fatal(err)
		}
		for i, data := range []string{`{"user_id":"alice"}`, `{"user_id":"bob","user_info":{}}`} {
			member := srv.Dial(t)
			member.Send(fmt.Sprintf(`{"event":"pusher:subscribe","data":{"channel":"presence-c","channel_data":%q,"auth":%q}}`,
				data, srv.Key+":"+mac(srv.Secret, member.SocketID()+":presence-c:"+data)))
			answer := member.Next(t.Context())
			var welcome struct {
				Presence struct {
					Count int
					Hash  map[string]any
				}
			}
			if err := json.Unmarshal([]byte(answer.Data), &welcome); err != nil || welcome.Presence.Count != i+1 {
				t.Fatalf("%s: %s, %v", name, answer.Data, err)
			}
			if i == 1 && len(welcome.Presence.Hash) != c.shown {
				t.Errorf("%s shows %v", name, welcome.Presence.Hash)
			}
		}
		srv.Close()
	}
}

func TestARepeatedKeyPublishesOnceWithSockudoOnly(t *testing.T) {
	body := map[string]any{"name": "status", "channel": "c", "data": "x"}
	for name, c := range map[string]struct {
		profile pushertest.Profile
		events  int
	}{"Pusher": {pushertest.Pusher, 4}, "Reverb": {pushertest.Reverb, 4}, "soketi": {pushertest.Soketi, 4}, "Sockudo": {pushertest.Sockudo, 3}} {
		srv, err := pushertest.New(&pushertest.Options{Profile: c.profile})
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"k1", "k1", "k2", ""} {
			if status, answer := post(t, srv, "events", body, key); status != http.StatusOK {
				t.Errorf("%s: %d, %s", name, status, answer)
			}
		}
		if n := len(srv.Events()); n != c.events {
			t.Errorf("%s: %d events, want %d", name, n, c.events)
		}
		srv.Close()
	}
}

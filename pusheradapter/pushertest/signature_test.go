package pushertest

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestSignatureOfTheWorkedExample(t *testing.T) {
	query, err := url.ParseQuery("auth_key=278d425bdf160c739803&auth_timestamp=1353088179&auth_version=1.0" +
		"&body_md5=ec365a775a4cd0599faeb73354201b6f&auth_signature=ignored")
	if err != nil {
		t.Fatal(err)
	}
	got := sign("7ad3773142a6692b25b8", signedText("POST", "/apps/3/events", query))
	if want := "da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c"; got != want {
		t.Errorf("signature %s, want %s", got, want)
	}
}

func TestSignedTextIsSortedInLowerCaseAndNotEscaped(t *testing.T) {
	query, err := url.ParseQuery("Info=user_count%2Csubscription_count&auth_key=k&auth_signature=ignored&filter_by_prefix=presence-")
	if err != nil {
		t.Fatal(err)
	}
	got := signedText("GET", "/apps/1/channels", query)
	want := "GET\n/apps/1/channels\nauth_key=k&filter_by_prefix=presence-&info=user_count,subscription_count"
	if got != want {
		t.Errorf("signed text %q, want %q", got, want)
	}
}

// signed is a request as a well-behaved program sends it, after change.
func signed(s *Server, method, path, body string, at time.Time, change func(url.Values)) *http.Request {
	q := url.Values{
		"auth_key": {s.Key}, "auth_version": {"1.0"}, "auth_timestamp": {strconv.FormatInt(at.Unix(), 10)},
	}
	if body != "" {
		sum := md5.Sum([]byte(body))
		q.Set("body_md5", hex.EncodeToString(sum[:]))
	}
	if change != nil {
		change(q)
	}
	if !q.Has("auth_signature") {
		q.Set("auth_signature", sign(s.Secret, signedText(method, path, q)))
	}
	return httptest.NewRequest(method, path+"?"+q.Encode(), bytes.NewReader([]byte(body)))
}

func answer(s *Server, r *http.Request) (status int, body string) {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w.Code, strings.TrimSpace(w.Body.String())
}

func TestCallsMustBeSigned(t *testing.T) {
	const body = `{"name":"e","channel":"c","data":"d"}`
	tests := []struct {
		rule   string
		after  time.Duration // between signing and sending
		change func(url.Values)
		status int
	}{
		{"a signed call is accepted", 0, nil, 200},
		{"a call may be 600 seconds old", 600 * time.Second, nil, 200},
		{"a call may be from 600 seconds ahead", -600 * time.Second, nil, 200},
		{"an older call is refused", 601 * time.Second, nil, 401},
		{"a call from farther ahead is refused", -601 * time.Second, nil, 401},
		{"an unknown key is refused", 0, func(q url.Values) { q.Set("auth_key", "other") }, 401},
		{"another version is refused", 0, func(q url.Values) { q.Set("auth_version", "2.0") }, 401},
		{"a call without a time is refused", 0, func(q url.Values) { q.Del("auth_timestamp") }, 401},
		{"a body without its MD5 is refused", 0, func(q url.Values) { q.Del("body_md5") }, 401},
		{"a body with another's MD5 is refused", 0, func(q url.Values) { q.Set("body_md5", strings.Repeat("0", 32)) }, 401},
		{"a forged signature is refused", 0, func(q url.Values) { q.Set("auth_signature", strings.Repeat("0", 64)) }, 401},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, err := New(nil)
				if err != nil {
					t.Fatal(err)
				}
				r := signed(s, "POST", "/apps/1001/events", body, time.Now().Add(-tt.after), tt.change)
				if status, text := answer(s, r); status != tt.status {
					t.Errorf("status %d %s, want %d", status, text, tt.status)
				}
				if got, want := len(s.Events()) == 1, tt.status == 200; got != want {
					t.Errorf("event recorded: %t, want %t", got, want)
				}
			})
		})
	}
}

func TestCallsPusherRefuses(t *testing.T) {
	event := func(fields string) string { return `{"name":"e","data":"d",` + fields + `}` }
	batch := func(n int) string {
		return `{"batch":[` + strings.TrimSuffix(strings.Repeat(event(`"channel":"c"`)+",", n), ",") + `]}`
	}
	tests := []struct {
		rule, method, path, body string
		status                   int
		text                     string // the answer, if it matters
	}{
		{"another app is not found", "POST", "/apps/1002/events", event(`"channel":"c"`), 404, ""},
		{"another call is not found", "GET", "/apps/1001/nonsense", "", 404, ""},
		{"another path is not found", "GET", "/", "", 404, ""},
		{"an event that is no JSON is refused", "POST", "/apps/1001/events", "{", 400, ""},
		{"data that is no string is refused", "POST", "/apps/1001/events", `{"name":"e","channel":"c","data":{}}`, 400, ""},
		{"missing data is refused", "POST", "/apps/1001/events", `{"name":"e","channel":"c"}`, 400, "Missing data"},
		{"a missing name is refused", "POST", "/apps/1001/events", `{"channel":"c","data":"d"}`, 400, "Missing event name"},
		{"a name of 200 characters is accepted", "POST", "/apps/1001/events",
			`{"name":"` + strings.Repeat("n", 200) + `","channel":"c","data":"d"}`, 200, "{}"},
		{"a name of 201 characters is refused", "POST", "/apps/1001/events",
			`{"name":"` + strings.Repeat("n", 201) + `","channel":"c","data":"d"}`, 400, "Event name too long (201 > 200)"},
		{"a missing channel is refused", "POST", "/apps/1001/events", `{"name":"e","data":"d"}`, 400, "Missing channel"},
		{"a channel of 164 characters is accepted", "POST", "/apps/1001/events",
			event(`"channel":"` + strings.Repeat("c", 164) + `"`), 200, "{}"},
		{"a channel of 165 characters is refused", "POST", "/apps/1001/events",
			event(`"channel":"` + strings.Repeat("c", 165) + `"`), 400, "channel name too long (165 > 164)"},
		{"a channel with a space is refused", "POST", "/apps/1001/events", event(`"channel":"a b"`), 400, "invalid channel name"},
		{"100 channels are accepted", "POST", "/apps/1001/events",
			event(`"channels":["c"` + strings.Repeat(`,"c"`, 99) + `]`), 200, "{}"},
		{"101 channels are refused", "POST", "/apps/1001/events",
			event(`"channels":["c"` + strings.Repeat(`,"c"`, 100) + `]`), 400, "Too many channels (101 > 100)"},
		{"a socket id of another form is refused", "POST", "/apps/1001/events",
			event(`"channel":"c","socket_id":"1.2\n"`), 400, "Invalid socket id"},
		{"an unknown socket id is accepted", "POST", "/apps/1001/events", event(`"channel":"c","socket_id":"1.2"`), 200, "{}"},
		{"10,240 bytes of data are accepted", "POST", "/apps/1001/events",
			`{"name":"e","channel":"c","data":"` + strings.Repeat("d", 10_240) + `"}`, 200, "{}"},
		{"10,241 bytes of data are refused", "POST", "/apps/1001/events",
			`{"name":"e","channel":"c","data":"` + strings.Repeat("d", 10_241) + `"}`, 413,
			"The data content of this event exceeds the allowed maximum (10240 bytes)"},
		{"a body of over a megabyte is refused", "POST", "/apps/1001/events", strings.Repeat(" ", 1<<20+1), 413, ""},
		{"a batch of 10 is accepted", "POST", "/apps/1001/batch_events", batch(10), 200, "{}"},
		{"a batch of 11 is refused", "POST", "/apps/1001/batch_events", batch(11), 400, "Batch too large (11 > 10)"},
		{"a batch that is no JSON is refused", "POST", "/apps/1001/batch_events", "[]", 400, ""},
		{"an event of a batch with many channels is refused", "POST", "/apps/1001/batch_events",
			`{"batch":[` + event(`"channels":["c"]`) + `]}`, 400, ""},
		{"one bad event refuses its batch", "POST", "/apps/1001/batch_events",
			`{"batch":[` + event(`"channel":"c"`) + `,` + event(`"channel":"*"`) + `]}`, 400, ""},
		{"users of a channel without presence are refused", "GET", "/apps/1001/channels/private-c/users", "", 400, ""},
		{"the state of a channel that cannot be is refused", "GET", "/apps/1001/channels/a*", "", 400, ""},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			s, err := New(nil)
			if err != nil {
				t.Fatal(err)
			}
			status, text := answer(s, signed(s, tt.method, tt.path, tt.body, time.Now(), nil))
			if status != tt.status || tt.text != "" && text != tt.text {
				t.Errorf("answer %d %q, want %d %q", status, text, tt.status, tt.text)
			}
			if got, want := len(s.Events()) > 0, tt.status == 200; got != want {
				t.Errorf("events recorded: %t, want %t", got, want)
			}
			if requests := s.Requests(); len(requests) != 1 || requests[0].Status != tt.status {
				t.Errorf("recorded %+v, want one request with status %d", requests, tt.status)
			}
		})
	}
}

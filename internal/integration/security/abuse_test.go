package security

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliveryhttp"
	"github.com/msgdelivery/delivery/deliverywire"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/pusheradapter/pushertest"
)

// as is a request by a user, with a JSON body if it has one.
func as(user, method, url, body string) request {
	return request{method, url, body, http.Header{"Session": {sessionOf(user)}, "Content-Type": {"application/json"}}}
}

// listen connects a user, by way of the auth endpoint.
func (a *app) listen(t *testing.T, user, channel string) *pushertest.Client {
	t.Helper()
	client := a.pusher.Dial(t)
	client.Authorize = func(socket, channel string) (answer pushertest.Authorization, err error) {
		q := as(user, "POST", authPath, url.Values{"socket_id": {socket}, "channel_name": {channel}}.Encode())
		q.header.Set("Content-Type", "application/x-www-form-urlencoded")
		return answer, json.Unmarshal(a.do(q).Body.Bytes(), &answer)
	}
	return client.Subscribe(channel)
}

// Nobody can tell whose a socket id is, so it is no more than a hint: whoever names another's makes
// them miss one event, and they find out by the next.
func TestAForgedSocketHidesNoMoreThanOneEvent(t *testing.T) {
	a := newApp(t, engines.All[0], options{})
	const channel = "private-conv-acme=2Froom"
	bob, carol := a.listen(t, "bob", channel), a.listen(t, "carol", channel)
	hear := func(client *pushertest.Client) (heard []deliverywire.Payload) {
		t.Helper()
		if err := a.tracker.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, m := range client.Drain(t.Context()) {
			var p deliverywire.Payload
			if err := json.Unmarshal([]byte(m.Data), &p); err != nil {
				t.Fatal(err)
			}
			heard = append(heard, p)
		}
		return heard
	}
	send := func(id, socket string) {
		t.Helper()
		body := fmt.Sprintf(`{"conversation":"acme/room","id":%q,"body":"hi","socket":%q}`, id, socket)
		if answer := a.do(as("carol", "POST", "/api/messages", body)); answer.Code != http.StatusCreated {
			t.Fatalf("answered %d %s", answer.Code, answer.Body)
		}
	}
	send("first", "")
	heard := hear(bob)
	if len(heard) != 1 {
		t.Fatalf("bob heard %v", heard)
	}
	holds := heard[0].To
	hear(carol)

	send("hidden", bob.SocketID())
	if heard := hear(bob); len(heard) != 0 {
		t.Fatalf("bob heard %v", heard)
	}
	if heard := hear(carol); len(heard) != 1 {
		t.Errorf("carol heard %v: who forges another's socket hears herself", heard)
	}
	send("next", "")
	heard = hear(bob)
	if len(heard) != 1 || heard[0].From <= holds+1 {
		t.Fatalf("bob heard %v, in which no version after %d is missing", heard, holds)
	}
	var page delivery.Page
	answer := a.do(as("bob", "GET", "/api/messages?conversation=acme%2Froom", ""))
	if err := json.Unmarshal(answer.Body.Bytes(), &page); err != nil {
		t.Fatal(err)
	}
	answer = a.do(as("bob", "GET", fmt.Sprintf("/api/changes?conversation=acme%%2Froom&since=%d&epoch=%d", holds, page.Epoch), ""))
	if err := json.Unmarshal(answer.Body.Bytes(), &page); err != nil {
		t.Fatal(err)
	}
	if len(page.Messages) != 2 || page.Messages[0].ID != "hidden" || page.Messages[1].ID != "next" {
		t.Errorf("bob catches up with %+v", page.Messages)
	}
}

// All at once mark everything, so that marks of many users travel in one batch; each is answered,
// and counts, as if alone.
func TestUsersOfOneBatchDoNotMix(t *testing.T) {
	engines.Each(t, func(t *testing.T, e engines.Engine) {
		a := newApp(t, e, options{})
		if err := a.restart(); err != nil {
			t.Fatal(err)
		}
		var everyone sync.WaitGroup
		for _, user := range sessions {
			for _, d := range drafts {
				for _, status := range []string{"delivered", "read"} {
					everyone.Go(func() {
						answer := a.do(as(user, "POST", "/api/marks", fmt.Sprintf(`{"message":%q,"status":%q}`, d.ID, status)))
						var receipt delivery.Receipt
						json.Unmarshal(answer.Body.Bytes(), &receipt)
						switch may := mayMark(user, d); {
						case may != (answer.Code == http.StatusOK):
							t.Errorf("%s marks %s: answered %d %s", user, d.ID, answer.Code, answer.Body)
						case may && (receipt.Recipient != user || receipt.Message != d.ID):
							t.Errorf("%s marks %s: answered with another's: %s", user, d.ID, answer.Body)
						}
					})
				}
			}
		}
		everyone.Wait()
		for _, d := range drafts {
			page, err := a.tracker.Receipts(t.Context(), delivery.ReceiptQuery{Message: d.ID})
			if err != nil {
				t.Fatal(err)
			}
			read := map[string]bool{}
			for _, r := range page.Receipts {
				read[r.Recipient] = r.Status == delivery.Read
			}
			for _, user := range sessions {
				if read[user] != mayMark(user, d) {
					t.Errorf("%s has read %s: %v", user, d.ID, read[user])
				}
			}
		}
	})
}

// The app decides who receives a message, whatever a client says, and its answer is checked.
func TestClientsDoNotChooseRecipients(t *testing.T) {
	var audience delivery.Audience
	a := newApp(t, engines.All[0], options{http: deliveryhttp.Options{
		Audience: func(context.Context, delivery.Draft) (delivery.Audience, error) { return audience, nil },
	}})
	many := make([]string, delivery.MaxRecipients+1)
	for i := range many {
		many[i] = fmt.Sprint("user", i)
	}
	for _, c := range []struct {
		name, more string
		audience   delivery.Audience
		status     int
		want       []string
	}{
		{"named by the client", `,"recipients":["mallory"]`, delivery.Audience{Recipients: []string{"bob"}}, 400, nil},
		{"named by the client, in another case", `,"Recipients":["mallory"]`, delivery.Audience{Recipients: []string{"bob"}}, 400, nil},
		{"let in by the client", `,"open":true`, delivery.Audience{Recipients: []string{"bob"}}, 400, nil},
		{"counted by the client", `,"quorum":1`, delivery.Audience{Recipients: []string{"bob"}}, 400, nil},
		{"of whom the app says nothing", "", delivery.Audience{}, 500, nil},
		{"too many", "", delivery.Audience{Recipients: many}, 500, nil},
		{"with one that is no id", "", delivery.Audience{Recipients: []string{"bob", ""}}, 500, nil},
		{"twice, and the sender", "", delivery.Audience{Recipients: []string{"bob", "alice", "bob"}}, 201, []string{"bob"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			audience = c.audience
			before, err := a.dump(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			answer := a.do(as("alice", "POST", "/api/messages", `{"conversation":"acme/room","id":"new","body":""`+c.more+`}`))
			if answer.Code != c.status {
				t.Errorf("answered %d %s", answer.Code, answer.Body)
			}
			after, err := a.dump(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if c.want == nil && before != after {
				t.Errorf("the tables have changed from\n%s\nto\n%s", before, after)
			}
			var got []string
			if page, _ := a.tracker.Receipts(t.Context(), delivery.ReceiptQuery{Message: "new"}); c.want != nil {
				for _, r := range page.Receipts {
					got = append(got, r.Recipient)
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("the recipients are %v, want %v", got, c.want)
			}
		})
	}
}

// A body of 10 MB is refused, and neither read nor kept, whether it says its length or not.
func TestHugeBodiesTakeNoMemory(t *testing.T) {
	const size, times = 10 << 20, 20
	a := newApp(t, engines.All[0], options{})
	server := httptest.NewServer(a)
	defer server.Close()
	for _, c := range calls {
		if c.method != "POST" {
			continue
		}
		for _, known := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, of a known length: %v", c.path, known), func(t *testing.T) {
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				for range times {
					r, err := http.NewRequestWithContext(t.Context(), "POST", server.URL+c.path, io.LimitReader(spaces{}, size))
					if err != nil {
						t.Fatal(err)
					}
					if r.ContentLength = -1; known {
						r.ContentLength = size
					}
					r.Header.Set("Session", sessionOf("alice"))
					r.Header.Set("Content-Type", map[bool]string{true: "application/x-www-form-urlencoded", false: "application/json"}[c.path == authPath])
					answer, err := server.Client().Do(r)
					if err != nil {
						if strings.Contains(err.Error(), "write:") || strings.Contains(err.Error(), "reset") {
							continue // the server has hung up on it, and did not wait for the rest
						}
						t.Fatal(err)
					}
					answer.Body.Close()
					if answer.StatusCode != http.StatusRequestEntityTooLarge {
						t.Fatalf("answered %d", answer.StatusCode)
					}
				}
				runtime.ReadMemStats(&after)
				if each := (after.TotalAlloc - before.TotalAlloc) / times; each > 4<<20 {
					t.Errorf("each took %d bytes of memory, client and all", each)
				}
			})
		}
	}
}

// spaces is a body that never ends.
type spaces struct{}

func (spaces) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

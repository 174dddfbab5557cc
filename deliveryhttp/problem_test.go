package deliveryhttp_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/msgdelivery/delivery"
)

func TestProblemsQuoteNothing(t *testing.T) {
	const canary = "<img src=x onerror=alert(1)>"
	d := newDesk(t, nil)
	d.furnish(t)
	quoted := fmt.Sprintf("%q", canary)
	escaped := url.QueryEscape(canary)
	for _, q := range []request{
		{"bob", "POST", "/messages", `{` + quoted + `: 1}`, nil},
		{"bob", "POST", "/messages", `{"conversation": ` + quoted + `, "body": "hi"}`, nil},
		{"bob", "POST", "/marks", `{"message": "frozen", "status": ` + quoted + `}`, nil},
		{"bob", "POST", "/marks", `{"message": ` + quoted + `, "status": "read"}`, nil},
		{"bob", "GET", "/messages?" + escaped + "=1", "", nil},
		{"bob", "GET", "/messages?conversation=" + escaped, "", nil},
		{"bob", "GET", "/messages?conversation=room&limit=" + escaped, "", nil},
		{"bob", "GET", "/receipts?message=" + escaped, "", nil},
		{"bob", "GET", "/" + escaped, "", nil},
		{canary + strings.Repeat("x", 128), "GET", "/messages?conversation=room", "", nil},
	} {
		answer, _ := d.do(q)
		if answer.Code < 400 || strings.Contains(answer.Body.String(), "img") {
			t.Errorf("%v: answered %d %s", q, answer.Code, answer.Body)
		}
	}
}

func TestAnswersCannotBecomeMarkup(t *testing.T) {
	const canary = "<img src=x onerror=alert(1)>"
	d := newDesk(t, nil)
	d.send(t, delivery.Draft{Conversation: "room", ID: canary, Sender: "alice", Body: canary, Audience: delivery.Audience{Open: true}})
	for _, q := range []request{
		{"bob", "GET", "/messages?conversation=room", "", nil},
		{"bob", "POST", "/marks/batch", fmt.Sprintf(`{"messages": [%q, "</script>"], "status": "read"}`, canary), nil},
	} {
		if answer, _ := d.do(q); answer.Code != http.StatusOK || strings.ContainsAny(answer.Body.String(), "<>") {
			t.Errorf("%v: answered %d %s", q, answer.Code, answer.Body)
		}
	}
}

func TestFailures(t *testing.T) {
	const body = `{"conversation": "room", "body": "canary-body", "id": "m1"}`
	send := request{"alice", "POST", "/messages", body, nil}

	t.Run("the store's are logged, without bodies, and not told", func(t *testing.T) {
		for _, q := range append(routes[1:len(routes):len(routes)], send) {
			d := newDesk(t, nil)
			d.furnish(t)
			before := d.state(t)
			d.fault = func(string) error { return errors.New("connection to 10.0.0.7 refused") }
			answer, _ := d.do(q)
			if !strings.HasPrefix(q.url, "/marks/batch") { // whose results fail one by one
				if p := refused(t, q, answer, http.StatusInternalServerError, "internal"); p.Detail != "" {
					t.Errorf("%v: told %q", q, p.Detail)
				}
			}
			if strings.Contains(answer.Body.String(), "10.0.0.7") {
				t.Errorf("%v: told %s", q, answer.Body)
			}
			if log := d.logged(); !strings.Contains(log, "10.0.0.7") || strings.Contains(log, "canary") {
				t.Errorf("%v: logged %s", q, log)
			}
			d.fault = nil
			if after := d.state(t); after != before {
				t.Errorf("%v: the state changed", q)
			}
		}
	})

	t.Run("a refusal is not logged", func(t *testing.T) {
		d := newDesk(t, nil)
		d.furnish(t)
		for route, request := range about {
			d.do(request("mallory", "frozen"))
			if log := d.logged(); log != "" {
				t.Errorf("%s: logged %s", route, log)
			}
		}
	})

	t.Run("a write whose end was not seen is safe to repeat, and says so", func(t *testing.T) {
		for _, c := range []struct {
			q      request
			method string
		}{{send, "Create"}, {about["mark"]("bob", "frozen"), "Advance"}, {about["batch"]("bob", "frozen"), "Advance"}} {
			synctest.Test(t, func(t *testing.T) {
				d := newDesk(t, nil)
				d.furnish(t)
				hang := make(chan struct{})
				d.fault = func(method string) error {
					if method == c.method {
						<-hang
					}
					return nil
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				answer, _ := d.doContext(ctx, c.q)
				p := refused(t, c.q, answer, http.StatusServiceUnavailable, "outcome_unknown")
				if answer.Header().Get("Retry-After") != "1" || !strings.Contains(p.Title, "safe") {
					t.Errorf("%v: answered %v %+v", c.q, answer.Header(), p)
				}
				close(hang)
				synctest.Wait()
				d.fault = nil
				var states [2]string
				for i := range states {
					if again, _ := d.do(c.q); again.Code/100 != 2 {
						t.Errorf("%v: repeated, answered %d %s", c.q, again.Code, again.Body)
					}
					states[i] = d.state(t)
				}
				if states[0] != states[1] {
					t.Errorf("%v: repeated twice, the state changed", c.q)
				}
			})
		}
	})

	t.Run("a read that ran out of time may be tried again", func(t *testing.T) {
		d := newDesk(t, nil)
		ctx, cancel := context.WithTimeout(t.Context(), 0)
		defer cancel()
		q := routes[1]
		answer, _ := d.doContext(ctx, q)
		refused(t, q, answer, http.StatusServiceUnavailable, "unavailable")
		if answer.Header().Get("Retry-After") != "1" || d.logged() == "" {
			t.Errorf("answered %v, logged %q", answer.Header(), d.logged())
		}
	})

	t.Run("a store that is not available now is no fault of the server's, and says when to come again", func(t *testing.T) {
		for _, q := range append(routes[1:len(routes):len(routes)], send) {
			d := newDesk(t, nil)
			d.furnish(t)
			d.fault = func(string) error { return fmt.Errorf("%w: no space left on 10.0.0.7", delivery.ErrUnavailable) }
			answer, _ := d.do(q)
			p := refused(t, q, answer, http.StatusServiceUnavailable, "unavailable")
			if answer.Header().Get("Retry-After") != "1" || p.Detail != "" || !strings.Contains(d.logged(), "10.0.0.7") {
				t.Errorf("%v: answered %v %+v, logged %q", q, answer.Header(), p, d.logged())
			}
		}
	})

	t.Run("a route that follows a prefix has a hint at StripPrefix, and nothing else has", func(t *testing.T) {
		d := newDesk(t, nil)
		for url, hint := range map[string]bool{
			"/api/messages?conversation=room": true, "/api/v1/changes": true, "/api/marks/batch": true, "//receipts": true,
			"/": false, "/api": false, "/api/": false, "/api/message": false, "/messages/": false, "/mark": false,
		} {
			q := request{"alice", "GET", url, "", nil}
			answer, _ := d.do(q)
			p := refused(t, q, answer, http.StatusNotFound, "no_route")
			if strings.Contains(p.Detail, "http.StripPrefix") != hint || strings.Contains(p.Detail, "api") {
				t.Errorf("%s: told %q", url, p.Detail)
			}
		}
	})

	t.Run("a client that left is not worth a line", func(t *testing.T) {
		d := newDesk(t, nil)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		d.doContext(ctx, routes[1])
		if log := d.logged(); log != "" {
			t.Errorf("logged %s", log)
		}
	})
}

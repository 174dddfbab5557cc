package security

import (
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/inspector"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/spy"
)

// inspected is the app with an inspector, for whom its cookie calls an operator, and a dead letter.
func inspected(t *testing.T, e engines.Engine, o options) (*app, http.Handler, int64) {
	t.Helper()
	a := newApp(t, e, o)
	pages, err := inspector.New(a.tracker, func(r *http.Request) (inspector.Access, error) {
		switch r.Header.Get("Session") {
		case "operator":
			return inspector.MayAct, nil
		case "reader":
			return inspector.MayLook, nil
		case "broken":
			return inspector.MayAct, errors.New("the sessions are gone")
		}
		return inspector.NoAccess, nil
	}, &inspector.Options{Actions: true, Logger: slog.New(slog.NewTextHandler(&a.log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.tracker.MarkRead(t.Context(), delivery.Actor{User: "bob"}, "direct"); err != nil {
		t.Fatal(err)
	}
	claimed, err := a.options.store.Claim(t.Context(), 1, delivery.Lease{Token: 1, For: 1 << 40})
	if err != nil || len(claimed) != 1 {
		t.Fatal(claimed, err)
	}
	id := claimed[0].Event.ID
	if _, err := a.options.store.Settle(t.Context(), []delivery.Settlement{{ID: id, Lease: 1, Outcome: delivery.SettleBury, Reason: "too large"}}); err != nil {
		t.Fatal(err)
	}
	return a, http.StripPrefix("/inspect", pages), id
}

// asked is one request to the inspector.
func asked(pages http.Handler, method, url, session, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "/inspect"+url, strings.NewReader(body))
	r.Header.Set("Session", session)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer := httptest.NewRecorder()
	pages.ServeHTTP(answer, r)
	return answer
}

func TestTheInspectorShowsAndDoesNothingForOthers(t *testing.T) {
	engines.Each(t, func(t *testing.T, e engines.Engine) {
		a, pages, id := inspected(t, e, options{})
		before, err := a.dump(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		form := fmt.Sprintf("event=%d", id)
		paths := []string{"/", "/funnel", "/dead", "/message?id=direct", "/confirm?do=discard&" + form, "/replay", "/discard", "/style.css", "/replay?" + form}
		people := []string{"", "forged", "broken", "OPERATOR", "operator "}
		for session := range sessions {
			people = append(people, session)
		}
		calls := 0
		for _, session := range people {
			for _, path := range paths {
				for _, method := range []string{"GET", "POST", "PUT", "DELETE"} {
					answer := asked(pages, method, path, session, form, "X-User", "operator", "Cookie", "Session=operator", "Sec-Fetch-Site", "same-origin")
					calls++
					if want := map[bool]int{false: 403, true: 500}[session == "broken"]; answer.Code != want || answer.Body.Len() > 40 {
						t.Errorf("%s %s by %q: %d %s", method, path, session, answer.Code, answer.Body)
					}
				}
			}
		}
		for _, method := range []string{"GET", "POST", "PUT", "DELETE"} { // which a reader may not, and an operator not like this
			for _, path := range []string{"/replay", "/discard", "/replay?" + form} {
				answers := []*httptest.ResponseRecorder{
					asked(pages, method, path, "reader", form, "Sec-Fetch-Site", "same-origin"),
					asked(pages, method, path, "operator", form, "Sec-Fetch-Site", "cross-site"),
					asked(pages, method, path, "operator", form, "Origin", "null"),
					asked(pages, method, path, "operator", form, "Content-Type", "text/plain", "Sec-Fetch-Site", "same-origin"),
					asked(pages, method, path, "operator", "event="+url.QueryEscape("1 OR 1=1"), "Sec-Fetch-Site", "same-origin"),
				}
				for i, answer := range answers {
					calls++
					if answer.Code/100 != 4 {
						t.Errorf("%s %s, %d: %d %s", method, path, i, answer.Code, answer.Body)
					}
				}
			}
		}
		after, err := a.dump(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if after != before {
			t.Errorf("the tables have changed from\n%s\nto\n%s", before, after)
		}
		t.Logf("%d forbidden calls: 0 rows changed, nothing was shown", calls)

		answer := asked(pages, "POST", "/replay", "operator", form, "Sec-Fetch-Site", "same-origin")
		if after, err = a.dump(t.Context()); answer.Code != 200 || err != nil || after == before {
			t.Errorf("the operator's replay: %d %s, %v", answer.Code, answer.Body, err)
		}
	})
}

func TestAPageOfTheInspectorTakesFewStatements(t *testing.T) {
	engines.Each(t, func(t *testing.T, e engines.Engine) {
		var said *spy.Spy
		_, pages, id := inspected(t, e, options{pool: func(d engines.Database, t *testing.T) (db *sql.DB) {
			db, said = spy.Open(d, t)
			return db
		}})
		for path, most := range map[string]int{
			"/": 1, "/dead": 1, fmt.Sprintf("/confirm?do=replay&event=%d", id): 1, "/message": 0, "/style.css": 0,
			"/message?id=direct": 5, "/message?id=direct&status=sent": 5, "/funnel": 1, "/funnel?days=7": 1, "/message?id=nowhere": 5,
		} {
			said.Take()
			answer := asked(pages, "GET", path, "operator", "")
			if sent := said.Take(); len(sent) > most || answer.Code != 200 && path != "/message?id=nowhere" {
				t.Errorf("%s: status %d, and %d statements:\n%s", path, answer.Code, len(sent), outline(sent))
			} else {
				t.Logf("%s: %d statements", path, len(sent))
			}
		}
	})
}

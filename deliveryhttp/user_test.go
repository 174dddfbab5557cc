package deliveryhttp_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/msgdelivery/delivery/deliveryhttp"
)

func TestWhomThePageWasMadeFor(t *testing.T) {
	all := append(routes[:len(routes):len(routes)], request{"bob", "POST", "/messages", `{"conversation": "room", "body": "hi"}`, nil})
	t.Run("a page of another user gets 409 from every route, and the store is not asked", func(t *testing.T) {
		d := newDesk(t, nil)
		d.furnish(t)
		for _, q := range all {
			q = q.with(deliveryhttp.UserHeader, q.user+"%21")
			answer, calls := d.do(q)
			refused(t, q, answer, http.StatusConflict, "other_user")
			if len(calls) > 0 {
				t.Errorf("%v: the store was asked for %q", q, calls)
			}
		}
	})
	t.Run("a page of the session's user is answered", func(t *testing.T) {
		d := newDesk(t, nil)
		d.furnish(t)
		for _, q := range all {
			if answer, _ := d.do(q.with(deliveryhttp.UserHeader, q.user)); answer.Code == http.StatusBadRequest || answer.Code == http.StatusConflict {
				t.Errorf("%v: answered %d %s", q, answer.Code, answer.Body)
			}
		}
	})
	t.Run("names that no header may hold are percent-encoded", func(t *testing.T) {
		d := newOpenDesk(t, nil)
		q := request{"Zoë 100%\n", "GET", "/messages?conversation=room", "", nil}
		if answer, _ := d.do(q.with(deliveryhttp.UserHeader, "Zo%C3%AB%20100%25%0A")); answer.Code != http.StatusOK {
			t.Errorf("answered %d %s", answer.Code, answer.Body)
		}
	})
	t.Run("a header that is there twice, or malformed, is a 400", func(t *testing.T) {
		d := newDesk(t, nil)
		q := request{"bob", "GET", "/messages?conversation=room", "", http.Header{deliveryhttp.UserHeader: {"bob", "bob"}}}
		answer, _ := d.do(q)
		refused(t, q, answer, http.StatusBadRequest, "invalid")
		q = q.with(deliveryhttp.UserHeader, "bob%")
		answer, _ = d.do(q)
		if p := refused(t, q, answer, http.StatusBadRequest, "invalid"); p.Field != deliveryhttp.UserHeader {
			t.Errorf("the field is %q", p.Field)
		}
	})
	t.Run("a route of the app's own has the same rules", func(t *testing.T) {
		d := newDesk(t, nil)
		for _, c := range []struct {
			session, page, site string
			status              int
			code                string
		}{
			{"bob", "bob", "same-origin", http.StatusOK, ""},
			{"bob", "", "same-origin", http.StatusOK, ""},
			{"bob", "alice", "same-origin", http.StatusConflict, "other_user"},
			{"bob", "bob%", "same-origin", http.StatusBadRequest, "invalid"},
			{"bob", "bob", "cross-site", http.StatusForbidden, "cross_origin"},
			{"", "bob", "same-origin", http.StatusUnauthorized, "signed_out"},
		} {
			r := httptest.NewRequestWithContext(t.Context(), "POST", "/orders", nil)
			r.Header.Set("X-User", c.session)
			r.Header.Set("Sec-Fetch-Site", c.site)
			if c.page != "" {
				r.Header.Set(deliveryhttp.UserHeader, c.page)
			}
			answer := httptest.NewRecorder()
			user, ok := d.User(answer, r)
			var problem struct{ Code string }
			if !ok {
				if err := json.Unmarshal(answer.Body.Bytes(), &problem); err != nil {
					t.Fatal(err)
				}
			}
			if ok != (c.code == "") || ok && user != c.session || !ok && user != "" || answer.Code != c.status || problem.Code != c.code {
				t.Errorf("%+v: %q, %v, answered %d %s", c, user, ok, answer.Code, answer.Body)
			}
		}
	})
	t.Run("who is signed out is told that, whatever the page says", func(t *testing.T) {
		q := request{"", "GET", "/messages?conversation=room", "", nil}.with(deliveryhttp.UserHeader, "bob")
		answer, _ := newDesk(t, nil).do(q)
		refused(t, q, answer, http.StatusUnauthorized, "signed_out")
	})
}

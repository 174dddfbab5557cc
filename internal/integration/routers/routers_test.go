// Package routers tests the lines of docs/routers.md: how each router mounts the handler under a
// prefix.
package routers

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5"
	"github.com/labstack/echo/v4"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliveryhttp"
	"github.com/msgdelivery/delivery/deliverytest"
	"github.com/msgdelivery/delivery/memstore"
)

// lines are those of the documentation, by router: the one that works, and one that leaves the
// prefix on the path, if there is one that people write.
var lines = []struct {
	router string
	line   string
	right  func(api http.Handler) http.Handler
	wrong  func(api http.Handler) http.Handler
}{
	{"net/http", `mux.Handle("/api/", http.StripPrefix("/api", api))`,
		func(api http.Handler) http.Handler {
			mux := http.NewServeMux()
			mux.Handle("/api/", http.StripPrefix("/api", api))
			return mux
		},
		func(api http.Handler) http.Handler {
			mux := http.NewServeMux()
			mux.Handle("/api/", api)
			return mux
		}},
	{"chi", `router.Mount("/api", http.StripPrefix("/api", api))`,
		func(api http.Handler) http.Handler {
			router := chi.NewRouter()
			router.Mount("/api", http.StripPrefix("/api", api))
			return router
		},
		func(api http.Handler) http.Handler {
			router := chi.NewRouter()
			router.Mount("/api", api)
			return router
		}},
	{"echo", `e.Group("/api").Any("/*", echo.WrapHandler(http.StripPrefix("/api", api)))`,
		func(api http.Handler) http.Handler {
			e := echo.New()
			e.Group("/api").Any("/*", echo.WrapHandler(http.StripPrefix("/api", api)))
			return e
		},
		func(api http.Handler) http.Handler {
			e := echo.New()
			e.Group("/api").Any("/*", echo.WrapHandler(api))
			return e
		}},
	{"gin", `router.Any("/api/*path", gin.WrapH(http.StripPrefix("/api", api)))`,
		func(api http.Handler) http.Handler {
			router := gin.New()
			router.Any("/api/*path", gin.WrapH(http.StripPrefix("/api", api)))
			return router
		},
		func(api http.Handler) http.Handler {
			router := gin.New()
			router.Any("/api/*path", gin.WrapH(api))
			return router
		}},
}

func init() { gin.SetMode(gin.ReleaseMode) } // it prints its routes otherwise

func newAPI(t *testing.T) http.Handler {
	t.Helper()
	tracker, err := delivery.New(memstore.New(), new(deliverytest.Recorder), &delivery.Options{OpenConversations: true})
	if err != nil {
		t.Fatal(err)
	}
	api, err := deliveryhttp.New(tracker, func(r *http.Request) (string, error) { return r.Header.Get("User"), nil },
		&deliveryhttp.Options{Audience: func(context.Context, delivery.Draft) (delivery.Audience, error) {
			return delivery.Audience{Open: true}, nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	return api
}

func call(t *testing.T, handler http.Handler, user, method, url, body string) (int, string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	r.Header.Set("User", user)
	r.Header.Set("Content-Type", "application/json")
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, r)
	return answer.Code, answer.Body.String()
}

func TestRouters(t *testing.T) {
	docs, err := os.ReadFile("../../../docs/routers.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range lines {
		t.Run(c.router+": the documented line serves every route, with ids of any form", func(t *testing.T) {
			if !strings.Contains(string(docs), c.line) {
				t.Errorf("docs/routers.md does not hold %s", c.line)
			}
			handler := c.right(newAPI(t))
			for _, step := range []struct {
				user, method, url, body string
				status                  int
			}{
				{"alice", "POST", "/api/messages", `{"conversation": "a/b", "id": "../m 1%", "body": "hi"}`, 201},
				{"bob", "GET", "/api/messages?conversation=a%2Fb", "", 200},
				{"bob", "HEAD", "/api/messages?conversation=a%2Fb", "", 200},
				{"bob", "GET", "/api/changes?conversation=a%2Fb&since=0", "", 200},
				{"bob", "GET", "/api/unread?conversation=a%2Fb&conversation=c", "", 200},
				{"bob", "POST", "/api/marks", `{"message": "../m 1%", "status": "delivered"}`, 200},
				{"bob", "POST", "/api/marks/batch", `{"messages": ["../m 1%"], "status": "read"}`, 200},
				{"bob", "POST", "/api/marks/up-to", `{"conversation": "a/b", "message": "../m 1%", "status": "read"}`, 200},
				{"alice", "GET", "/api/receipts?message=..%2Fm%201%25", "", 200},
				{"bob", "POST", "/api/messages/delete", `{"message": "../m 1%"}`, 403},
				{"alice", "POST", "/api/messages/delete", `{"message": "../m 1%"}`, 200},
				{"bob", "GET", "/api/nothing", "", 404},
				{"", "GET", "/api/unread?conversation=a%2Fb", "", 401},
			} {
				if status, answer := call(t, handler, step.user, step.method, step.url, step.body); status != step.status {
					t.Errorf("%s %s: answered %d %s, want %d", step.method, step.url, status, answer, step.status)
				}
			}
		})
		t.Run(c.router+": a prefix that stays on the path is named as the cause", func(t *testing.T) {
			status, answer := call(t, c.wrong(newAPI(t)), "bob", "GET", "/api/messages?conversation=c", "")
			var problem struct{ Code, Detail string }
			if err := json.Unmarshal([]byte(answer), &problem); err != nil || status != 404 || problem.Code != "no_route" || !strings.Contains(problem.Detail, "http.StripPrefix") {
				t.Errorf("answered %d %s", status, answer)
			}
		})
	}
}

package deliveryhttp_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliveryhttp"
)

// These tests hold openapi.json to the handlers, both ways. Whoever adds a route, a field, a status
// or a code is told what to add to the file, and whoever takes one away what to take away.

// same compares two sets, and says what to do.
func same(t *testing.T, where string, got, want []string) {
	t.Helper()
	for _, name := range want {
		if !slices.Contains(got, name) {
			t.Errorf("openapi.json lacks %s in %s: add it", name, where)
		}
	}
	for _, name := range got {
		if !slices.Contains(want, name) {
			t.Errorf("openapi.json has %s in %s, and the handlers do not: take it out", name, where)
		}
	}
}

func TestTheDescriptionHasTheRoutes(t *testing.T) {
	routes, operations := newDesk(t, nil).Routes(), described(t).operations()
	same(t, `"paths"`, slices.Collect(maps.Keys(operations)), slices.Collect(maps.Keys(routes)))
	ids := make(map[string]bool)
	for route, o := range operations {
		var answers []string
		for status := range o.Responses {
			if status < "300" {
				answers = append(answers, status)
			}
		}
		same(t, `the "responses" of `+route, answers, []string{strconv.Itoa(routes[route])})
		if o.OperationID == "" || ids[o.OperationID] || o.Summary == "" {
			t.Errorf("%s has no summary, or no operationId of its own", route)
		}
		ids[o.OperationID] = true
	}
}

// knows is what the answer to a request with an unknown field says that the route knows.
var knows = regexp.MustCompile(`has a field other than ([^"]+)"`)

func TestTheDescriptionHasTheFieldsOfRequests(t *testing.T) {
	desk, d := newDesk(t, nil), described(t)
	for route, o := range d.operations() {
		method, path, _ := strings.Cut(route, " ")
		var described []string
		request := httptest.NewRequest(method, path+"?%3F=1", nil)
		if method == http.MethodPost {
			request = httptest.NewRequest(method, path, strings.NewReader(`{"?":1}`))
			request.Header.Set("Content-Type", "application/json")
			body := d.schema(t, o.RequestBody.Content["application/json"].Schema)
			if body == nil || !o.RequestBody.Required || body.Closed == nil || *body.Closed {
				t.Errorf("openapi.json lacks a required requestBody of application/json, without additionalProperties, in %s: add it", route)
				continue
			}
			described = slices.Collect(maps.Keys(body.Properties))
		}
		for _, p := range o.Parameters {
			if p.In == "query" {
				described = append(described, p.Name)
			}
		}
		request.Header.Set("X-User", "alice")
		answer := httptest.NewRecorder()
		desk.ServeHTTP(answer, request)
		known := knows.FindStringSubmatch(answer.Body.String())
		if known == nil {
			if path == "/unread" && method == http.MethodGet { // a list, which takes all
				known = []string{"", "conversation"}
			} else {
				t.Errorf("%s does not say which fields it knows: %s", route, answer.Body)
				continue
			}
		}
		same(t, "the request of "+route, described, strings.Split(known[1], ", "))
	}
}

func TestTheDescriptionHasTheHeadersOfRequests(t *testing.T) {
	d := described(t)
	for route, o := range d.operations() {
		var headers []string
		for _, p := range o.Parameters {
			if name := strings.TrimPrefix(p.Ref, "#/components/parameters/"); name != p.Ref {
				headers = append(headers, d.Components.Parameters[name].Name)
			}
		}
		want := []string{deliveryhttp.UserHeader}
		if strings.HasPrefix(route, "POST ") {
			want = append(want, "X-Socket-ID")
		}
		same(t, `the "parameters" of `+route, headers, want)
	}
}

// answers are the schemas of answers, and what the handlers make them of.
var answers = map[string]any{
	"Message": delivery.Message{}, "Page": delivery.Page{}, "Receipt": delivery.Receipt{}, "Own": delivery.Own{}, "ReceiptPage": delivery.ReceiptPage{},
	"Unread": delivery.Unread{}, "Position": delivery.Position{}, "Place": delivery.Place{}, "UpToResult": delivery.UpToResult{},
	"BatchResult": deliveryhttp.Answers["BatchResult"], "Problem": deliveryhttp.Answers["Problem"],
}

func TestTheDescriptionHasTheFieldsOfAnswers(t *testing.T) {
	d := described(t)
	for name, value := range answers {
		s := d.Components.Schemas[name]
		if s == nil {
			t.Errorf("openapi.json lacks the schema %s: add it", name)
			continue
		}
		var all, required []string
		for _, f := range reflect.VisibleFields(reflect.TypeOf(value)) {
			tag, options, _ := strings.Cut(f.Tag.Get("json"), ",")
			if f.Anonymous || tag == "" || name == "Own" && (tag == "reason" || tag == "failure") { // which lists of receipts alone have
				continue
			}
			all = append(all, tag)
			if !strings.Contains(options, "omit") {
				required = append(required, tag)
			}
			if p := s.Properties[tag]; p != nil {
				if got, want := typeOf(d.schema(t, p), p), typeIn(f.Type, options); got != want {
					t.Errorf("openapi.json calls %s of %s %s, and the handlers answer %s", tag, name, got, want)
				}
				if p.Description == "" && d.schema(t, p).Description == "" {
					t.Errorf("openapi.json says nothing of %s of %s: add a description", tag, name)
				}
			}
		}
		same(t, `the "properties" of `+name, slices.Collect(maps.Keys(s.Properties)), all)
		same(t, `the "required" of `+name, s.Required, required)
	}
}

// requests are one request of each route that succeeds, by alice or by the user after the @.
var requests = []string{
	`POST /messages {"conversation":"room","body":"hi","id":"m1"}`, `POST /messages {"conversation":"room","body":"hi","id":"m2"}`,
	`POST /marks@bob {"message":"m1","status":"read"}`, `POST /marks/batch@bob {"messages":["m1","m2","nothing"],"status":"delivered"}`,
	`POST /marks/up-to@bob {"conversation":"room","message":"m2","status":"read"}`,
	`POST /unread@bob {"message":"m1"}`, `GET /unread@bob?conversation=room`, `POST /dismiss@bob {"conversation":"room","message":"m2"}`,
	`GET /receipts?message=m1&limit=1`, `POST /messages/delete {"message":"m2"}`, `GET /messages@bob?conversation=room`, `GET /changes@bob?conversation=room&since=1`,
}

// TestAnswersAreAsDescribed compares what the handlers answer with the schemas, and wants a request
// of each route.
func TestAnswersAreAsDescribed(t *testing.T) {
	desk, d := newDesk(t, nil), described(t)
	operations, asked := d.operations(), make(map[string]bool)
	for _, text := range requests {
		target, body, _ := strings.Cut(text, " {")
		method, target, _ := strings.Cut(target, " ")
		target, query, _ := strings.Cut(target, "?")
		path, user, named := strings.Cut(target, "@")
		if !named {
			user = "alice"
		}
		request := httptest.NewRequest(method, path+"?"+query, strings.NewReader("{"+body))
		request.Header.Set("X-User", user)
		request.Header.Set("Content-Type", "application/json")
		answer := httptest.NewRecorder()
		desk.ServeHTTP(answer, request)
		o := operations[method+" "+path]
		if o == nil {
			t.Errorf("%s is not described", text)
			continue
		}
		asked[method+" "+path] = true
		described, ok := o.Responses[strconv.Itoa(answer.Code)]
		if !ok || answer.Code >= 300 {
			t.Errorf("%s: the status is %d: %s", text, answer.Code, answer.Body)
			continue
		}
		var value any
		if err := json.Unmarshal(answer.Body.Bytes(), &value); err != nil {
			t.Fatal(err)
		}
		d.fits(t, method+" "+path, described.Content["application/json"].Schema, value)
	}
	for route := range operations {
		if !asked[route] {
			t.Errorf("nothing asks %s: add a request of it to this test", route)
		}
	}
}

// kinds finds the problems that the handlers have.
var kinds = regexp.MustCompile(`&kind\{http\.(Status\w+), "(\w+)"`)

var statuses = map[string]int{
	"StatusBadRequest": 400, "StatusUnauthorized": 401, "StatusForbidden": 403, "StatusNotFound": 404, "StatusMethodNotAllowed": 405, "StatusConflict": 409,
	"StatusGone": 410, "StatusRequestEntityTooLarge": 413, "StatusUnsupportedMediaType": 415, "StatusInternalServerError": 500, "StatusServiceUnavailable": 503,
}

func TestTheDescriptionHasTheProblems(t *testing.T) {
	source, err := os.ReadFile("problem.go")
	if err != nil {
		t.Fatal(err)
	}
	want := make(map[string]bool)
	for _, m := range kinds.FindAllStringSubmatch(string(source), -1) {
		status, known := statuses[m[1]]
		if !known {
			t.Fatalf("this test does not know the number of %s: add it", m[1])
		}
		want[strconv.Itoa(status)+" "+m[2]] = true
	}
	d := described(t)
	got := make(map[string]bool)
	for status, r := range d.Components.Responses {
		for _, s := range r.Content["application/problem+json"].Schema.AllOf {
			if code := s.Properties["code"]; code != nil {
				for _, name := range code.Enum {
					got[status+" "+name] = true
				}
			}
		}
	}
	same(t, `the codes of "responses"`, slices.Collect(maps.Keys(got)), slices.Collect(maps.Keys(want)))
	for route, o := range d.operations() {
		for status, r := range o.Responses {
			if name := strings.TrimPrefix(r.Ref, "#/components/responses/"); status >= "400" && (name != status || d.Components.Responses[name].Description == "") {
				t.Errorf("the response %s of %s refers to %q", status, route, r.Ref)
			}
		}
	}
}

func TestTheDescriptionIsServedIfTheAppSaysSo(t *testing.T) {
	for _, on := range []bool{false, true} {
		desk := newDesk(t, &deliveryhttp.Options{OpenAPI: on})
		answer := httptest.NewRecorder()
		desk.ServeHTTP(answer, httptest.NewRequest("GET", "/openapi.json", nil)) // of nobody
		if served := answer.Code == 200 && answer.Body.String() == deliveryhttp.OpenAPI; served != on {
			t.Errorf("with OpenAPI %t the status is %d", on, answer.Code)
		}
		answer = httptest.NewRecorder()
		desk.ServeHTTP(answer, httptest.NewRequest("POST", "/openapi.json", nil))
		if want := map[bool]int{false: 404, true: 405}[on]; answer.Code != want {
			t.Errorf("with OpenAPI %t a POST has the status %d", on, answer.Code)
		}
	}
	if d := described(t); d.OpenAPI != "3.1.0" {
		t.Errorf("it says that it is OpenAPI %s", d.OpenAPI)
	}
}

package deliveryhttp_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliveryhttp"
	"github.com/msgdelivery/delivery/deliverytest"
	"github.com/msgdelivery/delivery/memstore"
)

// members are who is in which conversation; an app would ask its database.
var members = map[string][]string{"c1": {"alice", "bob"}}

func isMember(_ context.Context, user string, _ delivery.Action, conversation string) (bool, error) {
	return slices.Contains(members[conversation], user), nil
}

// toMembers lets those mark a message who are in its conversation when it is sent.
func toMembers(_ context.Context, draft delivery.Draft) (delivery.Audience, error) {
	return delivery.Audience{Recipients: members[draft.Conversation]}, nil
}

// signedIn stands for the app's own sessions.
func signedIn(r *http.Request) (string, error) {
	user, _, _ := r.BasicAuth()
	return user, nil
}

// call makes a request as a browser would, and returns the status of the answer and what it says.
func call(handler http.Handler, user, method, url, body string) (int, map[string]any) {
	r := httptest.NewRequest(method, url, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.SetBasicAuth(user, "")
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	var answer map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		log.Fatal(err)
	}
	return w.Code, answer
}

func Example() {
	tracker, err := delivery.New(memstore.New(), new(deliverytest.Recorder), &delivery.Options{Authorize: isMember})
	if err != nil {
		log.Fatal(err)
	}
	api, err := deliveryhttp.New(tracker, signedIn, &deliveryhttp.Options{Audience: toMembers})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/api/", http.StripPrefix("/api", api))

	code, message := call(mux, "alice", "POST", "/api/messages", `{"conversation": "c1", "id": "m1", "body": "hi"}`)
	fmt.Println(code, message["sender"], message["body"], message["status"])

	code, receipt := call(mux, "bob", "POST", "/api/marks", `{"message": "m1", "status": "read", "socket": "123.456"}`)
	fmt.Println(code, receipt["recipient"], receipt["status"], receipt["version"])

	code, problem := call(mux, "alice", "POST", "/api/marks", `{"message": "m1", "status": "read"}`)
	fmt.Println(code, problem["code"])

	code, problem = call(mux, "mallory", "POST", "/api/marks", `{"message": "m1", "status": "read"}`)
	fmt.Println(code, problem["code"])
	// Output:
	// 201 alice hi sent
	// 200 bob read 2
	// 403 own_message
	// 404 not_found
}

// An app that sends in its own transactions mounts all but the route that sends.
func Example_someRoutes() {
	tracker, err := delivery.New(memstore.New(), new(deliverytest.Recorder), &delivery.Options{Authorize: isMember})
	if err != nil {
		log.Fatal(err)
	}
	api, err := deliveryhttp.New(tracker, signedIn, &deliveryhttp.Options{Audience: toMembers})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	routes := http.StripPrefix("/api", api)
	for _, pattern := range []string{
		"GET /api/messages", "GET /api/changes", "GET /api/unread", "GET /api/receipts", "POST /api/messages/delete",
		"POST /api/marks", "POST /api/marks/batch", "POST /api/marks/up-to", "POST /api/unread", "POST /api/dismiss",
	} {
		mux.Handle(pattern, routes)
	}

	r := httptest.NewRequest("POST", "/api/messages", strings.NewReader(`{"conversation": "c1", "body": "hi"}`))
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Header().Get("Allow"))

	_, err = tracker.Send(context.Background(), delivery.Draft{Conversation: "c1", ID: "m1", Sender: "alice", Audience: delivery.Audience{Open: true}}) // with a database, SendTx
	if err != nil {
		log.Fatal(err)
	}
	code, result := call(mux, "bob", "POST", "/api/marks/up-to", `{"conversation": "c1", "message": "m1", "status": "read"}`)
	fmt.Println(code, result["changed"])

	code, page := call(mux, "alice", "GET", "/api/messages?conversation=c1", "")
	fmt.Println(code, len(page["messages"].([]any)))
	// Output:
	// 405 GET, HEAD
	// 200 1
	// 200 1
}

// A client that was away asks for what changed since the version it holds.
func Example_catchUp() {
	tracker, err := delivery.New(memstore.New(), new(deliverytest.Recorder), &delivery.Options{Authorize: isMember})
	if err != nil {
		log.Fatal(err)
	}
	api, err := deliveryhttp.New(tracker, signedIn, &deliveryhttp.Options{Audience: toMembers})
	if err != nil {
		log.Fatal(err)
	}
	call(api, "alice", "POST", "/messages", `{"conversation": "c1", "id": "m1", "body": "hi"}`)
	_, page := call(api, "alice", "GET", "/messages?conversation=c1", "")
	version, epoch := page["version"], page["epoch"]

	call(api, "bob", "POST", "/marks/up-to", `{"conversation": "c1", "message": "m1", "status": "read"}`)

	_, page = call(api, "alice", "GET", fmt.Sprintf("/changes?conversation=c1&since=%v&epoch=%v", version, epoch), "")
	for _, m := range page["messages"].([]any) {
		message := m.(map[string]any)
		fmt.Println(message["id"], message["status"])
	}
	fmt.Println("from version", version, "to", page["version"])
	// Output:
	// m1 read
	// from version 1 to 2
}

// In a public channel anyone may mark who may enter it; in other conversations those who are
// members when the message is sent, and it is read once 50 % of them have read it.
func ExampleOptions_audience() {
	audience := func(_ context.Context, draft delivery.Draft) (delivery.Audience, error) {
		if strings.HasPrefix(draft.Conversation, "channel-") {
			return delivery.Audience{Open: true}, nil
		}
		recipients := members[draft.Conversation]
		return delivery.Audience{Recipients: recipients, Quorum: len(recipients) / 2}, nil
	}
	tracker, err := delivery.New(memstore.New(), new(deliverytest.Recorder), &delivery.Options{OpenConversations: true})
	if err != nil {
		log.Fatal(err)
	}
	api, err := deliveryhttp.New(tracker, signedIn, &deliveryhttp.Options{Audience: audience})
	if err != nil {
		log.Fatal(err)
	}
	for _, conversation := range []string{"channel-news", "c1"} {
		_, message := call(api, "alice", "POST", "/messages", `{"conversation": "`+conversation+`", "body": "hi"}`)
		fmt.Println("open:", message["open"], "recipients:", message["total"], "quorum:", message["quorum"])
	}
	// Output:
	// open: true recipients: 0 quorum: 1
	// open: false recipients: 1 quorum: 1
}

package deliveryhttp_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliveryhttp"
	"github.com/msgdelivery/delivery/deliverytest"
	"github.com/msgdelivery/delivery/memstore"
)

// members are who is in which conversation; an app would ask its database.
var members = map[string][]string{"c1": {"alice", "bob"}}

func isMember(_ context.Context, user string, _ delivery.Action, conversation string) (bool, error) {
	for _, member := range members[conversation] {
		if member == user {
			return true, nil
		}
	}
	return false, nil
}

// signedIn stands for the app's own sessions.
func signedIn(r *http.Request) (string, error) {
	user, _, _ := r.BasicAuth()
	return user, nil
}

func Example() {
	tracker, err := delivery.New(memstore.New(), new(deliverytest.Recorder), &delivery.Options{Authorize: isMember})
	if err != nil {
		log.Fatal(err)
	}
	api, err := deliveryhttp.New(tracker, signedIn, &deliveryhttp.Options{
		Recipients: func(_ context.Context, _, conversation string) ([]string, error) {
			return append([]string{}, members[conversation]...), nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/api/", http.StripPrefix("/api", api))

	call := func(user, method, url, body string) {
		r := httptest.NewRequest(method, url, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.SetBasicAuth(user, "")
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		answer, _ := io.ReadAll(w.Result().Body)
		fmt.Println(w.Code, firstWords(answer))
	}
	call("alice", "POST", "/api/messages", `{"conversation": "c1", "id": "m1", "body": "hi"}`)
	call("bob", "POST", "/api/marks", `{"message": "m1", "status": "read", "socket": "123.456"}`)
	call("alice", "POST", "/api/marks", `{"message": "m1", "status": "read"}`)
	call("mallory", "POST", "/api/marks", `{"message": "m1", "status": "read"}`)
	// Output:
	// 201 {"id":"m1","conversation":"c1","sender":"alice","seq":1
	// 200 {"message":"m1","recipient":"bob","status":"read","version":2
	// 403 {"type":"https://pkg.go.dev/github.com/msgdelivery/delivery/deliveryhttp#own_message","title":"Senders do not mark their own messages","status":403,"code":"own_message"
	// 404 {"type":"https://pkg.go.dev/github.com/msgdelivery/delivery/deliveryhttp#not_found","title":"No such message","status":404,"code":"not_found"
}

// firstWords returns the first four members of an answer: those that are the same on every day.
func firstWords(answer []byte) string {
	members := strings.SplitN(strings.TrimSuffix(string(answer), "}"), ",", 5)
	return strings.Join(members[:4], ",")
}

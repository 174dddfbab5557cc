package inspector_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/inspector"
	"github.com/msgdelivery/delivery/memstore"
)

// The operators of an app look at its tracker, and those on call replay its dead letters.
func Example() {
	mayInspect := func(r *http.Request) (inspector.Access, error) {
		switch currentUser(r) {
		case "olga":
			return inspector.MayAct, nil
		case "oscar":
			return inspector.MayLook, nil
		}
		return inspector.NoAccess, nil
	}
	audit := &delivery.Observer{Resolved: func(_ context.Context, i delivery.ResolvedInfo) {
		fmt.Println(i.Settled, "dead letters were replayed or discarded")
	}}

	recorder := inspector.NewRecorder()
	tracker, err := delivery.New(memstore.New(), notifier, &delivery.Options{Authorize: mayDo, Observer: recorder.Observer(audit)})
	if err != nil {
		log.Fatal(err)
	}
	pages, err := inspector.New(tracker, mayInspect, &inspector.Options{Recorder: recorder, Actions: true})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/inspect/", http.StripPrefix("/inspect", pages))

	for _, user := range []string{"olga", "mallory"} {
		r := httptest.NewRequest("GET", "/inspect/", nil)
		r.SetBasicAuth(user, "")
		answer := httptest.NewRecorder()
		mux.ServeHTTP(answer, r)
		fmt.Println(user, answer.Code)
	}
	// Output:
	// olga 200
	// mallory 403
}

// currentUser stands for the app's own sign-in.
func currentUser(r *http.Request) string {
	user, _, _ := r.BasicAuth()
	return user
}

var notifier = delivery.NotifierFunc(func(context.Context, []delivery.Event) error { return nil })

func mayDo(context.Context, string, delivery.Action, string) (bool, error) { return true, nil }

package pushertest_test

import (
	"context"
	"fmt"
	"log"

	"github.com/msgdelivery/delivery/pusheradapter/pushertest"
	"github.com/pusher/pusher-http-go/v5"
)

// One tab hears what the program publishes; the tab that caused it does not.
func Example() {
	t := &exampleT{} // in a test, its *testing.T
	defer t.end()

	srv := pushertest.NewServer(t)
	app := pusher.Client{AppID: srv.AppID, Key: srv.Key, Secret: srv.Secret, Host: srv.Host()}
	reader := srv.Dial(t).Subscribe("private-room")
	writer := srv.Dial(t).Subscribe("private-room")

	id := writer.SocketID()
	_, err := app.TriggerWithParams("private-room", "greeting",
		map[string]string{"say": "hello"}, pusher.TriggerParams{SocketID: &id})
	if err != nil {
		t.Fatalf("%v", err)
	}

	m := reader.Next(t.Context())
	fmt.Println("reader:", m.Name, m.Data)
	fmt.Println("writer:", len(writer.Drain(t.Context())), "messages")
	// Output:
	// reader: greeting {"say":"hello"}
	// writer: 0 messages
}

// The first call breaks after its event was delivered, the second is refused,
// the third goes well.
func ExampleServer_Script() {
	t := &exampleT{}
	defer t.end()

	srv := pushertest.NewServer(t)
	app := pusher.Client{AppID: srv.AppID, Key: srv.Key, Secret: srv.Secret, Host: srv.Host()}
	srv.Script(pushertest.Accepted(pushertest.Cut), pushertest.Status(503, "try later"))

	for i := range 3 {
		err := app.Trigger("room", fmt.Sprint("try-", i+1), "data")
		fmt.Println("accepted:", err == nil)
	}
	for _, e := range srv.Events() {
		fmt.Println("delivered:", e.Name)
	}
	// Output:
	// accepted: false
	// accepted: false
	// accepted: true
	// delivered: try-1
	// delivered: try-3
}

// exampleT stands in for the *testing.T that an example has not.
type exampleT struct{ cleanups []func() }

func (t *exampleT) Helper()                           {}
func (t *exampleT) Context() context.Context          { return context.Background() }
func (t *exampleT) Fatalf(format string, args ...any) { log.Fatalf(format, args...) }
func (t *exampleT) Cleanup(f func())                  { t.cleanups = append([]func(){f}, t.cleanups...) }

func (t *exampleT) end() {
	for _, f := range t.cleanups {
		f()
	}
}

package stub

import (
	"context"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	Serve()
	os.Exit(m.Run())
}

func start(t *testing.T) *Stub {
	t.Helper()
	s, err := Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func post(t *testing.T, s *Stub, path, body string) {
	t.Helper()
	response, err := http.Post("http://"+s.Addr()+path, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Fatalf("%s was answered with %s", path, response.Status)
	}
}

func TestItCountsCallsEventsAndMarks(t *testing.T) {
	s := start(t)
	post(t, s, "/apps/1/events", `{"name":"e","channels":["a"],"data":"{\"id\":1}"}`)
	post(t, s, "/apps/1/batch_events", `{"batch":[
		{"name":"e","channel":"a","data":"{\"updates\":[{\"version\":1},{\"version\":2}]}"},
		{"name":"e","channel":"b","data":"{\"updates\":[{\"version\":3}]}"}]}`)
	got, err := s.Counts(t.Context())
	if want := (Counts{Calls: 2, Events: 3, Marks: 4, Last: got.Last}); err != nil || got != want {
		t.Errorf("it counted %+v (%v), want %+v", got, err, want)
	}
	if err := s.Reset(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Counts(t.Context()); err != nil || got != (Counts{}) {
		t.Errorf("after a reset it counted %+v (%v)", got, err)
	}
}

func TestItAcceptsAfterItsDelay(t *testing.T) {
	s := start(t)
	const delay = 50 * time.Millisecond
	if err := s.Reset(t.Context(), delay); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	post(t, s, "/apps/1/events", `{"name":"e","channels":["a"],"data":"{}"}`)
	at, err := s.Wait(t.Context(), 1)
	if err != nil || at.Sub(began) < delay {
		t.Errorf("it accepted after %v (%v), want at least %v", at.Sub(began), err, delay)
	}
}

func TestWaitingForWhatNeverComesEndsWithTheContext(t *testing.T) {
	s := start(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := s.Wait(ctx, 1); err == nil {
		t.Error("it came")
	}
}

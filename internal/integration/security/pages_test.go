//go:build !race

package security

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
)

// Eight of the largest pages at once keep the process under 150 MB, whatever was sent, and even if
// nothing were ever collected.
func TestTheLargestPagesTakeLittleMemory(t *testing.T) {
	const atOnce, most, messages = 8, 150 << 20, 80 // of 30 MB as JSON, each time
	engines.Each(t, func(t *testing.T, e engines.Engine) {
		a := newApp(t, e, options{authorize: func(string, delivery.Action, string) bool { return true }})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute) // the machine has other things to do
		defer cancel()
		var sending sync.WaitGroup
		for i := range messages {
			sending.Go(func() {
				draft := delivery.Draft{ID: fmt.Sprint("large", i), Conversation: "large", Sender: "alice", Body: strings.Repeat("<", delivery.MaxBody), Audience: delivery.Audience{Open: true}}
				if _, err := a.tracker.Send(ctx, draft); err != nil {
					t.Error(err)
				}
			})
		}
		sending.Wait()
		longID := strings.Repeat("<", delivery.MaxID)
		recipients := make([]string, 5_000)
		for i := range recipients {
			recipients[i] = fmt.Sprintf("%0128d", i)
		}
		if _, err := a.tracker.Send(ctx, delivery.Draft{ID: longID, Conversation: "receipts", Sender: "alice", Audience: delivery.Audience{Recipients: recipients}}); err != nil {
			t.Fatal(err)
		}
		server := httptest.NewServer(a)
		defer server.Close()
		get := func(path string) (body []byte) {
			r, err := http.NewRequestWithContext(t.Context(), "GET", server.URL+path, nil)
			if err != nil {
				t.Error(err)
				return nil
			}
			r.Header.Set("Session", sessionOf("bob"))
			answer, err := server.Client().Do(r)
			if err != nil {
				t.Error(err)
				return nil
			}
			defer answer.Body.Close()
			var size int64
			if size, err = io.Copy(&tail{&body}, answer.Body); err != nil || answer.StatusCode != http.StatusOK {
				t.Errorf("%s: answered %d, %v", path, answer.StatusCode, err)
			}
			if size > delivery.MaxPage+100 {
				t.Errorf("%s: answered %d bytes", path, size)
			}
			return body
		}
		for _, path := range []string{
			"/api/messages?conversation=large&limit=500", "/api/messages?conversation=large&limit=500&after=0",
			"/api/changes?conversation=large&since=0&limit=500", "/api/receipts?limit=500&message=" + url.QueryEscape(longID),
		} {
			if end := get(path); !strings.Contains(string(end), `"more":true`) {
				t.Errorf("%s ends with %s", path, end)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			var reading sync.WaitGroup
			for range atOnce {
				reading.Go(func() { get(path) })
			}
			reading.Wait()
			runtime.ReadMemStats(&after)
			took := after.TotalAlloc - before.TotalAlloc
			t.Logf("%.50s: %d at once take %d MB", path, atOnce, took>>20)
			if took > most {
				t.Errorf("%.50s: %d at once take %d bytes of memory", path, atOnce, took)
			}
		}

		var seen int
		for page := (delivery.Page{More: true}); page.More; seen += len(page.Messages) {
			answer := a.do(as("bob", "GET", fmt.Sprintf("/api/changes?conversation=large&limit=500&since=%d&epoch=%d", page.Version, page.Epoch), ""))
			page = delivery.Page{}
			if err := json.Unmarshal(answer.Body.Bytes(), &page); err != nil || len(page.Messages) == 0 {
				t.Fatalf("%d messages, %v", len(page.Messages), err)
			}
		}
		if seen != messages {
			t.Errorf("%d messages on all pages", seen)
		}
		seen = 0
		for last, more := "", true; more; {
			answer := a.do(as("bob", "GET", "/api/receipts?"+url.Values{"message": {longID}, "after": {last}}.Encode(), ""))
			var page struct {
				Receipts []delivery.Receipt
				More     bool
			}
			if err := json.Unmarshal(answer.Body.Bytes(), &page); err != nil || len(page.Receipts) == 0 {
				t.Fatalf("%d receipts, %v", len(page.Receipts), err)
			}
			last, more = page.Receipts[len(page.Receipts)-1].Recipient, page.More
			seen += len(page.Receipts)
		}
		if seen != len(recipients) {
			t.Errorf("%d receipts on all pages", seen)
		}
	})
}

// tail keeps the last bytes of what is written to it.
type tail struct{ end *[]byte }

func (t *tail) Write(p []byte) (int, error) {
	*t.end = append((*t.end)[:0], p[max(0, len(p)-300):]...)
	return len(p), nil
}

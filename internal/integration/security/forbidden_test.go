package security

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"github.com/msgdelivery/delivery/internal/integration/engines"
)

func TestForbiddenCallsChangeNothing(t *testing.T) {
	calls := 1000
	if *full {
		calls = 100_000
	}
	engines.Each(t, func(t *testing.T, e engines.Engine) {
		a := newApp(t, e, options{})
		if breach := a.attack(t.Context(), newRandom(t), calls); breach != nil {
			t.Fatal(breach)
		}
		t.Logf("%d forbidden calls: 0 rows changed, 0 events, 0 channels signed", calls)
	})
}

// attack makes forbidden calls and returns how one of them succeeded, if one did.
func (a *app) attack(ctx context.Context, random *rand.Rand, calls int) error {
	const look = 500 // calls between two looks at the tables
	before, err := a.dump(ctx)
	if err != nil {
		return err
	}
	told := len(a.pusher.Events())
	attacker := attacker{random}
	var since []string
	for n := range calls {
		if n%look == 0 {
			if err := a.restart(); err != nil { // what it remembers of messages would keep calls from the store
				return err
			}
		}
		q := attacker.forbidden()
		since = append(since, q.String())
		answer := a.do(q)
		if !refused(answer.Code, answer.Body.Bytes()) {
			return fmt.Errorf("%v: answered %d %s", q, answer.Code, answer.Body)
		}
		if (n+1)%look != 0 && n+1 != calls {
			continue
		}
		after, err := a.dump(ctx)
		if err != nil {
			return err
		}
		if after != before {
			return fmt.Errorf("the tables have changed from\n%s\nto\n%s\nby one of\n%s", before, after, strings.Join(since, "\n"))
		}
		if err := a.tracker.Flush(ctx); err != nil {
			return err
		}
		if now := len(a.pusher.Events()); now != told {
			return fmt.Errorf("%d events were told of one of\n%s", now-told, strings.Join(since, "\n"))
		}
		since = nil
	}
	return nil
}

// nothingUnread is what is answered about conversations that the user may not view.
const nothingUnread = `{"unread":[]}`

// refused reports whether an answer refuses all that was asked for.
func refused(status int, body []byte) bool {
	if strings.Contains(string(body), `"auth"`) {
		return false
	}
	if strings.Contains(string(body), nothingUnread) {
		return true
	}
	if status != http.StatusOK {
		return status/100 == 4 || status/100 == 3 // the latter is ServeMux's answer to a path that is not clean
	}
	var batch struct {
		Results []struct {
			Changed bool
			Receipt any
			Error   string
		}
	}
	if err := json.Unmarshal(body, &batch); err != nil || len(batch.Results) == 0 {
		return false
	}
	for _, r := range batch.Results {
		if r.Changed || r.Receipt != nil || r.Error == "" {
			return false
		}
	}
	return true
}

package observer

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
	"github.com/msgdelivery/delivery/memstore"
	"pgregory.net/rapid"
)

func TestExactlyTheSameIsSeenWhateverIsHidden(t *testing.T) {
	t.Run("memory", func(t *testing.T) {
		for range 20 {
			rapid.Check(t, func(rt *rapid.T) { compare(t.Context(), rt, memstore.New()) })
		}
	})
	for _, kind := range []engines.Kind{engines.Postgres, engines.MySQL, engines.SQLite} {
		t.Run(string(kind), func(t *testing.T) {
			_, store := stores.Migrated(t, engines.First(kind))
			rapid.Check(t, func(rt *rapid.T) { compare(t.Context(), rt, store) })
		})
	}
}

// runs tells the sequences apart that share a database.
var runs atomic.Int64

func compare(ctx context.Context, t *rapid.T, store delivery.Store) {
	difference, err := compareScript(ctx, store, scripts.Draw(t, "script"), rapid.Bool().Draw(t, "takes own"))
	if err != nil {
		t.Fatal(err)
	}
	if difference != "" {
		t.Fatal(difference)
	}
}

// compareScript runs one sequence as it is and as it is to look, and returns what others see of the
// difference. The ids of both runs are equally long, since pages are cut at a number of bytes.
func compareScript(ctx context.Context, store delivery.Store, script []step, takesOwn bool) (string, error) {
	var seen [2][]string
	for i := range seen {
		w, err := newWorld(ctx, store, fmt.Sprintf("%08d/", runs.Add(1)), takesOwn)
		if err != nil {
			return "", err
		}
		if seen[i], err = w.run(script, i == 0); err != nil {
			return "", err
		}
	}
	at := ""
	for i := range min(len(seen[0]), len(seen[1])) {
		if strings.HasPrefix(seen[0][i], "step ") {
			at = seen[0][i]
		}
		if seen[0][i] != seen[1][i] {
			return fmt.Sprintf("after %s of\n%s\nothers see\n%s\nand, had bob marked as it is to look,\n%s", at, list(script), seen[0][i], seen[1][i]), nil
		}
	}
	if len(seen[0]) != len(seen[1]) {
		return fmt.Sprintf("in\n%s\nothers see %d lines, and, had bob marked as it is to look, %d", list(script), len(seen[0]), len(seen[1])), nil
	}
	return "", nil
}

func list(script []step) string {
	var b strings.Builder
	for i, s := range script {
		fmt.Fprintf(&b, "%3d %v\n", i, s)
	}
	return b.String()
}

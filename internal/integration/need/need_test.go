package need_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/msgdelivery/delivery/internal/integration/need"
)

func TestMissing(t *testing.T) {
	for _, c := range []struct{ name, forbid, outcome string }{
		{"it skips and says how to get what is missing", "", "skip"},
		{"it fails where skips are forbidden", "1", "fail"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv(need.ForbidSkips, c.forbid)
			got := &outcome{TB: t}
			need.Missing(got, "a unicorn", "look in the woods")
			if got.kind != c.outcome {
				t.Errorf("outcome = %q, want %q", got.kind, c.outcome)
			}
			for _, part := range []string{"a unicorn", "look in the woods"} {
				if !strings.Contains(got.message, part) {
					t.Errorf("the message %q lacks %q", got.message, part)
				}
			}
		})
	}
}

// outcome is a test that notes its outcome and goes on.
type outcome struct {
	testing.TB
	kind, message string
}

func (o *outcome) Skip(args ...any)                  { o.note("skip", fmt.Sprint(args...)) }
func (o *outcome) Fatalf(format string, args ...any) { o.note("fail", fmt.Sprintf(format, args...)) }

// note keeps the first outcome, where a real test would have ended.
func (o *outcome) note(kind, message string) {
	if o.kind == "" {
		o.kind, o.message = kind, message
	}
}

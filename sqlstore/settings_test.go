package sqlstore

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/msgdelivery/delivery"
)

func TestSettingsAreLookedAtUntilTheyAreFoundInOrder(t *testing.T) {
	s, d := script(t, false, nil)
	looks := 0
	outcomes := []struct {
		found findings
		err   error
	}{{err: errLost}, {found: findings{faults: []string{"one", "two"}}}, {found: findings{isolate: true}}}
	s.settings = func(context.Context, delivery.DBTX) (findings, error) {
		o := outcomes[looks]
		looks++
		return o.found, o.err
	}
	calls := map[string]func() error{
		"read":   func() error { return s.read(t.Context(), work(t.Context())) },
		"single": func() error { return s.single(t.Context(), work(t.Context())) },
		"write":  func() error { return s.write(t.Context(), work(t.Context())) },
	}
	if err := calls["single"](); !errors.Is(err, errLost) || errors.Is(err, delivery.ErrOutcomeUnknown) {
		t.Errorf("a look that fails makes the call say %v", err)
	}
	inner := *s
	inner.tx = s.db
	if err := inner.read(t.Context(), work(t.Context())); err == nil || !strings.Contains(err.Error(), "one; two") {
		t.Errorf("faults make a call in a transaction say %v", err)
	}
	if len(d.log) != 0 {
		t.Errorf("refused calls executed %q", d.log)
	}
	for name, call := range calls {
		if err := call(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := inner.read(t.Context(), work(t.Context())); err != nil || looks != 3 {
		t.Errorf("there were %d looks, want 3; %v", looks, err)
	}
}

func TestStatementsRunAtReadCommittedIfTheDefaultIsAnother(t *testing.T) {
	for isolate, want := range map[bool]string{false: "WORK WORK", true: "BEGIN WORK ROLLBACK BEGIN WORK COMMIT"} {
		s, d := script(t, false, nil)
		s.settings = func(context.Context, delivery.DBTX) (findings, error) { return findings{isolate: isolate}, nil }
		for _, run := range []func(context.Context, func(delivery.DBTX) error) error{s.read, s.single} {
			if err := run(t.Context(), work(t.Context())); err != nil {
				t.Error(err)
			}
		}
		if got := strings.Join(d.log, " "); got != want {
			t.Errorf("isolate %t: the statements are %s, want %s", isolate, got, want)
		}
	}
}

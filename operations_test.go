package delivery_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliverytest"
	"github.com/msgdelivery/delivery/memstore"
)

// replayMended replays the dead letters whose reason has been mended.
func replayMended(ctx context.Context, tracker *delivery.Tracker, mended func(reason string) bool) error {
	for after := int64(0); ; {
		letters, err := tracker.DeadLetters(ctx, delivery.DeadQuery{After: after, Limit: 100})
		if err != nil || len(letters) == 0 {
			return err
		}
		for _, letter := range letters {
			after = letter.Event.ID
			if !mended(letter.Reason) {
				continue
			}
			if err := tracker.Replay(ctx, letter.Event.ID); err != nil && !errors.Is(err, delivery.ErrNotFound) {
				return err
			}
		}
	}
}

// TestTheRunbookReplaysWhatWasMended runs the code of docs/operations.md.
func TestTheRunbookReplaysWhatWasMended(t *testing.T) {
	guide, err := os.ReadFile("docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, runbook, _ := strings.Cut(string(guide), "\n## Dead letters\n")
	_, code, ok := strings.Cut(runbook, "```go\n")
	code, _, ok2 := strings.Cut(code, "```\n")
	source, err := os.ReadFile("operations_test.go")
	if err != nil || !ok || !ok2 || !strings.Contains(string(source), code) {
		t.Fatalf("the guide's code is not in this file, %v:\n%s", err, code)
	}

	var told deliverytest.Recorder
	refusing := map[string]string{"c1": "too large", "c2": "no such channel"}
	notifier := delivery.NotifierFunc(func(ctx context.Context, events []delivery.Event) error {
		refused := map[int]error{}
		for i, e := range events {
			if reason := refusing[e.Conversation]; reason != "" {
				refused[i] = delivery.Permanent(errors.New(reason))
			} else if err := told.Notify(ctx, events[i:i+1]); err != nil {
				return err
			}
		}
		return delivery.Refused(refused)
	})
	tracker, err := delivery.New(memstore.New(), notifier, &delivery.Options{OpenConversations: true, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	for _, conversation := range []string{"c1", "c2", "c1", "c3"} {
		if _, err := tracker.Send(t.Context(), delivery.Draft{Conversation: conversation, Sender: "alice", Audience: delivery.Audience{Open: true}}); err != nil {
			t.Fatal(err)
		}
	}
	flush := func() {
		t.Helper()
		if err := tracker.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	flush()
	delete(refusing, "c1")
	if err := replayMended(t.Context(), tracker, func(reason string) bool { return strings.Contains(reason, "too large") }); err != nil {
		t.Fatal(err)
	}
	flush()
	dead, err := tracker.DeadLetters(t.Context(), delivery.DeadQuery{})
	if err != nil || len(dead) != 1 || dead[0].Event.Conversation != "c2" || len(told.Events()) != 3 {
		t.Errorf("dead letters %v, %v; %d events were told", dead, err, len(told.Events()))
	}
}

// TestOperationsQuotesTheLog looks for every line of the log that docs/operations.md explains.
func TestOperationsQuotesTheLog(t *testing.T) {
	guide, err := os.ReadFile("docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(guide), "## What the log says")
	section, _, _ = strings.Cut(section, "## ")
	var sources strings.Builder
	for name, text := range files(t, ".go") {
		if !strings.HasSuffix(name, "_test.go") {
			sources.WriteString(text)
		}
	}
	lines := 0
	for _, row := range regexp.MustCompile("(?m)^\\| (`.*?) \\|").FindAllStringSubmatch(section, -1) {
		for _, line := range strings.Split(strings.Trim(row[1], "`"), "`, `") {
			for _, part := range strings.SplitAfter(line, "; ") {
				if lines++; !strings.Contains(sources.String(), part) {
					t.Errorf("no program logs %q", part)
				}
			}
		}
	}
	if lines < 10 {
		t.Errorf("found %d lines of the log", lines)
	}
}

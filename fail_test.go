package delivery_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/memstore"
)

func TestFail(t *testing.T) {
	sent := func(t *testing.T, opts *delivery.Options) *desk {
		t.Helper()
		d := newDesk(t, opts)
		d.send(t, delivery.Draft{ID: "m", Conversation: "c", Sender: "alice", Audience: delivery.Audience{Recipients: []string{"bob", "carol", "dan"}, Untracked: []string{"dan"}}})
		d.send(t, delivery.Draft{ID: "o", Conversation: "c", Sender: "alice", Audience: delivery.Audience{Open: true}})
		d.told(t)
		return d
	}
	bounce := func(recipient string) delivery.Failure {
		return delivery.Failure{Message: "m", Recipient: recipient, Code: "mailbox_full"}
	}
	failed := func(t *testing.T, d *desk) (recipients []string) {
		t.Helper()
		page, err := d.Receipts(t.Context(), delivery.ReceiptQuery{Message: "m", Failed: true})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Receipts {
			recipients = append(recipients, r.Recipient+" "+r.Failure)
		}
		return recipients
	}

	t.Run("everybody sees the failure until a mark takes it away, and is told of both", func(t *testing.T) {
		d := sent(t, &delivery.Options{Trace: func(context.Context) string { return "t" }})
		if err := d.Fail(t.Context(), bounce("bob")); err != nil {
			t.Fatal(err)
		}
		receipt := delivery.Receipt{Message: "m", Recipient: "bob", Status: delivery.Sent, Version: 3, Failure: "mailbox_full"}
		events := d.told(t)
		if len(events) != 1 || events[0].Kind != delivery.StatusChanged || events[0].Except != "" || events[0].Updates[0].Failed != 1 || *events[0].Updates[0].Receipt != receipt ||
			!slices.Equal(events[0].Trace, []string{"t"}) {
			t.Errorf("told %+v", events)
		}
		if m, err := d.Message(t.Context(), "m"); err != nil || m.Failed != 1 || m.Version != 3 || m.Status != delivery.Sent {
			t.Errorf("the message is %+v, %v", m, err)
		}
		if got := failed(t, d); !slices.Equal(got, []string{"bob mailbox_full"}) {
			t.Errorf("failed: %v", got)
		}
		if own, err := d.MarkRead(t.Context(), bob, "m"); err != nil || own.Failure != "" || own.Status != delivery.Read {
			t.Errorf("the mark returned %+v, %v", own, err)
		}
		events = d.told(t)
		if u := events[0].Updates[0]; len(events) != 1 || u.Failed != 0 || u.Read != 1 || u.Receipt.Failure != "" {
			t.Errorf("told %+v", events)
		}
		if got := failed(t, d); len(got) != 0 {
			t.Errorf("failed after the mark: %v", got)
		}
	})

	t.Run("the answer is the same, whatever others may see of the recipient", func(t *testing.T) {
		d := sent(t, nil)
		discreet := carol
		discreet.Hide = delivery.HideAll
		if _, err := d.MarkRead(t.Context(), discreet, "m"); err != nil {
			t.Fatal(err)
		}
		if _, err := d.MarkDelivered(t.Context(), bob, "m"); err != nil {
			t.Fatal(err)
		}
		d.told(t)
		for _, user := range []string{"bob", "dan", "carol", "carol"} {
			if err := d.Fail(t.Context(), bounce(user)); err != nil {
				t.Errorf("%s: %v", user, err)
			}
		}
		if events := d.told(t); len(events) != 1 || events[0].Updates[0].Receipt.Recipient != "carol" {
			t.Errorf("told %+v", events)
		}
		if got := failed(t, d); !slices.Equal(got, []string{"carol mailbox_full"}) {
			t.Errorf("failed: %v", got)
		}
	})

	t.Run("what cannot be is refused by its field or its name, and changes nothing", func(t *testing.T) {
		d := sent(t, nil)
		for _, c := range []struct {
			failure delivery.Failure
			field   string
			err     error
		}{
			{failure: delivery.Failure{Message: "m", Recipient: "bob"}, field: "code"},
			{failure: delivery.Failure{Message: "m", Recipient: "bob", Code: strings.Repeat("a", delivery.MaxCode+1)}, field: "code"},
			{failure: delivery.Failure{Message: "m", Recipient: "bob", Code: "Full"}, field: "code"},
			{failure: delivery.Failure{Message: "m", Recipient: "bob", Code: "no such user"}, field: "code"},
			{failure: delivery.Failure{Message: "m", Recipient: "bob", Code: "bob@example.org"}, field: "code"},
			{failure: delivery.Failure{Message: "m", Recipient: "bob", Code: "é"}, field: "code"},
			{failure: delivery.Failure{Message: "m", Recipient: "bob", Code: "a\x00"}, field: "code"},
			{failure: delivery.Failure{Recipient: "bob", Code: "a"}, field: "message"},
			{failure: delivery.Failure{Message: "m", Code: "a"}, field: "recipient"},
			{failure: delivery.Failure{Message: "m", Recipient: "\xff", Code: "a"}, field: "recipient"},
			{failure: delivery.Failure{Message: "m", Recipient: "alice", Code: "a"}, field: "recipient"},
			{failure: delivery.Failure{Message: "o", Recipient: "bob", Code: "a"}, field: "message"},
			{failure: delivery.Failure{Message: "missing", Recipient: "bob", Code: "a"}, err: delivery.ErrNotFound},
			{failure: delivery.Failure{Message: "m", Recipient: "mallory", Code: "a"}, err: delivery.ErrNotRecipient},
		} {
			err := d.Fail(t.Context(), c.failure)
			var invalid *delivery.InvalidError
			if c.err != nil && err != c.err || c.field != "" && (!errors.As(err, &invalid) || invalid.Field != c.field) {
				t.Errorf("%+q: %v, want %v of the field %q", c.failure, err, c.err, c.field)
			}
			if invalid != nil && c.failure.Code != "a" && strings.Contains(invalid.Error(), c.failure.Code) && c.failure.Code != "" {
				t.Errorf("the error quotes the code: %v", invalid)
			}
		}
		if events := d.told(t); len(events) != 0 || len(failed(t, d)) != 0 {
			t.Errorf("told %+v, and there are failures: %v", events, failed(t, d))
		}
		long := delivery.Failure{Message: "m", Recipient: "bob", Code: strings.Repeat("a0_.-z9x", delivery.MaxCode/8)}
		if err := d.Fail(t.Context(), long); err != nil {
			t.Errorf("the longest code: %v", err)
		}
	})

	t.Run("the observer is told of each call with valid arguments", func(t *testing.T) {
		var seen []string
		d := sent(t, &delivery.Options{Observer: &delivery.Observer{Failed: func(_ context.Context, f delivery.FailedInfo) {
			seen = append(seen, fmt.Sprint(f.Conversation, " ", f.Message, " ", f.Recipient, " ", f.Code, " ", f.Changed, " ", f.Err))
		}}})
		for _, user := range []string{"bob", "bob", "dan", "eve", ""} {
			d.Fail(t.Context(), bounce(user))
		}
		want := []string{
			"c m bob mailbox_full true <nil>", "c m bob mailbox_full false <nil>", "c m dan mailbox_full false <nil>",
			"c m eve mailbox_full false " + delivery.ErrNotRecipient.Error(),
		}
		if !slices.Equal(seen, want) {
			t.Errorf("seen %q", seen)
		}
	})

	t.Run("a store that keeps no failures says so", func(t *testing.T) {
		tracker := newTracker(t, struct{ delivery.Store }{memstore.New()}, new(endpoint), nil)
		if err := tracker.Fail(t.Context(), bounce("bob")); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("got %v", err)
		}
	})

	t.Run("a blocked failure is tried again, and a lost answer is an unknown outcome", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			store := &moody{Store: memstore.New(), blocked: 5}
			tracker := newTracker(t, store, new(endpoint), nil)
			if _, err := tracker.Send(t.Context(), delivery.Draft{ID: "m", Conversation: "c", Sender: "alice", Audience: delivery.Audience{Recipients: []string{"bob"}}}); err != nil {
				t.Fatal(err)
			}
			if err := tracker.Fail(t.Context(), bounce("bob")); err != nil || store.blocked != 0 {
				t.Errorf("%v, and it is blocked %d times more", err, store.blocked)
			}
			store.err = fmt.Errorf("the connection broke: %w", delivery.ErrOutcomeUnknown)
			if err := tracker.Fail(t.Context(), bounce("bob")); !errors.Is(err, delivery.ErrOutcomeUnknown) {
				t.Errorf("got %v", err)
			}
			store.err, store.blocked = nil, 1<<30
			if err := tracker.Fail(t.Context(), bounce("bob")); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("one that is always blocked: %v", err)
			}
		})
	})

	t.Run("an event that was dead is replayed with the failure of now", func(t *testing.T) {
		d := sent(t, nil)
		if err := d.Fail(t.Context(), bounce("bob")); err != nil {
			t.Fatal(err)
		}
		claimed, err := d.store.Claim(t.Context(), 1, delivery.Lease{Token: 1, For: 1 << 40})
		if err != nil || len(claimed) != 1 {
			t.Fatalf("claimed %v, %v", claimed, err)
		}
		if _, err := d.store.Settle(t.Context(), []delivery.Settlement{{ID: claimed[0].Event.ID, Lease: 1, Outcome: delivery.SettleBury}}); err != nil {
			t.Fatal(err)
		}
		again := bounce("bob")
		again.Code = "gone"
		for _, f := range []delivery.Failure{again, bounce("carol")} {
			if err := d.Fail(t.Context(), f); err != nil {
				t.Fatal(err)
			}
		}
		d.told(t)
		if err := d.Replay(t.Context(), claimed[0].Event.ID); err != nil {
			t.Fatal(err)
		}
		events := d.told(t)
		if len(events) != 1 || events[0].Updates[0].Failed != 2 || events[0].Updates[0].Receipt.Failure != "gone" {
			t.Errorf("told %+v", events)
		}
	})

	t.Run("a query for failed receipts of a status is refused", func(t *testing.T) {
		d := sent(t, nil)
		var invalid *delivery.InvalidError
		if _, err := d.Receipts(t.Context(), delivery.ReceiptQuery{Message: "m", Failed: true, Status: delivery.Sent}); !errors.As(err, &invalid) || invalid.Field != "failed" {
			t.Errorf("got %v", err)
		}
	})
}

// moody answers failures as it likes.
type moody struct {
	*memstore.Store
	blocked int // times
	err     error
}

func (m *moody) Fail(ctx context.Context, f delivery.NewFailure, lease delivery.Lease) (delivery.Failed, []delivery.Claimed, error) {
	if err := cmp.Or(ctx.Err(), m.err); err != nil {
		return delivery.Failed{}, nil, err
	}
	if m.blocked > 0 {
		m.blocked--
		return delivery.Failed{Blocked: true}, nil, nil
	}
	return m.Store.Fail(ctx, f, lease)
}

//go:build !race && !sqlite2

package plans

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/stores"
)

// operations has every operation of a store and, if there are several, every way it takes, but for
// those of the relay. They have the names of [delivery.Tracker].
var operations = []operation{
	{"Send", func(ctx context.Context, v visit) error {
		return v.send(ctx, v.draft("a", v.conversation()))
	}},
	{"Send in a conversation and in a new one", func(ctx context.Context, v visit) error {
		return v.send(ctx, v.draft("b", v.conversation()), v.draft("c", fmt.Sprint("new", v.n)))
	}},
	{"Send in two conversations", func(ctx context.Context, v visit) error {
		return v.send(ctx, v.draft("d", v.conversation()), v.draft("e", "c0"))
	}},
	{"Send again", func(ctx context.Context, v visit) error {
		draft := v.draft("f", v.conversation())
		draft.ID = v.id(3)
		return v.send(ctx, draft)
	}},
	{"Send to a new roster", func(ctx context.Context, v visit) error {
		draft := v.draft("g", v.conversation())
		draft.Roster = draft.ID
		return v.send(ctx, draft)
	}},
	{"Send to a roster that is not known", func(ctx context.Context, v visit) error {
		draft := v.draft("h", v.conversation())
		draft.Roster, draft.Members = draft.ID, nil
		return v.send(ctx, draft)
	}},
	{"Mark", func(ctx context.Context, v visit) error {
		return v.mark(ctx, v.id(20))
	}},
	{"Mark of 500", func(ctx context.Context, v visit) error {
		return v.mark(ctx, v.ids(500)...)
	}},
	{"Mark in two conversations", func(ctx context.Context, v visit) error {
		return v.mark(ctx, v.id(20), "a1")
	}},
	{"Mark by a recipient", func(ctx context.Context, v visit) error {
		_, _, err := v.Advance(ctx, []delivery.Mark{stores.MarkBy("dan", v.frozen(v.n%150))}, v.lease())
		return err
	}},
	{"Mark by the sender", func(ctx context.Context, v visit) error {
		_, _, err := v.Advance(ctx, []delivery.Mark{stores.MarkBy("ann", v.id(20))}, v.lease())
		return err
	}},
	{"MarkUpTo of 10", func(ctx context.Context, v visit) error {
		return v.markUpTo(ctx, true)
	}},
	{"MarkUpTo of four readers, in two conversations", func(ctx context.Context, v visit) error {
		elsewhere := delivery.UpTo{Conversation: "c0", Message: "a1", User: v.reader(), Status: delivery.Read, At: time.Now(), Admitted: true}
		marks := []delivery.UpTo{elsewhere}
		for i := range 3 {
			marks = append(marks, v.upTo(fmt.Sprintf("r%d-%d", v.messages, 501+v.n%150*3+i), true))
		}
		_, _, err := v.AdvanceUpTo(ctx, marks, 100, v.lease())
		return err
	}},
	{"MarkUpTo without admission", func(ctx context.Context, v visit) error {
		return v.markUpTo(ctx, false)
	}},
	{"Message", func(ctx context.Context, v visit) error {
		_, err := v.Load(ctx, v.ids(1))
		return err
	}},
	{"Load of 500", func(ctx context.Context, v visit) error {
		_, err := v.Load(ctx, v.ids(500))
		return err
	}},
	{"Receipts", func(ctx context.Context, v visit) error {
		_, err := v.Receipts(ctx, delivery.ReceiptList{Message: v.frozen(0), Limit: 50})
		return err
	}},
	{"Messages after one", func(ctx context.Context, v visit) error {
		return v.list(ctx, delivery.List{After: int64(v.newest) - 30})
	}},
	{"Messages before one", func(ctx context.Context, v visit) error {
		return v.list(ctx, delivery.List{Before: int64(v.newest) + 1})
	}},
	{"the newest Messages", func(ctx context.Context, v visit) error {
		return v.list(ctx, delivery.List{Before: delivery.Latest})
	}},
	{"Changes", func(ctx context.Context, v visit) error {
		return v.list(ctx, delivery.List{Changes: true, After: v.version - 30})
	}},
	{"Unread", func(ctx context.Context, v visit) error {
		_, err := v.Store.Unread(ctx, v.reader(), []string{"c1"}, 10)
		return err
	}},
	{"Unread of a newcomer", func(ctx context.Context, v visit) error {
		_, err := v.Store.Unread(ctx, "newcomer", []string{"c1"}, 10)
		return err
	}},
	{"Unread of 200 conversations", func(ctx context.Context, v visit) error {
		conversations := make([]string, delivery.MaxConversations)
		for i := range conversations {
			conversations[i] = fmt.Sprint("c", i+1)
		}
		_, err := v.Store.Unread(ctx, v.reader(), conversations, 1)
		return err
	}},
	{"Delete", func(ctx context.Context, v visit) error { return v.delete(ctx, 1) }},
	{"Delete of 5", func(ctx context.Context, v visit) error { return v.delete(ctx, 5) }},
	{"Compact of 10", func(ctx context.Context, v visit) error {
		c := delivery.Compaction{Conversation: v.conversation(), Before: time.Now().Add(time.Hour), Limit: 10}
		_, err := v.Store.(delivery.Keeper).Compact(ctx, c)
		if errors.Is(err, errors.ErrUnsupported) { // in a transaction
			return nil
		}
		return err
	}},
	{"Import of 3", func(ctx context.Context, v visit) error { return v.imports(ctx, fmt.Sprint("past", v.n)) }},
	{"Import beside what was sent", func(ctx context.Context, v visit) error { return v.imports(ctx, v.conversation()) }},
	{"Fail, and the mark after it", func(ctx context.Context, v visit) error {
		message := v.frozen(v.n % 150)
		f := delivery.Failure{Message: message, Recipient: "bob", Code: fmt.Sprint("c", v.n)}
		if _, _, err := v.Store.(delivery.FailureStore).Fail(ctx, delivery.NewFailure{Failure: f}, v.lease()); err != nil && !errors.Is(err, errors.ErrUnsupported) {
			return err // in a transaction of the caller's there is no Fail
		}
		_, _, err := v.Advance(ctx, []delivery.Mark{stores.MarkBy("bob", message)}, v.lease())
		return err
	}},
	{"Receipts with a failure", func(ctx context.Context, v visit) error {
		_, err := v.Receipts(ctx, delivery.ReceiptList{Message: v.frozen(0), Limit: 50, Failed: true})
		return err
	}},
	{"the first Overdue by two rules, and a send", func(ctx context.Context, v visit) error {
		for _, who := range []delivery.OverdueFor{delivery.ForRecipient, delivery.ForSender} {
			if _, err := v.overdue(ctx, overdueRule{name: fmt.Sprint("rule", v.n)}, who); err != nil {
				return err
			}
		}
		time.Sleep(tick)
		return v.send(ctx, v.draft("i", v.conversation()))
	}},
	{"Overdue for the recipient", func(ctx context.Context, v visit) error { return v.overdueOf(ctx, delivery.ForRecipient) }},
	{"Overdue for the sender", func(ctx context.Context, v visit) error { return v.overdueOf(ctx, delivery.ForSender) }},
	{"Overdue for the recipient, after the leases", func(ctx context.Context, v visit) error { return v.overdueOf(ctx, delivery.ForRecipient) }},
	{"Overdue for the sender, after the leases", func(ctx context.Context, v visit) error { return v.overdueOf(ctx, delivery.ForSender) }},
	{"OverdueDone", func(ctx context.Context, v visit) error {
		claims := slices.Concat(v.oldestRule(delivery.ForRecipient).claims, v.oldestRule(delivery.ForSender).claims)
		_, err := v.Store.(delivery.OverdueStore).SettleOverdue(ctx, claims)
		return err
	}},
	{"CountHour", func(ctx context.Context, v visit) error {
		counted, err := v.Store.(delivery.HourStore).CountHour(ctx)
		if errors.Is(err, errors.ErrUnsupported) { // in a transaction
			return nil
		}
		if err != nil || counted && !v.idle {
			return fmt.Errorf("counted %t, %w", counted, err)
		}
		v.exec(fmt.Sprintf("UPDATE delivery_hours SET ready_at = 1 WHERE began_at = %d", v.hour.UnixMicro()))
		counted, err = v.Store.(delivery.HourStore).CountHour(ctx)
		if !counted && err == nil && !v.idle {
			return errors.New("no hour was counted")
		}
		return err
	}},
	{"Hours", func(ctx context.Context, v visit) error {
		hours, err := v.Store.(delivery.HourStore).Hours(ctx, v.hour.Add(-6*24*time.Hour), delivery.MaxBatch)
		if err == nil && !v.idle && (len(hours) != 1 || hours[0].Messages.Sent == 0) {
			return fmt.Errorf("the hours are %+v", hours)
		}
		return err
	}},
}

// ofTheRelay are the operations that no caller's transaction does.
var ofTheRelay = []operation{
	{"settling what was accepted", func(ctx context.Context, v visit) error { return v.settle(ctx, delivery.SettleDone) }},
	{"settling what failed", func(ctx context.Context, v visit) error { return v.settle(ctx, delivery.SettleRetry) }},
	{"settling what cannot be accepted", func(ctx context.Context, v visit) error { return v.settle(ctx, delivery.SettleBury) }},
	{"settling dead letters", func(ctx context.Context, v visit) error {
		dead, err := v.Dead(ctx, 0, 2)
		if err != nil || len(dead) < 2 {
			return err
		}
		_, err = v.Settle(ctx, []delivery.Settlement{
			{ID: dead[0].Event.ID, Outcome: delivery.SettleRequeue, Event: delivery.Event{Kind: delivery.MessageSent, Conversation: "c1"}},
			{ID: dead[1].Event.ID, Outcome: delivery.SettleDiscard},
		})
		return err
	}},
}

// conversation returns where to send. Nobody sends in c1 while the tables are empty.
func (v visit) conversation() string {
	if v.messages == 0 {
		return "c0"
	}
	return "c1"
}

// ids returns the ids of the newest messages of c1.
func (v visit) ids(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprint("m1-", v.newest-i)
	}
	return ids
}

// frozen returns the id of the newest frozen message of c1 that so many are newer than.
func (v visit) frozen(newer int) string { return fmt.Sprint("m1-", (v.newest/10-newer)*10) }

func (v visit) draft(id, conversation string) delivery.NewMessage {
	return delivery.NewMessage{
		Header: delivery.Header{ID: fmt.Sprint(id, v.n), Conversation: conversation, Sender: "ann", Total: 2, Quorum: 1},
		Roster: "them", Members: []string{"bob", "cem"},
	}
}

func (v visit) markOf(message string) delivery.Mark {
	return stores.MarkBy(fmt.Sprint("u", v.n), message)
}

// reader returns a user who has read all but the last twenty messages, as the next 500 have.
func (v visit) reader() string { return fmt.Sprintf("r%d-%d", v.messages, v.n%500+1) }

func (v visit) lease() delivery.Lease { return delivery.Lease{Token: int64(v.n), For: time.Hour} }

func (v visit) send(ctx context.Context, drafts ...delivery.NewMessage) error {
	_, _, err := v.Create(ctx, drafts, v.lease())
	return err
}

func (v visit) mark(ctx context.Context, messages ...string) error {
	marks := make([]delivery.Mark, len(messages))
	for i, m := range messages {
		marks[i] = v.markOf(m)
	}
	_, _, err := v.Advance(ctx, marks, v.lease())
	return err
}

func (v visit) markUpTo(ctx context.Context, admitted bool) error {
	_, _, err := v.AdvanceUpTo(ctx, []delivery.UpTo{v.upTo(v.reader(), admitted)}, 10, v.lease())
	return err
}

func (v visit) upTo(user string, admitted bool) delivery.UpTo {
	return delivery.UpTo{Conversation: v.conversation(), Message: v.id(0), User: user, Status: delivery.Read, At: time.Now(), Admitted: admitted}
}

func (v visit) list(ctx context.Context, l delivery.List) error {
	l.Conversation, l.Viewer, l.Limit = "c1", "bob", 10
	_, err := v.List(ctx, l)
	return err
}

// delete deletes messages that nobody looks at: open ones, which are neither the oldest nor among
// the newest.
func (v visit) delete(ctx context.Context, n int) error {
	deletions := make([]delivery.Deletion, n)
	for i := range deletions {
		at := v.deleted + i
		deletions[i].Message = fmt.Sprint("m1-", oldest+1+at/9*10+at%9)
	}
	deleted, _, err := v.Store.(delivery.Keeper).Delete(ctx, deletions, v.lease())
	for _, d := range deleted {
		if d.Changed {
			v.history.deleted++
		} else if !v.idle {
			return fmt.Errorf("not deleted: %+v", d)
		}
	}
	return err
}

func (v visit) settle(ctx context.Context, outcome delivery.Outcome) error {
	const n = 5
	claimed, err := v.Claim(ctx, n, v.lease())
	if err != nil {
		return err
	}
	if len(claimed) < n && !v.idle {
		return fmt.Errorf("%d of %d events could be claimed", len(claimed), n)
	}
	var settlements []delivery.Settlement
	for _, c := range claimed {
		settlements = append(settlements, delivery.Settlement{ID: c.Event.ID, Lease: c.Lease, Outcome: outcome, After: time.Hour, Reason: "no"})
	}
	if len(settlements) == 0 {
		return nil
	}
	_, err = v.Settle(ctx, settlements)
	return err
}

// overdueRule is a rule, and what it found last.
type overdueRule struct {
	name   string
	claims []delivery.OverdueClaim
}

// tick is a time in which the clock of each database moves.
const tick = 3 * time.Millisecond

// overdueOf looks for two recipients by the rule that was longest not used.
func (v visit) overdueOf(ctx context.Context, who delivery.OverdueFor) error {
	time.Sleep(tick)
	n, err := v.overdue(ctx, v.oldestRule(who), who)
	if err == nil && n < 2 && !v.idle {
		return fmt.Errorf("%d are overdue", n)
	}
	return err
}

func (v visit) overdue(ctx context.Context, rule overdueRule, who delivery.OverdueFor) (found int, err error) {
	result, err := v.Store.(delivery.OverdueStore).Overdue(ctx, delivery.OverdueRule{
		Name: rule.name, Status: delivery.Read, After: time.Microsecond, Within: time.Hour, For: who, Lease: time.Microsecond,
	}, 10, delivery.Lease{Token: int64(v.n), For: time.Microsecond})
	rule.claims = nil
	for _, d := range result.Due {
		rule.claims = append(rule.claims, d.Claim)
	}
	v.rules[who] = append(v.rules[who], rule)
	return len(result.Due), err
}

// oldestRule takes the rule that was longest not used.
func (v visit) oldestRule(who delivery.OverdueFor) overdueRule {
	rule := v.rules[who][0]
	v.rules[who] = v.rules[who][1:]
	return rule
}

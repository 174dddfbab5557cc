package semantics

import (
	"fmt"
	"slices"
	"time"

	"github.com/msgdelivery/delivery"
)

// operation is what a table is about.
type operation struct {
	name     string
	says     string                                            // above the table
	messages []string                                          // that the cells are about
	but      []string                                          // actors for whom it makes no sense
	first    func(w *world) error                              // before m1 and m2 are sent
	before   func(w *world, is delivery.Actor) error           // what has happened
	call     func(w *world, is delivery.Actor) (string, error) // the call, and what it answered
}

// leavesOut reports whether the table has no row of the actor.
func (o operation) leavesOut(a actor) bool { return slices.Contains(o.but, a.name) }

// mark is a mark of m1.
func mark(status delivery.Status, hide delivery.Hide) func(w *world, is delivery.Actor) (string, error) {
	return func(w *world, is delivery.Actor) (string, error) {
		is.Hide = hide
		results, err := w.tracker.Mark(w.ctx, is, status, w.of("m1"))
		if err != nil {
			return "", err
		}
		return results[0].Own.Status.String(), results[0].Err
	}
}

// upTo is an up-to mark of m2 as read.
func upTo(hide delivery.Hide) func(w *world, is delivery.Actor) (string, error) {
	return func(w *world, is delivery.Actor) (string, error) {
		is.Hide = hide
		result, err := w.tracker.MarkUpTo(w.ctx, is, delivery.Read, w.ref("m2"))
		if err != nil {
			return "", err
		}
		versions := "no versions"
		if result.To > 0 {
			versions = "their versions"
		}
		return fmt.Sprintf("changed %d, %s", result.Changed, versions), nil
	}
}

// remove is the deletion of m1.
func remove(w *world, is delivery.Actor) (string, error) {
	n, err := w.tracker.Delete(w.ctx, is, w.of("m1"))
	return fmt.Sprintf("deleted %d", n), err
}

// overdue asks for the recipients of m1 who have not read it, and looks for the user among them.
func overdue(whose delivery.OverdueFor) func(w *world, is delivery.Actor) (string, error) {
	return func(w *world, is delivery.Actor) (string, error) {
		due, err := w.tracker.Overdue(w.ctx, delivery.OverdueRule{Name: w.of("rule"), Status: delivery.Read, After: time.Microsecond, For: whose}, delivery.MaxBatch)
		for _, d := range due {
			if d.Message.ID == w.of("m1") && d.Recipient == is.User {
				return "overdue, " + d.Status.String(), err
			}
		}
		return "not overdue", err
	}
}

// begin makes a rule begin before m1 is sent.
func begin(whose delivery.OverdueFor) func(w *world) error {
	return func(w *world) error {
		_, err := overdue(whose)(w, delivery.Actor{})
		return err
	}
}

// fail has the app record a failure of the user.
func fail(w *world, is delivery.Actor) (string, error) {
	return "done", w.tracker.Fail(w.ctx, delivery.Failure{Message: w.of("m1"), Recipient: is.User, Code: "busy"})
}

var one, both = []string{"m1"}, []string{"m1", "m2"}

var operations = []operation{
	{
		name: "Send", messages: []string{"m3"}, but: []string{"member, open message", "stranger, open message", "recipient who read in private before", "recipient who hides reads", "untracked recipient"},
		says: "The user sends m3. `Send` does not ask the app's rule: the app asks it before, as `deliveryhttp` does. A repeated send changes nothing. " +
			"An erased name becomes a new user.",
		call: func(w *world, is delivery.Actor) (string, error) {
			m, err := w.send(is, "m3", actor{})
			return m.Status.String(), err
		},
	},
	{
		name: "MarkDelivered", messages: one, call: mark(delivery.Delivered, delivery.HideNothing),
		says: "The user marks m1 as delivered. The answer does not include private marks, so it can be lower than what the user sees.",
	},
	{
		name: "MarkRead", messages: one, call: mark(delivery.Read, delivery.HideNothing),
		says: "The user marks m1 as read. If the user read it in private before, others see only this mark, with its own time.",
	},
	{
		name: "MarkRead with HideRead", messages: one, call: mark(delivery.Read, delivery.HideRead),
		says: "The user marks m1 as read, and others see it as delivered.",
	},
	{
		name: "MarkRead with HideAll", messages: one, call: mark(delivery.Read, delivery.HideAll),
		says: "The user marks m1 as read, and others see nothing. Only the user's other devices are told.",
	},
	{
		name: "MarkUpTo", messages: both, call: upTo(delivery.HideNothing),
		says: "The user marks all messages up to m2 as read. Each message takes a version of its own. Messages that the user may not mark are skipped.",
	},
	{
		name: "MarkUpTo with HideRead", messages: both, call: upTo(delivery.HideRead),
		says: "The user marks all messages up to m2 as read, and others see them as delivered.",
	},
	{
		name: "MarkUpTo with HideAll", messages: both, call: upTo(delivery.HideAll),
		says: "The user marks all messages up to m2 as read, and others see nothing. The answer counts only what others may see. " +
			"If the app's rule does not let a recipient in, m2 alone is marked.",
	},
	{
		name: "Dismiss", messages: both,
		says: "The user dismisses all messages up to m2: they do not count as unread any more, and others learn nothing.",
		call: func(w *world, is delivery.Actor) (string, error) {
			place, err := w.tracker.Dismiss(w.ctx, is, w.ref("m2"))
			return fmt.Sprintf("place %d", place.Badge), err
		},
	},
	{
		name: "MarkUnread", messages: one,
		says: "The user marks the conversation as unread from m1 on. No count changes.",
		call: func(w *world, is delivery.Actor) (string, error) {
			place, err := w.tracker.MarkUnread(w.ctx, is, w.of("m1"))
			return fmt.Sprintf("flag %d", place.Flag), err
		},
	},
	{
		name: "Delete", messages: one, call: remove,
		says: "The user deletes m1 for everyone. Before the call, the app decides whether the user may. A second deletion changes nothing.",
	},
	{
		name: "MarkRead of a deleted message", messages: one, but: []string{"recipient's second device"},
		says: "m1 was deleted before, and the user marks it as read. The answer is the same for everyone.",
		before: func(w *world, is delivery.Actor) error {
			_, err := remove(w, delivery.Actor{User: w.of("alice")})
			return err
		},
		call: mark(delivery.Read, delivery.HideNothing),
	},
	{
		name: "MarkUpTo a deleted message", messages: both, but: []string{"recipient's second device"},
		says: "m2 was deleted before, and the user marks all messages up to it as read. A deleted message keeps its place in the conversation.",
		before: func(w *world, is delivery.Actor) error {
			_, err := w.tracker.Delete(w.ctx, delivery.Actor{User: w.of("alice")}, w.of("m2"))
			return err
		},
		call: upTo(delivery.HideNothing),
	},
	{
		name: "Send with the id of a deleted message", messages: one, but: []string{"member, open message", "stranger, open message", "recipient's second device", "recipient who hides reads", "untracked recipient"},
		says: "m1 was deleted before, and the user sends a message with its id. The id stays taken.",
		before: func(w *world, is delivery.Actor) error {
			_, err := remove(w, delivery.Actor{User: w.of("alice")})
			return err
		},
		call: func(w *world, is delivery.Actor) (string, error) {
			m, err := w.send(is, "m1", actor{})
			return m.Status.String(), err
		},
	},
	{
		name: "Prune", messages: both, but: []string{"recipient's second device"},
		says: "The app prunes the conversation, and m1 and m2 are old enough.",
		call: func(w *world, is delivery.Actor) (string, error) {
			result, err := w.store.Prune(w.ctx, delivery.Pruning{Conversation: w.of("c"), Before: time.Now().Add(time.Hour), Limit: 100})
			return fmt.Sprintf("removed %d", result.Removed), err
		},
	},
	{
		name: "Compact", messages: both, but: []string{"recipient's second device"},
		says: "The user has marked all messages up to m2 as read, if that is allowed, and then the app compacts the conversation. m1 and m2 are old enough. " +
			"Statuses and counts stay. A receipt without its time has the reason *expired*.",
		before: func(w *world, is delivery.Actor) error { return attempt(upTo(delivery.HideNothing)(w, is)) },
		call: func(w *world, is delivery.Actor) (string, error) {
			result, err := w.store.Compact(w.ctx, delivery.Compaction{Conversation: w.of("c"), Before: time.Now().Add(time.Hour), Limit: 100})
			return fmt.Sprintf("compacted %d", result.Compacted), err
		},
	},
	{
		name: "DeleteConversation", messages: both, but: []string{"recipient's second device"},
		says: "The app deletes the conversation. Its version and its floor stay.",
		call: func(w *world, is delivery.Actor) (string, error) {
			return "done", w.tracker.DeleteConversation(w.ctx, w.of("c"))
		},
	},
	{
		name: "Import", messages: []string{"m3"}, but: []string{"recipient's second device"},
		says: "The app has deleted the conversation, so that nothing is left that was sent, and then imports m3 of alice's, which the user has read at a time that is " +
			"not known. Where messages were sent, the answer would be `ErrConflict`.",
		before: func(w *world, _ delivery.Actor) error { return w.tracker.DeleteConversation(w.ctx, w.of("c")) },
		call: func(w *world, is delivery.Actor) (string, error) {
			results, err := w.tracker.Import(w.ctx, delivery.Import{
				Draft: w.draft(delivery.Actor{User: w.of("alice")}, "m3", w.to), SentAt: time.Now(),
				Receipts: []delivery.ImportReceipt{{Recipient: is.User, Status: delivery.Read}},
			})
			if err != nil {
				return "", err
			}
			return "stored", results[0].Err
		},
	},
	{
		name: "Erase", messages: one, but: []string{"recipient's second device"},
		says: "The user has marked m1 as delivered, if that is allowed, and then the app erases the user. All statuses and counts stay, without the name. " +
			"The user has no part in the conversation any more.",
		before: func(w *world, is delivery.Actor) error {
			return attempt(mark(delivery.Delivered, delivery.HideNothing)(w, is))
		},
		call: func(w *world, is delivery.Actor) (string, error) { return "done", w.tracker.Erase(w.ctx, is.User) },
	},
	{
		name: "Replay", messages: one, but: []string{"recipient's second device"},
		says: "The user has marked m1 as delivered, the Notifier has refused the event for good, and the app replays it. The event has the present state. " +
			"Nothing else changes.",
		before: func(w *world, is delivery.Actor) error {
			if err := w.tracker.Flush(w.ctx); err != nil {
				return err
			}
			w.refuses = true
			if err := attempt(mark(delivery.Delivered, delivery.HideNothing)(w, is)); err != nil {
				return err
			}
			err := w.tracker.Flush(w.ctx)
			w.refuses = false
			return err
		},
		call: func(w *world, is delivery.Actor) (string, error) {
			dead, err := w.tracker.DeadLetters(w.ctx, delivery.DeadQuery{})
			if err != nil || len(dead) == 0 {
				return "nothing to replay", err
			}
			return fmt.Sprintf("replayed %d", len(dead)), w.tracker.Replay(w.ctx, dead[0].Event.ID)
		},
	},
	{
		name: "Fail", messages: one, but: []string{"recipient's second device"}, call: fail,
		says: "The app records that m1 did not reach the user, with the code *busy*. Private marks of the user do not matter.",
	},
	{
		name: "Fail of what was delivered", messages: one, but: []string{"recipient's second device"}, call: fail,
		says: "The user has marked m1 as delivered, if that is allowed, and then the app records that m1 did not reach the user. Nobody sees " +
			"the failure.",
		before: func(w *world, is delivery.Actor) error {
			return attempt(mark(delivery.Delivered, delivery.HideNothing)(w, is))
		},
	},
	{
		name: "MarkRead after a failure", messages: one, but: []string{"recipient's second device"}, call: mark(delivery.Read, delivery.HideNothing),
		says:   "The app has recorded that m1 did not reach the user, and then the user marks m1 as read. The failure disappears.",
		before: func(w *world, is delivery.Actor) error { return attempt(fail(w, is)) },
	},
	{
		name: "MarkRead with HideAll after a failure", messages: one, but: []string{"recipient's second device"}, call: mark(delivery.Read, delivery.HideAll),
		says:   "The app has recorded that m1 did not reach the user, and then the user marks m1 as read, and others see nothing of the mark.",
		before: func(w *world, is delivery.Actor) error { return attempt(fail(w, is)) },
	},
	{
		name: "Overdue, for the recipient", messages: one, but: []string{"recipient's second device"}, first: begin(delivery.ForRecipient), call: overdue(delivery.ForRecipient),
		says: "The app asks who has not read m1, to tell those recipients alone. Their private marks count.",
	},
	{
		name: "Overdue, for the sender", messages: one, but: []string{"recipient's second device"}, first: begin(delivery.ForSender), call: overdue(delivery.ForSender),
		says: "The app asks who has not read m1, to tell the sender. Private marks of recipients do not count.",
	},
}

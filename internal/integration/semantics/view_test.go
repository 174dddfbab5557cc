package semantics

import (
	"fmt"
	"strings"
	"testing"

	"github.com/msgdelivery/delivery"
)

const none = "–"

// view is what there is to see of one user in a world.
type view struct {
	others  map[string]string // of the user, by message
	own     map[string]string // what the user sees, by message
	badge   string
	version int64
	epoch   int64
	floor   int64
}

func (w *world) look(user string) view {
	w.Helper()
	page, err := w.tracker.Messages(w.ctx, delivery.Query{Conversation: w.of("c"), Viewer: user})
	w.must(err)
	v := view{others: map[string]string{}, own: map[string]string{}, version: page.Version, epoch: page.Epoch, floor: page.Floor}
	for _, m := range page.Messages {
		id := strings.TrimPrefix(m.ID, w.prefix)
		v.others[id], v.own[id] = w.standing(m, user), "no mark of it"
		if m.Sender == user {
			v.own[id] = "its message"
		} else if m.Own != nil {
			v.own[id] = m.Own.Status.String()
		}
	}
	unread, err := w.tracker.Unread(w.ctx, delivery.Actor{User: user}, w.of("c"))
	w.must(err)
	v.badge = fmt.Sprintf("unread %d", unread[0].Count)
	if unread[0].Flagged {
		v.badge += ", flagged"
	}
	return v
}

// standing is what others see of a user in a message: the sender, the user's receipt, or a nameless
// receipt where the user's was.
func (w *world) standing(m delivery.Message, user string) string {
	w.Helper()
	page, err := w.tracker.Receipts(w.ctx, delivery.ReceiptQuery{Message: m.ID})
	w.must(err)
	counts := fmt.Sprintf("; %d delivered, %d read", m.Delivered, m.Read)
	if m.Failed > 0 {
		counts += fmt.Sprintf(", %d failed", m.Failed)
	}
	if m.Sender == user {
		return "its sender" + counts
	}
	nameless := none
	for _, r := range page.Receipts {
		if r.Recipient == user {
			return because(r) + counts
		}
		if r.Recipient == "" {
			nameless = "nameless " + because(r)
		}
	}
	if m.Sender == "" {
		nameless = "nameless sender"
	}
	return nameless + counts
}

// because is a receipt's status with the failure, or the reason for which others see no more.
func because(r delivery.Receipt) string {
	if r.Failure != "" {
		return fmt.Sprintf("%v, failed (%s)", r.Status, r.Failure)
	}
	if r.Reason == "" {
		return r.Status.String()
	}
	return fmt.Sprintf("%v (%s)", r.Status, r.Reason)
}

// change says what became of messages.
func change(before, after map[string]string, messages []string) string {
	var all []string
	for _, id := range messages {
		was, is := before[id], after[id]
		if was == is {
			continue
		}
		was, wasCounts, _ := strings.Cut(was, "; ")
		is, isCounts, _ := strings.Cut(is, "; ")
		text := ""
		switch {
		case is == "":
			text = "gone"
		case was != is:
			text = is
		}
		if isCounts != wasCounts && isCounts != "" && (was != "" || isCounts != "0 delivered, 0 read") {
			text = strings.TrimPrefix(text+"; "+isCounts, "; ")
		}
		if len(messages) > 1 {
			text = id + " " + text
		}
		all = append(all, text)
	}
	if len(all) == 0 {
		return none
	}
	return strings.Join(all, "<br>")
}

// changes says so of what the user sees, with the badge.
func changes(before, after map[string]string, messages []string, wasBadge, isBadge string) string {
	text := change(before, after, messages)
	if wasBadge == isBadge {
		return text
	}
	return strings.TrimPrefix(text+"<br>"+isBadge, none+"<br>")
}

func TestCountsThatFallToZeroAreAChange(t *testing.T) {
	before, after := map[string]string{"m": "read; 1 delivered, 1 read"}, map[string]string{"m": "read (expired); 0 delivered, 0 read", "new": none + "; 0 delivered, 0 read"}
	if got, want := change(before, after, []string{"m", "new"}), "m read (expired); 0 delivered, 0 read<br>new "+none; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

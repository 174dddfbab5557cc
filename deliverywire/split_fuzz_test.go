package deliverywire_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
)

func FuzzSplit(f *testing.F) {
	f.Add(uint64(1), 3, 0, 0)
	f.Add(uint64(2), 200, 3000, 4)
	f.Add(uint64(3), 1000, 30_000, 0)
	f.Add(uint64(4), 400, 10, 50)
	f.Fuzz(func(t *testing.T, seed uint64, n, body, idLength int) {
		if n < 1 || n > 1000 || body < 0 || body > 65_536 || idLength < 0 || idLength > 128 {
			t.Skip()
		}
		event := randomEvent(rand.New(rand.NewPCG(seed, 0)), n, body, idLength)
		for _, limit := range []int{1500, pusherLimit, 64 << 10} {
			_, payloads := split(t, event, limit)
			checkRanges(t, event, payloads)
		}
	})
}

// randomEvent makes a valid event whose updates share some fields and differ in others.
func randomEvent(r *rand.Rand, n, body, idLength int) delivery.Event {
	variety := func() int { return 1 + r.IntN(3) } // 1: the same in all updates
	senders, recipients, statuses, times, receipts := variety(), variety(), variety(), variety(), variety()
	text := func(length int) string {
		runes := []rune("aé\"<\n\u2028\U0001F600")
		var s strings.Builder
		for s.Len()+4 <= length {
			s.WriteRune(runes[r.IntN(len(runes))])
		}
		return s.String()
	}
	id := text(idLength)
	event := delivery.Event{Kind: delivery.MessageSent + delivery.Kind(r.IntN(2)), Conversation: "c" + id[:min(len(id), 20)], From: 1 + r.Int64N(1000)}
	event.Conversation = strings.ToValidUTF8(event.Conversation, "")
	version := event.From
	for range n {
		u := delivery.Update{
			Message: fmt.Sprint(id, r.IntN(n)), Sender: fmt.Sprint("sender", r.IntN(senders)), Version: version,
			Status: delivery.Sent + delivery.Status(r.IntN(statuses)), Delivered: r.IntN(statuses), Read: r.IntN(statuses), Total: r.IntN(statuses), Readers: r.IntN(statuses), Failed: r.IntN(statuses),
		}
		if r.IntN(2) == 0 && body > 0 {
			u.Body = text(r.IntN(body))
		}
		if r.IntN(receipts) == 0 {
			at := time.Unix(1_700_000_000+int64(r.IntN(times)), 1000).UTC()
			u.Receipt = &delivery.Receipt{
				Message: u.Message, Recipient: fmt.Sprint("recipient", r.IntN(recipients)), Version: version,
				Status: delivery.Sent + delivery.Status(r.IntN(statuses)), DeliveredAt: at,
			}
			if r.IntN(statuses) == 0 {
				u.Receipt.ReadAt = at
			}
			if r.IntN(statuses) > 0 {
				u.Receipt.Failure = fmt.Sprint("code", r.IntN(statuses))
			}
		}
		event.Updates = append(event.Updates, u)
		version += 1 + r.Int64N(2)
	}
	event.To = version
	return event
}

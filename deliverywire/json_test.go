package deliverywire

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
)

// FuzzJSON checks that payloads are what encoding/json makes of them, whatever they hold.
func FuzzJSON(f *testing.F) {
	f.Add("m1", "alice", "", int64(1), 0, uint8(1), int64(1_740_832_200), int64(123_456_000), false)
	f.Add("é", "<&>\u2028\ufffd", "\xff\"\\\x00\x7f", int64(-1), 3, uint8(3), int64(-62_135_596_800), int64(0), true)
	f.Add("", "", "", int64(0), 0, uint8(0), int64(253_402_300_800), int64(0), false)
	f.Add("", "", "", int64(0), 0, uint8(9), int64(0), int64(0), false)
	f.Fuzz(func(t *testing.T, message, sender, body string, version int64, count int, status uint8, seconds, nanoseconds int64, omitted bool) {
		at := time.Unix(seconds, nanoseconds)
		u := delivery.Update{
			Message: message, Sender: sender, Version: version, Status: delivery.Status(status),
			Delivered: count, Read: count / 2, Total: -count, Readers: count, Failed: count / 3, Body: body,
			Own: &delivery.OwnUpdate{Status: delivery.Status(status)}, Receipt: &delivery.Receipt{Recipient: body, Status: delivery.Status(status / 2), DeliveredAt: at, Failure: sender},
		}
		_, updates := hoist([]delivery.Update{u})
		updates[0].BodyOmitted = omitted
		updates[0].Own = delivery.Status(status)
		p := Payload{Place: &delivery.Place{Rev: version, Flag: seconds}, Conversation: sender, From: version, To: int64(count), Updates: updates}
		for _, p.Shared = range []Update{{}, updates[0]} {
			var want bytes.Buffer
			encoder := json.NewEncoder(&want)
			encoder.SetEscapeHTML(false)
			err := encoder.Encode(p)
			if told := encodable(u); (told == nil) != (err == nil) {
				t.Fatalf("%v, and encoding/json says %v", told, err)
			}
			if err != nil {
				return
			}
			if got := append(p.appendJSON(nil, updates[0].appendJSON(nil)), '\n'); !bytes.Equal(got, want.Bytes()) {
				t.Errorf("got\n%swant\n%s", got, want.Bytes())
			}
		}
	})
}

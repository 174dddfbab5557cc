package delivery

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/msgdelivery/delivery/internal/packet"
)

// A statement has the messages of a batch in JSON, or their events, which are JSON, in JSON; and
// that in quotes where the driver puts arguments into the text. The members of new rosters are
// written in statements of their own, as many as it takes.
func TestAFullBatchOfSendsFitsAPacket(t *testing.T) {
	message := func(text string, body, recipients, id int) NewMessage {
		m := NewMessage{Body: strings.Repeat(text, body/len(text))}
		m.ID, m.Conversation, m.Sender, m.Socket = strings.Repeat(text, id/len(text)), "c", "s", ""
		for range recipients {
			m.Members = append(m.Members, strings.Repeat(text, id/len(text)))
		}
		return m
	}
	quoted := func(v any) int {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return len(text) + strings.Count(string(text), `"`) + strings.Count(string(text), `\`)
	}
	for _, text := range []string{"a", "<", `"`, `\`, "\x01", "é", "😀"} {
		for _, m := range []NewMessage{
			message(text, 0, 0, 8), message(text, 0, 0, MaxID), message(text, 100, 1, 36), message(text, 3000, 0, 36), message(text, 4000, 100, MaxID),
			message(text, MaxBody, 0, 36), message(text, MaxBody, 500, MaxID), message(text, 0, 10_000, 8),
		} {
			n := max(1, MaxBatch/m.weight())
			t.Run(fmt.Sprintf("%d of %q with a body of %d and %d recipients", n, text, len(m.Body), len(m.Members)), func(t *testing.T) {
				event, err := json.Marshal(map[string]any{"k": 1, "c": m.Conversation, "u": []any{map[string]any{"i": m.ID, "b": m.Body}}})
				if err != nil {
					t.Fatal(err)
				}
				for what, size := range map[string]int{
					"messages": quoted([]any{1 << 40, 1 << 30, m.ID, m.Conversation, m.Sender, m.Body, 1, 10000, 10000, 1 << 52}) + 1,
					"events":   quoted(string(event)) + 200,
				} {
					if n*size > packet.Size*31/32 {
						t.Errorf("%s take %d bytes", what, n*size)
					}
				}
			})
		}
	}
	if n := MaxBatch / message("<", MaxBody, 0, 8).weight(); n != 26 {
		t.Errorf("a full batch of the largest bodies is %d messages", n)
	}
}

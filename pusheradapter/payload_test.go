package pusheradapter_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/pusheradapter"
)

// encode runs the default encoder and checks what must hold for every event: the triggers keep
// Pusher's limits, and together their payloads tell the event exactly, bodies aside.
func encode(t *testing.T, event delivery.Event) ([]pusheradapter.Trigger, []pusheradapter.Payload) {
	t.Helper()
	triggers, err := pusheradapter.EncodePrivate(t.Context(), event)
	if err != nil {
		t.Fatal(err)
	}
	var payloads []pusheradapter.Payload
	var updates []delivery.Update
	for _, trigger := range triggers {
		if trigger.Name != event.Kind.String() || trigger.Except != event.Except {
			t.Errorf("trigger %q except %q", trigger.Name, trigger.Except)
		}
		if len(trigger.Data) > 10_240 {
			t.Errorf("%d bytes of data", len(trigger.Data))
		}
		var p pusheradapter.Payload
		if err := json.Unmarshal(trigger.Data, &p); err != nil {
			t.Fatal(err)
		}
		var canonical bytes.Buffer
		encoder := json.NewEncoder(&canonical)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(p); err != nil || canonical.String() != string(trigger.Data)+"\n" {
			t.Errorf("%v, data is\n%s, and of encoding/json\n%s", err, trigger.Data, &canonical)
		}
		if p.Conversation != event.Conversation || len(p.Updates) == 0 {
			t.Errorf("payload of %q with %d updates", p.Conversation, len(p.Updates))
		}
		payloads = append(payloads, p)
		updates = append(updates, p.Expand()...)
	}
	if len(updates) != len(event.Updates) {
		t.Fatalf("%d updates came back of %d", len(updates), len(event.Updates))
	}
	i := 0
	for _, p := range payloads {
		for _, u := range p.Updates {
			want := event.Updates[i]
			if u.BodyOmitted {
				want.Body = ""
			}
			if !reflect.DeepEqual(updates[i], want) {
				t.Fatalf("update %d came back as\n%+v, want\n%+v", i, updates[i], want)
			}
			i++
		}
	}
	return triggers, payloads
}

// checkRanges checks that payloads cover the event's versions, each once and in order.
func checkRanges(t *testing.T, event delivery.Event, payloads []pusheradapter.Payload) {
	t.Helper()
	next := event.From
	for i, p := range payloads {
		if p.From != next || p.To < p.From {
			t.Errorf("payload %d covers %d to %d, want it from %d", i, p.From, p.To, next)
		}
		for _, u := range p.Updates {
			if u.Version < p.From || u.Version > p.To {
				t.Errorf("payload %d covers %d to %d and has version %d", i, p.From, p.To, u.Version)
			}
		}
		next = p.To + 1
	}
	if next != event.To+1 {
		t.Errorf("payloads cover up to %d, want %d", next-1, event.To)
	}
}

// catchUp is the event of bob's having read n messages at once.
func catchUp(n int, id func(int) string) delivery.Event {
	at := time.Date(2025, 3, 1, 12, 30, 0, 123456000, time.UTC)
	e := delivery.Event{ID: 7, Kind: delivery.StatusChanged, Conversation: "room:general", From: 100_001, To: 100_000 + int64(n), Except: "123.456"}
	for i := range n {
		u := delivery.Update{
			Message: id(i), Sender: "alice", Version: e.From + int64(i),
			Status: delivery.Read, Delivered: 2, Read: 2, Total: 2,
		}
		u.Receipt = &delivery.Receipt{
			Message: u.Message, Recipient: "bob", Status: delivery.Read, Version: u.Version, DeliveredAt: at, ReadAt: at,
		}
		e.Updates = append(e.Updates, u)
	}
	return e
}

func TestAThousandUpdatesFitInAboutTenEvents(t *testing.T) {
	newID := func(int) string { return uuid.Must(uuid.NewV7()).String() }
	tests := []struct {
		name string
		vary func(i int, u *delivery.Update)
		most int
	}{
		{"of one sender, read at the same time", func(int, *delivery.Update) {}, 7},
		{"of several senders, at different counts", func(i int, u *delivery.Update) {
			u.Sender = []string{"alice", "carol"}[i%2]
			u.Status = delivery.Delivered + delivery.Status(i%2)
			u.Read = 1 + i%2
		}, 13},
		{"delivered at different times", func(i int, u *delivery.Update) {
			u.Receipt.DeliveredAt = u.Receipt.DeliveredAt.Add(time.Duration(i) * time.Microsecond)
		}, 13},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			event := catchUp(1000, newID)
			for i := range event.Updates {
				test.vary(i, &event.Updates[i])
			}
			triggers, payloads := encode(t, event)
			checkRanges(t, event, payloads)
			if len(triggers) > test.most {
				t.Errorf("%d events, want at most %d", len(triggers), test.most)
			}
			t.Logf("%d events, %d bytes an update", len(triggers), len(triggers[0].Data)/len(payloads[0].Updates))
		})
	}
}

func TestTheLargestIDsFit(t *testing.T) {
	long := strings.Repeat("\x01", delivery.MaxID) // 6 bytes each in JSON
	event := delivery.Event{Kind: delivery.StatusChanged, Conversation: strings.Repeat("/", 50), From: 1, To: 20}
	for i := range 20 {
		u := delivery.Update{Message: long, Sender: long[i:], Version: int64(i + 1), Status: delivery.Sent}
		u.Receipt = &delivery.Receipt{Message: long, Recipient: long[i:], Status: delivery.Delivered, Version: u.Version}
		event.Updates = append(event.Updates, u)
	}
	_, payloads := encode(t, event)
	checkRanges(t, event, payloads)
	if len(payloads) < 2 {
		t.Errorf("%d payloads", len(payloads))
	}
}

func TestASingleUpdateStandsByItself(t *testing.T) {
	event := catchUp(1, func(int) string { return "m1" })
	triggers, _ := encode(t, event)
	want := `{"conversation":"room:general","from":100001,"to":100001,"updates":[{"message":"m1","version":100001,` +
		`"sender":"alice","status":"read","delivered":2,"read":2,"total":2,"recipient":"bob","recipient_status":"read",` +
		`"delivered_at":"2025-03-01T12:30:00.123456Z","read_at":"2025-03-01T12:30:00.123456Z"}]}`
	if got := string(triggers[0].Data); got != want {
		t.Errorf("data is\n%s, want\n%s", got, want)
	}
	if triggers[0].Channel != "private-conv-room=3Ageneral" {
		t.Errorf("channel %q", triggers[0].Channel)
	}
}

func TestTimesAreToldInUTC(t *testing.T) {
	event := catchUp(2, func(i int) string { return fmt.Sprint("m", i) })
	for i, zone := range []*time.Location{time.UTC, time.FixedZone("", 7200)} {
		r := event.Updates[i].Receipt
		r.DeliveredAt, r.ReadAt = r.DeliveredAt.In(zone), r.ReadAt.In(zone)
	}
	triggers, err := pusheradapter.EncodePrivate(t.Context(), event)
	if err != nil || strings.Count(string(triggers[0].Data), `"2025-03-01T12:30:00.123456Z"`) != 2 {
		t.Errorf("%v, data is %s", err, triggers[0].Data)
	}
}

func TestMixedUpdatesComeBackAsTheyWere(t *testing.T) {
	at := time.Date(2025, 3, 1, 12, 30, 0, 0, time.UTC)
	bob := delivery.Receipt{Message: "m1", Recipient: "bob", Status: delivery.Delivered, Version: 2, DeliveredAt: at}
	carol := delivery.Receipt{Message: "m1", Recipient: "carol", Status: delivery.Read, Version: 4, DeliveredAt: at, ReadAt: at}
	event := delivery.Event{Kind: delivery.StatusChanged, Conversation: "c1", From: 1, To: 5, Updates: []delivery.Update{
		{Message: "m1", Sender: "alice", Version: 1, Status: delivery.Sent},
		{Message: "m1", Sender: "alice", Version: 2, Status: delivery.Delivered, Delivered: 1, Receipt: &bob},
		{Message: "m1", Sender: "alice", Version: 4, Status: delivery.Read, Delivered: 2, Read: 1, Receipt: &carol},
		{Message: "m1", Sender: "alice", Version: 5, Status: delivery.Read, Body: "<b>&amp;</b> \u2028"},
	}}
	_, payloads := encode(t, event)
	shared := pusheradapter.PayloadUpdate{Message: "m1", Sender: "alice"}
	if payloads[0].Shared != shared {
		t.Errorf("shared: %+v", payloads[0].Shared)
	}
}

func TestBodies(t *testing.T) {
	message := func(bodies ...string) delivery.Event {
		event := delivery.Event{Kind: delivery.MessageSent, Conversation: "c1", From: 1, To: int64(len(bodies))}
		for i, body := range bodies {
			event.Updates = append(event.Updates, delivery.Update{
				Message: fmt.Sprint("m", i), Sender: "alice", Version: int64(i + 1), Status: delivery.Sent, Total: 3, Body: body,
			})
		}
		return event
	}
	t.Run("a body that fits is carried without escapes for HTML", func(t *testing.T) {
		triggers, _ := encode(t, message(strings.Repeat("<", 10_000)))
		if len(triggers) != 1 || !strings.Contains(string(triggers[0].Data), "<<<") {
			t.Errorf("%d triggers", len(triggers))
		}
	})
	t.Run("a body too long is left to be fetched", func(t *testing.T) {
		for _, body := range []string{strings.Repeat("x", delivery.MaxBody), strings.Repeat("\"", 6_000)} {
			_, payloads := encode(t, message(body))
			if len(payloads) != 1 || !payloads[0].Updates[0].BodyOmitted || payloads[0].Updates[0].Body != "" {
				t.Errorf("payloads are %+v", payloads)
			}
		}
	})
	t.Run("the longest body is found exactly", func(t *testing.T) {
		longest := 0
		for n := 10_000; n < 10_240; n++ {
			triggers, payloads := encode(t, message(strings.Repeat("x", n)))
			if payloads[0].Updates[0].BodyOmitted {
				break
			}
			longest = len(triggers[0].Data)
		}
		if longest < 10_150 {
			t.Errorf("the longest data with a body has only %d bytes", longest)
		}
	})
	t.Run("merged messages are split, and only the long body is omitted", func(t *testing.T) {
		event := message(strings.Repeat("a", 6000), strings.Repeat("b", 20_000), strings.Repeat("c", 6000), "d")
		_, payloads := encode(t, event)
		checkRanges(t, event, payloads)
		var omitted []bool
		for _, p := range payloads {
			for _, u := range p.Updates {
				omitted = append(omitted, u.BodyOmitted)
			}
		}
		if len(payloads) != 2 || !reflect.DeepEqual(omitted, []bool{false, true, false, false}) {
			t.Errorf("%d payloads, omitted %v", len(payloads), omitted)
		}
	})
}

func TestVersionsBeyondTheRangeStayWithinIt(t *testing.T) {
	// A replayed dead letter tells the present state: versions later than those it covers.
	event := catchUp(500, func(i int) string { return fmt.Sprintf("message-%030d", i) })
	event.To = event.From + 3
	_, payloads := encode(t, event)
	if len(payloads) < 2 {
		t.Fatalf("%d payloads", len(payloads))
	}
	for i, p := range payloads {
		if p.From < event.From || p.To > event.To || p.From > p.To {
			t.Errorf("payload %d covers %d to %d", i, p.From, p.To)
		}
	}
	if payloads[len(payloads)-1].To != event.To {
		t.Errorf("the last payload ends at %d, want %d", payloads[len(payloads)-1].To, event.To)
	}
}

func TestEventsThatCannotBeEncoded(t *testing.T) {
	good := catchUp(1, func(int) string { return "m1" })
	for name, spoil := range map[string]func(*delivery.Event){
		"a conversation without a channel name": func(e *delivery.Event) { e.Conversation = strings.Repeat("/", 51) },
		"no kind":                               func(e *delivery.Event) { e.Kind = 0 },
		"an unknown kind":                       func(e *delivery.Event) { e.Kind = 9 },
		"no updates":                            func(e *delivery.Event) { e.Updates = nil },
		"an unknown status":                     func(e *delivery.Event) { e.Updates[0].Status = 9 },
		"a year without a text form":            func(e *delivery.Event) { e.Updates[0].Receipt.ReadAt = time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"an id beyond all limits":               func(e *delivery.Event) { e.Updates[0].Message = strings.Repeat("x", 11_000) },
		"a sender beyond all limits, shared": func(e *delivery.Event) {
			e.Updates[0].Sender = strings.Repeat("x", 11_000)
			e.Updates = append(e.Updates, e.Updates[0])
		},
	} {
		t.Run(name, func(t *testing.T) {
			event := good
			event.Updates = []delivery.Update{good.Updates[0]}
			receipt := *good.Updates[0].Receipt
			event.Updates[0].Receipt = &receipt
			spoil(&event)
			triggers, err := pusheradapter.EncodePrivate(t.Context(), event)
			if err == nil || !isPermanent(err) {
				t.Fatalf("%d triggers, %v; want a permanent error", len(triggers), err)
			}
			if strings.Contains(err.Error(), "xxx") {
				t.Errorf("quotes the value: %.100s", err)
			}
		})
	}
}

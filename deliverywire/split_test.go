package deliverywire_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliverywire"
)

// pusherLimit is the limit of Pusher: the tests' own, where they say no other.
const pusherLimit = 10_240

// split splits an event and checks what must hold for every one: the payloads keep the limit, and
// together they tell the event exactly, bodies aside.
func split(t *testing.T, event delivery.Event, limit int) ([][]byte, []deliverywire.Payload) {
	t.Helper()
	parts, err := deliverywire.Split(event, limit)
	if err != nil {
		t.Fatal(err)
	}
	var payloads []deliverywire.Payload
	var updates []delivery.Update
	for _, data := range parts {
		if len(data) > limit {
			t.Errorf("%d bytes of data, and the limit is %d", len(data), limit)
		}
		var p deliverywire.Payload
		if err := json.Unmarshal(data, &p); err != nil {
			t.Fatal(err)
		}
		var canonical bytes.Buffer
		encoder := json.NewEncoder(&canonical)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(p); err != nil || canonical.String() != string(data)+"\n" {
			t.Errorf("%v, data is\n%s, and of encoding/json\n%s", err, data, &canonical)
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
	return parts, payloads
}

// checkRanges checks that payloads cover the event's versions, each once and in order.
func checkRanges(t *testing.T, event delivery.Event, payloads []deliverywire.Payload) {
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
			Status: delivery.Read, Delivered: 2, Read: 2, Total: 2, Readers: 2,
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
			parts, payloads := split(t, event, pusherLimit)
			checkRanges(t, event, payloads)
			if len(parts) > test.most {
				t.Errorf("%d events, want at most %d", len(parts), test.most)
			}
			t.Logf("%d events, %d bytes an update", len(parts), len(parts[0])/len(payloads[0].Updates))
		})
	}
}

func TestACatchUpOfAThousandTakesAtMost70KB(t *testing.T) {
	event := catchUp(1000, func(int) string { return uuid.Must(uuid.NewV7()).String() })
	for limit, most := range map[int]int{pusherLimit: 7, 64 << 10: 2, math.MaxInt: 1} {
		parts, payloads := split(t, event, limit)
		checkRanges(t, event, payloads)
		size := 0
		for _, data := range parts {
			size += len(data)
		}
		if len(parts) > most || size > 70_000 {
			t.Errorf("at a limit of %d: %d payloads of %d bytes in all, want at most %d of 70,000", limit, len(parts), size, most)
		}
		t.Logf("at a limit of %d: %d payloads of %d bytes in all", limit, len(parts), size)
	}
}

func TestTheSmallestLimitHoldsOneUpdate(t *testing.T) {
	event := catchUp(20, func(i int) string { return fmt.Sprint("m", i) })
	limit := 0
	for {
		limit++
		_, err := deliverywire.Split(event, limit)
		if err == nil {
			break
		}
		if !errors.Is(err, deliverywire.ErrTooLarge) || limit > 1000 {
			t.Fatalf("at a limit of %d: %v", limit, err)
		}
	}
	_, payloads := split(t, event, limit)
	checkRanges(t, event, payloads)
	if len(payloads) < 15 {
		t.Errorf("at a limit of %d: %d payloads of 20 updates", limit, len(payloads))
	}
}

func TestAPayloadCanBeSplitAgain(t *testing.T) {
	event := catchUp(300, func(i int) string { return fmt.Sprintf("message-%030d", i) })
	event.Updates[7].Body = strings.Repeat("x", 11_000) // is omitted
	_, payloads := split(t, event, pusherLimit)
	var again []deliverywire.Payload
	for _, p := range payloads {
		parts, err := p.Split(2_000)
		if err != nil {
			t.Fatal(err)
		}
		for _, data := range parts {
			if len(data) > 2_000 {
				t.Errorf("a part has %d bytes", len(data))
			}
			var part deliverywire.Payload
			if err := json.Unmarshal(data, &part); err != nil {
				t.Fatal(err)
			}
			again = append(again, part)
		}
	}
	checkRanges(t, event, again)
	var before, after []delivery.Update
	omitted := 0
	for _, p := range payloads {
		before = append(before, p.Expand()...)
	}
	for _, p := range again {
		after = append(after, p.Expand()...)
		for _, u := range p.Updates {
			if u.BodyOmitted {
				omitted++
			}
		}
	}
	if len(again) < 4*len(payloads) {
		t.Errorf("%d parts of %d payloads", len(again), len(payloads))
	}
	if !reflect.DeepEqual(before, after) || omitted != 1 {
		t.Errorf("the parts tell something else; %d bodies are omitted", omitted)
	}
	if _, err := payloads[0].Split(100); !errors.Is(err, deliverywire.ErrTooLarge) {
		t.Errorf("at a limit of 100: %v", err)
	}
	if _, err := (deliverywire.Payload{}).Split(1000); err == nil {
		t.Error("a payload without updates was split")
	}
}

func TestTheLargestIDsFit(t *testing.T) {
	long := strings.Repeat("\x01", delivery.MaxID) // 6 bytes each in JSON
	event := delivery.Event{Kind: delivery.StatusChanged, Conversation: strings.Repeat("/", delivery.MaxID), From: 1, To: 20}
	for i := range 20 {
		u := delivery.Update{Message: long, Sender: long[i:], Version: int64(i + 1), Status: delivery.Sent}
		u.Receipt = &delivery.Receipt{Message: long, Recipient: long[i:], Status: delivery.Delivered, Version: u.Version}
		event.Updates = append(event.Updates, u)
	}
	_, payloads := split(t, event, pusherLimit)
	checkRanges(t, event, payloads)
	if len(payloads) < 2 {
		t.Errorf("%d payloads", len(payloads))
	}
}

func TestASingleUpdateStandsByItself(t *testing.T) {
	event := catchUp(1, func(int) string { return "m1" })
	parts, _ := split(t, event, pusherLimit)
	want := `{"conversation":"room:general","from":100001,"to":100001,"updates":[{"message":"m1","version":100001,` +
		`"sender":"alice","status":"read","delivered":2,"read":2,"total":2,"recipient":"bob","recipient_status":"read",` +
		`"delivered_at":"2025-03-01T12:30:00.123456Z","read_at":"2025-03-01T12:30:00.123456Z"}]}`
	if got := string(parts[0]); got != want {
		t.Errorf("data is\n%s, want\n%s", got, want)
	}
}

func TestTimesAreToldInUTC(t *testing.T) {
	event := catchUp(2, func(i int) string { return fmt.Sprint("m", i) })
	for i, zone := range []*time.Location{time.UTC, time.FixedZone("", 7200)} {
		r := event.Updates[i].Receipt
		r.DeliveredAt, r.ReadAt = r.DeliveredAt.In(zone), r.ReadAt.In(zone)
	}
	parts, err := deliverywire.Split(event, pusherLimit)
	if err != nil || strings.Count(string(parts[0]), `"2025-03-01T12:30:00.123456Z"`) != 2 {
		t.Errorf("%v, data is %s", err, parts[0])
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
	_, payloads := split(t, event, pusherLimit)
	shared := deliverywire.Update{Message: "m1", Sender: "alice"}
	if payloads[0].Shared != shared {
		t.Errorf("shared: %+v", payloads[0].Shared)
	}
}

func TestVersionsBeyondTheRangeStayWithinIt(t *testing.T) {
	// A replayed dead letter tells the present state: versions later than those it covers.
	event := catchUp(500, func(i int) string { return fmt.Sprintf("message-%030d", i) })
	event.To = event.From + 3
	_, payloads := split(t, event, pusherLimit)
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

func TestEventsWithoutAWireForm(t *testing.T) {
	good := catchUp(1, func(int) string { return "m1" })
	for name, spoil := range map[string]func(*delivery.Event){
		"a conversation beyond all limits": func(e *delivery.Event) { e.Conversation = strings.Repeat("x", 11_000) },
		"no kind":                          func(e *delivery.Event) { e.Kind = 0 },
		"an unknown kind":                  func(e *delivery.Event) { e.Kind = 9 },
		"no updates":                       func(e *delivery.Event) { e.Updates = nil },
		"an unknown status":                func(e *delivery.Event) { e.Updates[0].Status = 9 },
		"a year without a text form":       func(e *delivery.Event) { e.Updates[0].Receipt.ReadAt = time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"an id beyond all limits":          func(e *delivery.Event) { e.Updates[0].Message = strings.Repeat("x", 11_000) },
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
			parts, err := deliverywire.Split(event, pusherLimit)
			var invalid *delivery.InvalidError
			if errors.As(err, &invalid) == errors.Is(err, deliverywire.ErrTooLarge) {
				t.Fatalf("%d payloads, %v; want an InvalidError or ErrTooLarge", len(parts), err)
			}
			if strings.Contains(err.Error(), "xxx") {
				t.Errorf("quotes the value: %.100s", err)
			}
		})
	}
}

package deliverywire_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliverywire"
)

// TestNothingButTheListedFieldsReachesAClient fills every field of an event, so that a field that
// is added to it reaches no client unless somebody decides so here.
func TestNothingButTheListedFieldsReachesAClient(t *testing.T) {
	event := catchUp(2, func(i int) string { return fmt.Sprint("m", i) })
	secret := reflect.ValueOf(&event).Elem()
	for i := range secret.NumField() {
		name, field := secret.Type().Field(i).Name, secret.Field(i)
		if slices.Contains([]string{"Conversation", "From", "To", "Kind", "Updates"}, name) {
			continue
		}
		switch field.Kind() {
		case reflect.String:
			field.SetString("secret")
		case reflect.Int64:
			field.SetInt(987654321)
		case reflect.Slice:
			field.Set(reflect.ValueOf([]string{"secret"})) // the traces
		default:
			t.Fatalf("the field %s is of a kind that this test cannot fill", name)
		}
	}
	parts, _ := split(t, event, pusherLimit)
	if data := string(parts[0]); strings.Contains(data, "secret") || strings.Contains(data, "987654321") {
		t.Errorf("data is %s", data)
	}
}

func TestBodies(t *testing.T) {
	message := func(bodies ...string) delivery.Event {
		event := delivery.Event{Kind: delivery.MessageSent, Conversation: "c1", From: 1, To: int64(len(bodies))}
		for i, body := range bodies {
			event.Updates = append(event.Updates, delivery.Update{
				Message: fmt.Sprint("m", i), Sender: "alice", Version: int64(i + 1), Status: delivery.Sent, Total: 3, Readers: 3, Body: body,
			})
		}
		return event
	}
	t.Run("a body that fits is carried without escapes for HTML", func(t *testing.T) {
		parts, _ := split(t, message(strings.Repeat("<", 10_000)), pusherLimit)
		if len(parts) != 1 || !strings.Contains(string(parts[0]), "<<<") {
			t.Errorf("%d payloads", len(parts))
		}
	})
	t.Run("a body too long is left to be fetched", func(t *testing.T) {
		for _, body := range []string{strings.Repeat("x", delivery.MaxBody), strings.Repeat("\"", 6_000)} {
			_, payloads := split(t, message(body), pusherLimit)
			if len(payloads) != 1 || !payloads[0].Updates[0].BodyOmitted || payloads[0].Updates[0].Body != "" {
				t.Errorf("payloads are %+v", payloads)
			}
		}
	})
	t.Run("the longest body is found exactly", func(t *testing.T) {
		longest := 0
		for n := 10_000; n < 10_240; n++ {
			parts, payloads := split(t, message(strings.Repeat("x", n)), pusherLimit)
			if payloads[0].Updates[0].BodyOmitted {
				break
			}
			longest = len(parts[0])
		}
		if longest < 10_150 {
			t.Errorf("the longest data with a body has only %d bytes", longest)
		}
	})
	t.Run("merged messages are split, and only the long body is omitted", func(t *testing.T) {
		event := message(strings.Repeat("a", 6000), strings.Repeat("b", 20_000), strings.Repeat("c", 6000), "d")
		_, payloads := split(t, event, pusherLimit)
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

func TestFailures(t *testing.T) {
	update := func(version int64, failed int, r delivery.Receipt) delivery.Update {
		r.Message, r.Recipient, r.Version = "m1", "bob", version
		return delivery.Update{Message: "m1", Sender: "alice", Version: version, Status: delivery.Sent, Failed: failed, Total: 2, Readers: 2, Receipt: &r}
	}
	failed := update(2, 1, delivery.Receipt{Status: delivery.Sent, Failure: "mailbox_full"})
	arrived := update(3, 0, delivery.Receipt{Status: delivery.Delivered})
	for _, test := range []struct {
		name    string
		updates []delivery.Update
		want    string
	}{
		{
			"a failure is told with its code and the count", []delivery.Update{failed},
			`{"conversation":"c","from":2,"to":2,"updates":[{"message":"m1","version":2,"sender":"alice","status":"sent","total":2,"failed":1,"recipient":"bob","recipient_status":"sent","failure":"mailbox_full"}]}`,
		},
		{
			"what takes it away has neither", []delivery.Update{failed, arrived},
			`{"conversation":"c","from":2,"to":3,"shared":{"message":"m1","sender":"alice","status":"sent","total":2,"recipient":"bob"},` +
				`"updates":[{"version":2,"failed":1,"recipient_status":"sent","failure":"mailbox_full"},{"version":3,"recipient_status":"delivered"}]}`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			event := delivery.Event{Kind: delivery.StatusChanged, Conversation: "c", From: 2, To: 1 + int64(len(test.updates)), Updates: test.updates}
			parts, _ := split(t, event, pusherLimit)
			if got := string(parts[0]); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestOwnEvents(t *testing.T) {
	place := delivery.Place{Rev: 7, Delivered: 40, Badge: 38, Flag: 39}
	event := delivery.Event{Kind: delivery.OwnChanged, User: "bob", Except: "1.1"}
	for i := range 300 {
		own := delivery.OwnUpdate{Conversation: "c1", Status: delivery.Read, Place: place}
		event.Updates = append(event.Updates, delivery.Update{Message: fmt.Sprintf("message %040d", i), Own: &own})
	}
	told := func(t *testing.T, event delivery.Event) (parts []string, updates []delivery.Update) {
		split, err := deliverywire.Split(event, pusherLimit)
		if err != nil {
			t.Fatal(err)
		}
		for _, data := range split {
			var p deliverywire.Payload
			if err := json.Unmarshal(data, &p); err != nil || len(data) > pusherLimit {
				t.Fatalf("%d bytes, %v", len(data), err)
			}
			parts, updates = append(parts, string(data)), append(updates, p.Expand()...)
		}
		return parts, updates
	}
	t.Run("one says where the user stands and which message it is about, and nothing else", func(t *testing.T) {
		one := event
		one.Updates = one.Updates[:1]
		one.Updates[0].Message = "m1"
		parts, _ := told(t, one)
		want := `{"conversation":"c1","from":0,"to":0,"place":{"rev":7,"delivered":40,"badge":38,"flag":39},"updates":[{"message":"m1","own":"read"}]}`
		if len(parts) != 1 || parts[0] != want {
			t.Errorf("got %s", parts)
		}
	})
	t.Run("one that is split tells all in its parts, each with the place", func(t *testing.T) {
		parts, updates := told(t, event)
		if len(parts) < 2 || !reflect.DeepEqual(updates, event.Updates) {
			t.Errorf("%d parts with %d updates, the first %+v", len(parts), len(updates), updates[0])
		}
	})
}

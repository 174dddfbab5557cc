package deliverywire_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/msgdelivery/delivery"
)

// TestNothingButTheListedFieldsReachesAClient fills every field of an event, so that a field that is
// added to it reaches no client unless somebody decides so here.
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
				Message: fmt.Sprint("m", i), Sender: "alice", Version: int64(i + 1), Status: delivery.Sent, Total: 3, Body: body,
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

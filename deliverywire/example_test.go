package deliverywire_test

import (
	"encoding/json"
	"fmt"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliverywire"
)

// Two receipts of the same reader: what they share is said once.
func ExampleSplit() {
	read := func(message string, version int64) delivery.Update {
		return delivery.Update{
			Message: message, Sender: "alice", Version: version, Status: delivery.Read, Delivered: 1, Read: 1, Total: 1, Readers: 1,
			Receipt: &delivery.Receipt{Message: message, Recipient: "bob", Status: delivery.Read, Version: version},
		}
	}
	payloads, err := deliverywire.Split(delivery.Event{
		Kind: delivery.StatusChanged, Conversation: "c1", From: 41, To: 42, Except: "123.456",
		Updates: []delivery.Update{read("m1", 41), read("m2", 42)},
	}, 10_000)
	if err != nil {
		panic(err)
	}
	for _, data := range payloads {
		fmt.Println(string(data))
	}
	// Output:
	// {"conversation":"c1","from":41,"to":42,"shared":{"sender":"alice","status":"read","delivered":1,"read":1,"total":1,"recipient":"bob","recipient_status":"read"},"updates":[{"message":"m1","version":41},{"message":"m2","version":42}]}
}

func ExamplePayload_Expand() {
	data := []byte(`{
		"conversation": "c1", "from": 41, "to": 42,
		"shared": {"sender": "alice", "status": "read", "read": 1, "recipient": "bob", "recipient_status": "read"},
		"updates": [{"message": "m1", "version": 41}, {"message": "m2", "version": 42}]
	}`)
	var payload deliverywire.Payload
	if err := json.Unmarshal(data, &payload); err != nil {
		panic(err)
	}
	for _, u := range payload.Expand() {
		fmt.Println(u.Version, u.Message, "of", u.Sender, "is", u.Status, "by", u.Receipt.Recipient)
	}
	// Output:
	// 41 m1 of alice is read by bob
	// 42 m2 of alice is read by bob
}

package delivery

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestTheSizeOfAnEventIsThatOfItsJSON(t *testing.T) {
	long := strings.Repeat("<é", MaxID/3)
	receipt := Receipt{Message: long, Recipient: long, Status: Read, Version: 1 << 50, DeliveredAt: time.Now(), ReadAt: time.Now()}
	update := Update{Message: long, Sender: long, Version: 1 << 50, Status: Read, Delivered: MaxRecipients, Read: MaxRecipients, Total: MaxRecipients, Readers: MaxRecipients, Body: long}
	withReceipt := update
	withReceipt.Receipt = &receipt
	for name, updates := range map[string][]Update{"no updates": nil, "updates": {update, update}, "updates with receipts": {withReceipt, withReceipt}} {
		event := Event{ID: 1 << 50, Kind: StatusChanged, Conversation: long, From: 1 << 50, To: 1 << 50, Except: long, Updates: updates}
		text, err := json.Marshal(event)
		if err != nil {
			t.Fatal(err)
		}
		if slack := event.size() - len(text); slack < 0 || slack > 512+768*len(updates) {
			t.Errorf("with %s it says %d bytes and is %d", name, event.size(), len(text))
		}
	}
}

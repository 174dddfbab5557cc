package pusheradapter_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliverywire"
	"github.com/msgdelivery/delivery/pusheradapter"
	"github.com/msgdelivery/delivery/pusheradapter/pushertest"
)

func ExampleParseURL() {
	config, err := pusheradapter.ParseURL("https://key:secret@api-eu.pusher.com/apps/1001")
	fmt.Println(config, err) // never prints the secret

	_, err = pusheradapter.ParseURL("https://key:secret@api-eu.pusher.com")
	fmt.Println(err) // nor does an error
	// Output:
	// https://api-eu.pusher.com/apps/1001 <nil>
	// pusheradapter: URL has a path that is not /apps/APPID
}

func ExamplePrivateChannel() {
	channel, err := pusheradapter.PrivateChannel("team:42")
	fmt.Println(channel, err)

	conversation, ok := pusheradapter.ParseChannel(channel)
	fmt.Println(conversation, ok)
	// Output:
	// private-conv-team=3A42 <nil>
	// team:42 true
}

// A Notifier is made once and handed to delivery.New. Here it is called by hand, against a server
// in the same process.
func ExampleNotifier() {
	server, err := pushertest.New(nil)
	if err != nil {
		panic(err)
	}
	defer server.Close()
	config := pusheradapter.Config{AppID: server.AppID, Key: server.Key, Secret: server.Secret, Cluster: "eu"}
	notifier, err := pusheradapter.New(config, &pusheradapter.Options{Transport: server})
	if err != nil {
		panic(err)
	}
	err = notifier.Notify(context.Background(), []delivery.Event{{
		Kind: delivery.MessageSent, Conversation: "c1", From: 41, To: 41, Except: "123.456",
		Updates: []delivery.Update{{Message: "m1", Sender: "alice", Version: 41, Status: delivery.Sent, Total: 2, Readers: 2}},
	}})
	if err != nil {
		panic(err)
	}
	for _, e := range server.Events() {
		fmt.Println(e.Name, "on", e.Channels, "except", e.SocketID)
		fmt.Println(e.Data)
	}
	// Output:
	// message on [private-conv-c1] except 123.456
	// {"conversation":"c1","from":41,"to":41,"updates":[{"message":"m1","version":41,"sender":"alice","status":"sent","total":2}]}
}

// An app with channels and data of its own brings an Encode, and with it the inverse of its channel
// names.
func ExampleOptions() {
	options := &pusheradapter.Options{
		Encode: func(_ context.Context, event delivery.Event) ([]pusheradapter.Trigger, error) {
			var triggers []pusheradapter.Trigger
			for _, u := range event.Updates {
				data, err := json.Marshal(map[string]any{"message": u.Message, "version": u.Version, "status": u.Status})
				if err != nil {
					return nil, delivery.Permanent(err)
				}
				channel := "private-ticket-" + event.Conversation // this app's conversations are numbers
				triggers = append(triggers, pusheradapter.Trigger{Channel: channel, Name: "changed", Data: data, Except: event.Except})
			}
			return triggers, nil
		},
		Conversation: func(channel string) (string, bool) { return strings.CutPrefix(channel, "private-ticket-") },
	}
	triggers, err := options.Encode(context.Background(), delivery.Event{
		Kind: delivery.StatusChanged, Conversation: "42", From: 7, To: 8,
		Updates: []delivery.Update{
			{Message: "m1", Sender: "alice", Version: 7, Status: delivery.Read},
			{Message: "m2", Sender: "carol", Version: 8, Status: delivery.Delivered},
		},
	})
	if err != nil {
		panic(err)
	}
	for _, t := range triggers {
		fmt.Println(t.Channel, t.Name, string(t.Data))
	}
	// Output:
	// private-ticket-42 changed {"message":"m1","status":"read","version":7}
	// private-ticket-42 changed {"message":"m2","status":"delivered","version":8}
}

// Receipts go to the author of the message alone, and those of several members share an event.
func ExampleOptions_authorsOnly() {
	server, err := pushertest.New(nil)
	if err != nil {
		panic(err)
	}
	defer server.Close()
	config := pusheradapter.Config{AppID: server.AppID, Key: server.Key, Secret: server.Secret, Cluster: "eu"}
	notifier, err := pusheradapter.New(config, &pusheradapter.Options{AuthorsOnly: true, Transport: server})
	if err != nil {
		panic(err)
	}
	receipt := func(version int64, recipient, socket string) delivery.Event {
		return delivery.Event{
			Kind: delivery.StatusChanged, Conversation: "c1", From: version, To: version, Except: socket,
			Updates: []delivery.Update{{
				Message: "m1", Sender: "alice", Version: version, Status: delivery.Sent, Delivered: int(version - 1), Total: 3, Readers: 3,
				Receipt: &delivery.Receipt{Message: "m1", Recipient: recipient, Status: delivery.Delivered},
			}},
		}
	}
	if err := notifier.Notify(context.Background(), []delivery.Event{receipt(2, "bob", "123.456"), receipt(3, "carol", "123.789")}); err != nil {
		panic(err)
	}
	for _, e := range server.Events() { // each reader's other devices are told of the reader's own receipt, too
		fmt.Println(e.Name, "on", e.Channels)
		var payload deliverywire.Payload
		if err := json.Unmarshal([]byte(e.Data), &payload); err != nil {
			panic(err)
		}
		for _, u := range payload.Expand() {
			fmt.Printf("%s reached %s: %d of %d\n", u.Message, u.Receipt.Recipient, u.Delivered, u.Total)
		}
	}
	// Output:
	// status on [private-user-alice]
	// m1 reached bob: 1 of 3
	// m1 reached carol: 2 of 3
	// status on [private-user-bob]
	// m1 reached bob: 1 of 3
	// status on [private-user-carol]
	// m1 reached carol: 2 of 3
}

func ExampleNotifier_AuthHandler() {
	config := pusheradapter.Config{AppID: "1001", Key: "key", Secret: "secret", Cluster: "eu"}
	notifier, err := pusheradapter.New(config, nil)
	if err != nil {
		panic(err)
	}
	signedIn := func(r *http.Request) (user string, err error) { return "bob", nil } // by the app's own session
	auth, err := notifier.AuthHandler(membersOnly{}, signedIn, nil)                  // the Authorizer is the app's Tracker
	if err != nil {
		panic(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/pusher/auth", auth)

	for _, channel := range []string{"private-conv-c1", "private-conv-c2", `presence-conv-c1:{"user_id":"alice"}`} {
		form := url.Values{"socket_id": {"123.456"}, "channel_name": {channel}}
		r := httptest.NewRequest("POST", "/pusher/auth", strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		fmt.Println(w.Code, channel)
	}
	// Output:
	// 200 private-conv-c1
	// 403 private-conv-c2
	// 403 presence-conv-c1:{"user_id":"alice"}
}

type membersOnly struct{}

func (membersOnly) Authorize(_ context.Context, user string, _ delivery.Action, conversation string) error {
	if user != "bob" || conversation != "c1" {
		return delivery.ErrForbidden
	}
	return nil
}

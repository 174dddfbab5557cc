package pushertest_test

import (
	"testing"

	"github.com/msgdelivery/delivery/pusheradapter/pushertest"
	"github.com/pusher/pusher-http-go/v5"
)

func TestSmoke(t *testing.T) {
	srv := pushertest.NewServer(t)
	p := pusher.Client{AppID: srv.AppID, Key: srv.Key, Secret: srv.Secret, Host: srv.Host()}
	tab := srv.Dial(t).Subscribe("private-room")
	other := srv.Dial(t).Subscribe("private-room")
	id := other.SocketID()
	if _, err := p.TriggerWithParams("private-room", "greeting", map[string]string{"say": "hi"}, pusher.TriggerParams{SocketID: &id}); err != nil {
		t.Fatal(err)
	}
	t.Log(tab.Next(t.Context()), tab.Drain(t.Context()), other.Drain(t.Context()), srv.Events(), srv.Requests())
}

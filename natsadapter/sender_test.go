package natsadapter

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// What was written to a connection that broke may be lost, though the server answers a ping on the
// next connection.
func TestAnAnswerOnTheNextConnectionSaysNothingOfWhatWasPublishedBefore(t *testing.T) {
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	go s.Start()
	defer s.WaitForShutdown()
	defer s.Shutdown()
	if !s.ReadyForConnections(time.Minute) {
		t.Fatal("the server does not start")
	}
	conn, err := nats.Connect(s.ClientURL(), nats.ReconnectWait(time.Millisecond), nats.ReconnectJitter(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, breaks := range []bool{true, false} {
		err := core{conn}.sure(ctx, func() error {
			if breaks {
				defer conn.ForceReconnect()
			}
			return conn.Publish("subject", nil)
		})
		if errors.Is(err, errBroke) != breaks || !breaks && err != nil {
			t.Errorf("the connection breaks: %t; it returned %v", breaks, err)
		}
	}
}

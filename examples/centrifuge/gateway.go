package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/centrifugal/centrifuge"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliverywire"
)

// notifier publishes events on the channel of their conversation, or of the user whom they are for.
type notifier struct{ *centrifuge.Node }

func (n notifier) TakesOwn() bool { return true }

func (n notifier) Notify(_ context.Context, events []delivery.Event) error {
	refused := make(map[int]error)
	for i, e := range events {
		channel, tags := "conversation:"+e.Conversation, map[string]string{"except": hash(e.Except)}
		if e.Kind == delivery.OwnChanged {
			channel = "user:" + e.User
		}
		payloads, err := deliverywire.Split(e, 64<<10)
		if err != nil {
			refused[i] = delivery.Permanent(err)
		}
		for _, payload := range payloads {
			data := fmt.Appendf(nil, `{"event": %q, "data": %s}`, e.Kind, payload)
			if _, err := n.Publish(channel, data, centrifuge.WithTags(tags), centrifuge.WithHistory(1, time.Minute)); err != nil {
				return err
			}
		}
	}
	return delivery.Refused(refused)
}

// admit lets clients subscribe to conversations that they may view, and to the channel of their
// user.
func admit(tracker *delivery.Tracker, client *centrifuge.Client, channel string) (reply centrifuge.SubscribeReply, err error) {
	reply.Options.ServerTagsFilter = &centrifuge.FilterNode{Key: "except", Cmp: "neq", Val: hash(client.ID())}
	reply.Options.EnablePositioning = true // a client that missed something has to subscribe again
	conversation, ok := strings.CutPrefix(channel, "conversation:")
	if ok {
		err = tracker.Authorize(client.Context(), client.UserID(), delivery.ToView, conversation)
	}
	_, invalid := errors.AsType[*delivery.InvalidError](err)
	if invalid || errors.Is(err, delivery.ErrForbidden) || !ok && channel != "user:"+client.UserID() {
		err = centrifuge.ErrorPermissionDenied // for good; a client repeats what failed
	}
	return reply, err
}

// hash keeps the ids of clients, which are random, secret from those that see the tags.
func hash(client string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(client))) }

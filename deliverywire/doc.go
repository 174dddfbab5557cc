// Package deliverywire defines the JSON form in which clients get events, over any transport.
// pusheradapter sends it through Pusher Channels. A notifier of your own gets it from [Split]:
//
//	payloads, err := deliverywire.Split(event, 10_000) // bytes that the carrier allows at most
//	for _, data := range payloads {
//		broker.Publish(event.Conversation, event.Kind.String(), data)
//	}
//
// An event is sent under the name of its kind, "message", "status", "deleted", "pruned" or "own".
// Its data is a [Payload]:
//
//	{
//		"conversation": "c1", "from": 41, "to": 42,
//		"shared": {
//			"sender": "alice", "status": "read", "delivered": 1, "read": 1, "total": 1,
//			"recipient": "bob", "recipient_status": "read", "read_at": "2025-03-01T12:30:00.25Z"
//		},
//		"updates": [
//			{"message": "m1", "version": 41, "delivered_at": "2025-03-01T12:00:00.5Z"},
//			{"message": "m2", "version": 42, "delivered_at": "2025-03-01T12:00:01Z"}
//		]
//	}
//
// Fields that are the same in all updates are in "shared" only. An event with a single update has
// no "shared". A page gets whole updates by
//
//	const updates = data.updates.map(u => ({delivered: 0, read: 0, total: 0, hiding: 0, failed: 0, ...data.shared, ...u}))
//
// "hiding" says how many of the total hide reads, so "read" is at most total − hiding. "failed"
// counts the recipients with a recorded failure whom the message has not reached. It is the one
// count that can fall. The update that announces a failure has the recipient in "recipient", "sent"
// as its "recipient_status", and the code in "failure".
//
// The updates of a "deleted" event have the message and the version alone. The update of a "pruned"
// event has the version and "floor" alone: all messages whose seq is at or below the floor were
// removed.
//
// An "own" event is for the devices of one user, and is never sent to anybody else. It tells what
// that user alone may know, and covers no versions:
//
//	{
//		"conversation": "c1", "from": 0, "to": 0, "place": {"rev": 7, "delivered": 40, "badge": 38, "flag": 0},
//		"updates": [{"message": "m1", "own": "read"}]
//	}
//
// A page that shows badges takes its user's place from the event, unless the page knows a higher
// "rev" of the conversation. If the "rev" is more than 1 above the one that the page knows, the
// page missed something, and asks for what is unread. A page never answers an "own" event with a
// mark.
//
// Nothing else about an event reaches a client. Above all, the socket that made the change
// ([delivery.Event.Except]) is for the notifier alone: a client that knows another client's socket
// can hide events from that client.
//
// # A page
//
// The client of package deliveryjs does the following. Any other client that shows a conversation
// must do the same, over any transport:
//
//  1. It loads the messages, and keeps the version and the epoch that came with them.
//  2. It applies an update to its message if the update's version is higher than that of the
//     message. So repeated and late events do no harm. It removes a message that a "deleted" event
//     names, or that an answer with changes shows as deleted. From then on it ignores that id,
//     because a late event or answer may still bring the message. It removes the messages at or
//     below the floor of a "pruned" event, and of every answer that has a floor.
//  3. It then looks at the event's range. If "from" is at most the page's version + 1, the page
//     raises its version to "to". Otherwise it missed something: it reads the changes since its
//     version and epoch, and keeps the version and epoch of the answer. If the answer says "reset",
//     the page forgets the conversation's messages and loads them again.
//  4. It treats the versions in the answers to its own sends and marks in the same way, because its
//     socket gets no events of its own sends and marks. An up-to mark of more than 1,000 messages
//     takes several transactions. If to − from + 1 > changed in its answer, other users made
//     changes in between, and the page reads the changes.
//  5. The answer to a mark has the user's receipt, and not the new state of the message. If a page
//     shows the statuses of other users' messages, it reads the changes after its own marks.
//  6. It reads the changes whenever its connection is open again, because it may have missed events
//     in between. It first waits for a random time of up to 6 s, because all pages reconnect at the
//     same moment. A stream of sseadapter catches up by itself.
//  7. It fetches a new message whose update has no "body" or says "body_omitted".
//  8. The "own" in an "own" event is the user's own status of the message. The event also has the
//     user's place: all messages at or before its "badge" count as read by the user, and all at or
//     before its "delivered" as delivered. If the "rev" is more than 1 above the one that the page
//     knows, the page missed such events. It then asks for what is unread, and loads its messages
//     again.
package deliverywire

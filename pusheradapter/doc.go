// Package pusheradapter tells browsers of message delivery through Pusher Channels, Pusher's own or
// a self-hosted server that speaks the same protocol. Its [Notifier] is a [delivery.Notifier]:
//
//	config, err := pusheradapter.ParseURL(os.Getenv("PUSHER_URL"))
//	notifier, err := pusheradapter.New(config, nil)
//	tracker, err := delivery.New(store, notifier, nil)
//
// and beside it stands the endpoint at which browsers ask to enter a conversation's channel:
//
//	auth, err := notifier.AuthHandler(tracker, identify, nil)
//	mux.Handle("/pusher/auth", auth)
//
// What the Notifier accepts, Pusher has accepted. Pusher promises no more than an attempt to reach
// the connections that are open at that moment: it may lose events, and does not promise their
// order. This is why events carry versions, and why a page has to read the changes it missed.
//
// # Channels
//
// Every conversation has a private channel, named by [PrivateChannel]. A browser finds the name by
//
//	const channel = 'private-conv-' + Array.from(new TextEncoder().encode(conversation), byte => {
//		const char = String.fromCharCode(byte)
//		return /[A-Za-z0-9_@,.;-]/.test(char) ? char : '=' + byte.toString(16).toUpperCase().padStart(2, '0')
//	}).join('')
//
// The name has at most 164 characters, so that an id of more than 50 bytes may not fit if it
// consists of much else than letters and digits. Events of such a conversation go to the dead
// letters. Apps with other needs bring an [Options.Encode] and its inverse.
//
// # Events
//
// An event is named "message" or "status", and its data is a [Payload]:
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
// What all updates of the event share stands in "shared", which a single update has not. To get
// whole updates:
//
//	const updates = data.updates.map(u => ({delivered: 0, read: 0, total: 0, ...data.shared, ...u}))
//
// A page that shows a conversation, whatever brings it the events:
//
//   - loads its messages, and keeps the version and the epoch that came with them;
//   - applies an update to its message if the update's version is higher than that of the message,
//     so that repeats and stragglers do no harm;
//   - then, if "from" is at most its own version + 1, moves its version up to "to", and otherwise
//     knows that it missed something and reads the changes since its version and epoch, and keeps those
//     of the answer. If that says "reset", the database was restored: the page forgets the
//     conversation's messages and loads them anew;
//   - counts the versions in the answers to its own sends and marks in the same way, since their
//     events exclude its socket. An up-to mark of more than 1,000 messages takes several transactions,
//     between which others may change something: if to − from + 1 > changed, others' changes lie
//     between, and the page reads the changes instead. The answer to a mark holds a receipt, and not what that made of the
//     message: a page that shows how far the messages of others came reads the changes instead;
//   - reads the changes after every pusher:subscription_succeeded, which comes again with each
//     reconnect (of server-sent events: after every open); on a reconnect after a random part of a second or two, because all
//     pages reconnect at the same moment;
//   - fetches a new message whose update has no "body", or says "body_omitted";
//   - does not take a pusher:subscription_error with status 401 for the end of the user's session:
//     pusher-js 8.6.0 sends an authorization that came late on the next connection too, where it is
//     refused although the channel works (findings/pusher-js-late-auth.sh).
//
// Events of receipts that come at the same moment are joined if they exclude the same socket and
// their versions follow each other; a page cannot tell.
//
// # Large groups
//
// On its conversation's channel every member's receipt is an event of its own, since it excludes
// another socket, and goes to all who listen: a thousand members who acknowledge a message make a
// thousand events, and Pusher counts a million messages. Where only authors are shown ticks,
// [Options.AuthorsOnly] has receipts told on the author's [UserChannel] instead, some ten to an
// event when they come fast. A browser finds the name as above, from 'private-user-' and its user's
// id, and [Notifier.AuthHandler] lets in nobody but that user. Then:
//
//   - No socket is excluded. Who marks a message is not its author, so none of theirs is on that
//     channel; and that is why receipts from different sockets can share an event.
//   - A "status" event covers no versions: "from" and "to" are 0, which moves no page's version. An author
//     who missed one learns of it from the next event about the message, which has all counts, or when it
//     reads the changes.
//   - A "message" event covers its version as always. Before most of them a page finds a gap, the
//     receipts it was not told of, and by reading the changes it gets whatever it missed.
//   - An author whose id is too long for a channel's name is told nothing live; such events go to the dead
//     letters, unless they have something to tell others.
//   - Authors hear of their messages in all conversations, those included that they may not view any more.
//
// # Trust
//
// Whoever may enter a conversation's channel hears all that is told on it: who has read what, and
// the bodies of messages if [delivery.Options.EventBodies] puts them there. The secret stays on the
// server; it is in no error and in nothing that is printed. TLS is left out for loopback hosts
// only, unless the [Config] asks for it.
//
// Socket ids come from browsers, and nobody can tell whose they are. A client that names the socket
// of someone else hides an event from it, until it reads the changes; so the id is good for an
// exclusion, and for nothing else. A malformed socket id excludes nobody.
//
// # Failures
//
// The relay decides when to try again; this package makes one attempt and says who is to blame.
// [Notifier.Notify] tells how. The clock of the server must be right to within ten minutes, or
// Pusher answers everything with 401.
package pusheradapter

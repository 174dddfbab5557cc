// Package pusheradapter tells browsers about message delivery through Pusher Channels, either
// hosted by Pusher or by a server of your own that speaks the same protocol. Its [Notifier] is a
// [delivery.Notifier]:
//
//	config, err := pusheradapter.ParseURL(os.Getenv("PUSHER_URL"))
//	notifier, err := pusheradapter.New(config, nil)
//	tracker, err := delivery.New(store, notifier, &delivery.Options{Authorize: mayDo})
//
// Browsers ask an endpoint of the app for permission to enter a conversation's channel. This is
// that endpoint:
//
//	auth, err := notifier.AuthHandler(tracker, identify, nil)
//	mux.Handle("/pusher/auth", auth)
//
// Pages of another origin, mobile apps and Laravel Echo need a few more lines. See docs/guides.
//
// When the Notifier accepts an event, Pusher has accepted it. Pusher then tries to reach the
// connections that are open at that moment. It may lose events, and may deliver them in another
// order. This is why events carry versions, and why a page has to read the changes that it missed.
//
// # Channels
//
// Every conversation has a private channel, named by [PrivateChannel]. In a browser the name is
//
//	const channel = 'private-conv-' + Array.from(new TextEncoder().encode(conversation), byte => {
//		const char = String.fromCharCode(byte)
//		return /[A-Za-z0-9_@.-]/.test(char) ? char : '=' + byte.toString(16).toUpperCase().padStart(2, '0')
//	}).join('')
//
// A channel's name has at most 164 characters. An id of up to 50 bytes always fits. A longer one
// may not fit if it has many characters that are escaped; a message to such a conversation is
// refused when it is sent ([Notifier.CheckConversation]). An app that needs other names sets
// [Options.Encode] and [Options.Conversation].
//
// # Events
//
// An event is named "message", "status", "deleted", "pruned" or "own", and its data is a
// [deliverywire.Payload] of up to [MaxData] bytes. The documentation of deliverywire says step by
// step what a page does with it. With pusher-js, three things are added:
//
//   - The page reads the changes after every pusher:subscription_succeeded, which comes again with
//     each reconnect.
//
//   - After a pusher:subscription_error with status 401 the page must not sign the user out. A page
//     that reconnects may still wait for the auth endpoint's answer to a request that it made for
//     the old connection. When the answer comes, pusher-js 8.6.0 sends it on the new connection.
//     Pusher refuses it, and the page gets this error for a channel to which it has already
//     subscribed with a newer answer (findings/pusher-js-late-auth.sh).
//
//   - After a reconnect pusher-js asks the auth endpoint for all its channels at the same moment,
//     and so do all other pages if the server was restarted. To spread these requests, set a
//     channelAuthorization.customHandler that waits for a random time on every connection except
//     the first; docs/guides/origins.md has one.
//
// Events of concurrent receipts are joined if one socket made all of them and their versions follow
// each other. A page needs to do nothing about that.
//
// An "own" event tells the devices of one user what that user alone may know: a badge that another
// device emptied, say. It goes to the user's own [UserChannel], whose name is made as above from
// 'private-user-' and the user's id. [Notifier.AuthHandler] lets only that user in. A page that
// shows badges subscribes to it, and asks for what is unread after every
// pusher:subscription_succeeded.
//
// # Large groups
//
// By default the receipt of each member is an event of its own on the conversation's channel,
// because each excludes a different socket. If 1,000 members acknowledge a message, Pusher gets
// 1,000 events and delivers each to 1,000 members, which it counts as a million messages.
//
// If only authors see ticks, set [Options.AuthorsOnly]. Each receipt is then published on the
// author's [UserChannel], and, for the reader's other devices, on the reader's. On the author's
// channel about ten receipts share an event when they come fast. In a browser the channel's name is
// made as above, from 'private-user-' and the user's id. [Notifier.AuthHandler] lets only that user
// in. With AuthorsOnly:
//
//   - On the author's channel no socket is excluded. The user who marks a message is not its
//     author, and so does not listen there. This is why receipts of different sockets can share an
//     event. On the reader's own channel the socket that made the mark is excluded.
//   - A "status" event covers no versions: its "from" and "to" are 0, and a page's version stays as
//     it is. An author who missed one gets its counts with the next event about the message, or by
//     reading the changes.
//   - A "message" event covers its version as always. The page was not told of the receipts
//     in between, so it mostly sees a gap in the versions. It then reads the changes, and has
//     everything.
//   - An author whose id is too long for a channel's name gets no live events. An event for such
//     authors alone becomes a dead letter. An event that is also for other users is published to
//     them, without a dead letter.
//   - Authors hear of their messages in all conversations, including those that they may no longer
//     view.
//
// # Trust
//
// Everybody who may enter a conversation's channel hears everything that is published on it: who
// has read what, and the bodies of messages if [delivery.Options.EventBodies] is set. The app's
// secret stays on the server. It never appears in an error or in printed values. Calls use TLS
// unless the host is a loopback address or the [Config] asks for plain HTTP.
//
// A socket id comes from the browser, and nobody can verify whose it is. A client that sends
// another client's socket id can hide one event from that client, until that client reads the
// changes. So the socket id is used for that exclusion only, and never as an identity. A malformed
// socket id excludes nobody.
//
// # Failures
//
// Servers that speak Pusher's protocol differ in their limits and answers. The Notifier needs no
// setting for that: it learns from the answers. Reverb takes 10,000 bytes in a request and answers
// 413 to more; the Notifier then splits the event again, and remembers the limit. A server that
// takes few events a second, and answers 429 to more, is used at nearly its full rate. soketi hides
// errors in the body of a 200. Every request has an X-Idempotency-Key, which is the same when the
// same events are sent again; Sockudo publishes such a request once.
//
// Except after a 400, 413, 422 or 429, this package makes one attempt for each event. Its error
// says whether the endpoint or the event is at fault ([Notifier.Notify] says how). The relay
// decides when to try again. The clock of the app's server must be right to within 10 minutes, or
// Pusher answers every call with 401.
package pusheradapter

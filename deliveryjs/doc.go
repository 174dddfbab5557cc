// Package deliveryjs has the browser's side of message delivery: a client for pages, as JavaScript
// modules without dependencies, and the handler that serves them.
//
//	mux.Handle("GET /delivery/", http.StripPrefix("/delivery", deliveryjs.Handler()))
//
// A page shows a conversation with live ticks by
//
//	<script type="module">
//	import { Delivery } from '/delivery/delivery.js'
//	import { eventSource } from '/delivery/eventsource.js'
//
//	const delivery = new Delivery({ user: 'alice', transport: eventSource('/events') })
//	const room = delivery.conversation('lunch')
//	room.addEventListener('message', ({ detail: message }) => {
//		const line = lineOf(message.id) // the page's own element, new or not
//		line.textContent = `${message.sender}: ${message.body} (${message.status})`
//		room.watch(line, message.id)
//	})
//	form.onsubmit = () => room.send(form.elements.body.value)
//	</script>
//
// docs/guides/page.md in the repository is the guide to the client.
//
// # Modules
//
//	delivery.js     Delivery and Conversation: the core, at most 6 KB
//	pusher.js       a transport over pusher-js, or over the client of protocol.js
//	echo.js         a transport over Laravel Echo
//	eventsource.js  a transport over sseadapter's streams
//	shared.js       a transport that all tabs of a user share
//	protocol.js     a small client of Pusher's protocol
//
// The core is at most 6 KB compressed, and each other module 2 KB. None needs another file. The
// folder client has the sources, their types (.d.ts) and a package.json. A project that uses npm
// can install this folder as a package and bundle it. Message, Options and Transport are described
// in client/delivery.d.ts.
//
// # What the client does
//
// It marks a message as delivered when it arrives: by an event, with a list, or with the changes
// after a reconnection. It marks a message as read when the user saw it. The element that the page
// named must have been on the screen for 500 ms, in a visible page that has the focus. If the page
// scrolls without the user's doing, the 500 ms begin again. The user must have moved, clicked or
// typed in the last 60 s. While the server answers that nobody is signed in, or somebody other than
// the page's user, nothing counts as seen. The client never marks the user's own messages. It does
// not mark messages that the user has dismissed, unless the app calls Conversation.readAll, which
// marks all messages.
//
// Marks and messages wait in the browser's storage until the server has confirmed them. They
// survive a reload. If the storage is full, they wait as long as the page is open. Marks are sent
// in batches, one request at a time, and the last ones when the page is hidden or closed. After
// failures the client waits for 0.5 s to 15 s, with jitter.
//
// The client applies events by their versions, notices what is missing, and catches up: after a
// gap, a reconnection, a minute in the background, a freeze, a return from the back/forward cache,
// and a loss of the network. It starts over when the server says so, and a deleted or pruned
// message stays away.
//
// Messages that the user reads or dismisses on another device count as read here too, even if
// others may not see the mark (delivery.HideRead). Over Pusher and Echo the client therefore
// listens to the user's own channel, which pusheradapter's endpoint signs. An app whose own
// endpoint does not sign it gives the transport the option userChannel: null. The page then learns
// of such marks when it is loaded again.
//
// The client has no calls for Tracker.Dismiss and Tracker.MarkUnread. A page calls the routes of
// deliveryhttp itself, and Conversation.recount afterwards. Conversation.place has the result,
// whichever device made the call.
//
// Every request names in the header Delivery-User the user that the page was made for. deliveryhttp
// refuses it if the browser's session is now another user's. So a tab that outlived a sign-out
// cannot send or mark in the name of another user.
//
// # Browsers
//
// The modules need ES2023's findLast and AbortSignal.timeout: Chromium 103, Firefox 104 and Safari
// 16 or newer. A Content-Security-Policy needs script-src and connect-src for the app's own origin,
// and connect-src for the Pusher server.
package deliveryjs

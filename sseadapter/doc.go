// Package sseadapter tells browsers about message delivery through server-sent events, over plain
// HTTP and without another server. Its [Handler] serves the streams:
//
//	bus := new(delivery.LocalBus) // one process; several need a bus between them
//	tracker, err := delivery.New(store, delivery.OwnNotifierFunc(bus.Publish), &delivery.Options{Authorize: mayDo})
//	streams, err := sseadapter.New(tracker, bus, currentUser, nil)
//	go tracker.Run(ctx)
//	go streams.Run(ctx)
//	mux.Handle("GET /events", streams)
//
// The relay of one process publishes each event. A [delivery.Bus] brings it to the processes that
// have the streams. With [delivery.LocalBus] and several processes, most clients would hear
// nothing.
//
// # The page
//
//	const events = new EventSource('/events?conversation=' + encodeURIComponent('c1'))
//	events.addEventListener('hello', e => { socket = JSON.parse(e.data).socket })
//	events.addEventListener('message', e => apply(JSON.parse(e.data)))
//	events.addEventListener('status', e => apply(JSON.parse(e.data)))
//	events.addEventListener('deleted', e => apply(JSON.parse(e.data)))
//	events.addEventListener('pruned', e => apply(JSON.parse(e.data)))
//	events.addEventListener('own', e => showBadge(JSON.parse(e.data)))
//	events.addEventListener('reset', e => loadAgain(JSON.parse(e.data).conversation))
//
// A stream carries 1 to [MaxConversations] conversations, each a parameter "conversation" of the
// URL. A browser opens at most six connections to a host by HTTP/1.1, so a page should have one
// stream, and tabs may share one.
//
// The events of a stream are:
//
//	hello    {"socket": "sse-…", "epoch": "7", "versions": {"c1": 41}, "refused": ["c9"]}
//	message  a payload of deliverywire
//	status   a payload of deliverywire
//	deleted  a payload of deliverywire
//	pruned   a payload of deliverywire
//	own      a payload of deliverywire, for the user of this stream alone
//	reset    {"conversation": "c1", "version": 3, "epoch": "8"}
//	ping     {}
//
// Hello is the first. Its socket is the id of this stream: a page that names it in its sends and
// marks is not told of them. Each stream has a new one, which nobody can guess. The versions say
// where the stream begins in each conversation. Conversations that the user may not hear are in
// "refused". Hello comes again, with the same socket, after the stream has made up for events that
// were lost.
//
// The documentation of deliverywire says what a page does with payloads. After a reset the page
// forgets the conversation's messages and loads them again. It may ignore pings. If nothing, not
// even a ping, arrives for three times [Options.Heartbeat], a page may assume that the connection
// is broken.
//
// # Catching up
//
// The id of every event says which version of each conversation the stream has reached. When an
// EventSource connects again, it sends the last id as Last-Event-ID, and the stream begins with all
// that changed since. So the page misses nothing, and need not read the changes itself. The same
// happens without a new connection if events were lost between the processes: the stream reads the
// changes when the bus says so, or when an event has been missing for 1 s. If the store is restored
// from a backup, the stream notices it within [Options.Heartbeat].
//
// Catching up leaves out "own" events: a page that shows badges asks for what is unread whenever
// its stream says hello. There are "own" events if the tracker's notifier is a
// [delivery.OwnNotifier], as above.
//
// A page that has loaded its messages sets the parameter "since" of the URL to the version and the
// epoch that came with them. "since" has the form of an event's id: the epoch, and the version of
// each conversation in the order of the URL, joined by dots.
//
//	/events?conversation=c1&conversation=c2&since=7.41.3
//
// A version may be left out, as in "7.41.". The stream then begins at the conversation's present
// version, which is in hello. If the page has an older version, it reads the changes. A malformed
// id counts as none.
//
// The stream sends a reset if the store cannot tell what changed, or if more than 5,000 messages
// changed. The events of a catch-up say where messages stand, and how far the user's own devices
// have marked them. They have no receipts of other users; a page that shows who has read a message
// loads these.
//
// # Load
//
// Events are encoded once for all streams. At most [Options.Buffer] bytes of events wait for a slow
// client. If more come, the stream drops them, and reads the changes once the client has taken what
// was written. While it does that, it holds one page ([delivery.MaxPage]) and its JSON, less than 3
// MiB in all. A client that takes longer than [Options.WriteTimeout] for 64 KiB is cut off. Every
// write has a deadline. The WriteTimeout and ReadTimeout of the [http.Server] do not end a stream.
//
// Opening a stream costs one read of the store for each conversation. At most 8 reads are under way
// at a time in a process. Each stream tells its client to wait for a random time of 1 to 3 s before
// it reconnects.
//
// # Proxies and middleware
//
// The answer asks nginx not to hold it back (X-Accel-Buffering). Other proxies may have a setting
// of their own for it. A middleware that hides the deadlines of the ResponseWriter makes every
// stream fail with status 500, and one that compresses may hold events back
// (findings/compression-holds-events.sh): mount the Handler outside of both.
package sseadapter

// Package inspector serves pages on which an app's operators see what a [delivery.Tracker] does:
// the outbox, the dead letters, what became of one message, and of all messages hour by hour. The
// pages need no script.
//
//	recorder := inspector.NewRecorder()
//	tracker, err := delivery.New(store, notifier, &delivery.Options{Authorize: mayDo, Observer: recorder.Observer(nil)})
//	pages, err := inspector.New(tracker, mayInspect, &inspector.Options{Recorder: recorder})
//	mux.Handle("/inspect/", http.StripPrefix("/inspect", pages))
//
// The app's gate, mayInspect, says for each request what the person who makes it may do. Without a
// gate, [New] fails. Whoever may not look gets the same 403 for every path. The pages are read-only
// unless the app sets [Options.Actions] and its gate answers [MayAct].
//
// # Pages
//
//	GET  /                                   the outbox, and the relay and failures of this process
//	GET  /funnel     ?days=                  how many messages were delivered and read, hour by hour, of 1 day or 7
//	GET  /dead       ?after= &all=           dead letters, 50 a page, in order of their events' ids
//	GET  /confirm    ?do= &event= &event= …  asks whether to replay or discard these
//	POST /replay     event= …                replays up to 50 dead letters
//	POST /discard    event= …                discards up to 50 dead letters
//	GET  /message    ?id= &status= &after=   one message, its receipts, and what this process knows of it
//
// All links are relative, so the pages work under any prefix that is stripped from the path. An
// operator confirms each replay and discard. The answer lists what became of each dead letter.
// [delivery.Observer.Resolved] is called with the request's ctx.
//
// # What is shown
//
// The pages never show bodies, private marks ([delivery.Actor.Hide]), or a status that only the
// user may see ([delivery.Message.Own]). For an event for one user's devices, they do not show the
// user, nor the reason for which it was refused. Ids are shown, unless [Options.Redact] changes
// them; ids with characters that cannot be seen are quoted. A message's page runs at most 5 SQL
// statements, and none that grows with the history. Of the dead letters of the message's
// conversation, it shows only those that are among the oldest 100 in the store.
//
// The funnel shows what the app has counted. It is empty unless some process calls
// [delivery.Tracker.CountHours] about once a minute, or the store is that of package memstore. The
// page runs one SQL statement, which reads a small table (one row per hour) by its key.
//
// A [Recorder] knows what happened in its own process since the process started. Behind a load
// balancer, another request may reach another process: each page names the one that made it.
package inspector

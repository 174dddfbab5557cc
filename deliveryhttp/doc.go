// Package deliveryhttp serves a [delivery.Tracker] to browsers and other clients: sending, listing,
// catching up, marking and receipts, as JSON over HTTP.
//
//	api, err := deliveryhttp.New(tracker, identify, nil)
//	mux.Handle("/api/", http.StripPrefix("/api", api))
//
// A [Handler] is an [http.Handler] like any other: any router can hold it, under any prefix that is
// stripped before. docs/routers.md has the line for chi, echo and gin.
//
// An app that sends by [delivery.Tracker.SendTx], with rows of its own beside each message, leaves
// out the route that would send without them, and mounts the others one by one:
//
//	routes := http.StripPrefix("/api", api)
//	mux.Handle("GET /api/messages", routes)
//	mux.Handle("POST /api/marks", routes)
//
// # Routes
//
//	POST /messages       {conversation, body, id?, quorum?, socket?}  sends          201 message
//	GET  /messages       ?conversation= &after= &before= &limit=      lists          200 page
//	GET  /changes        ?conversation= &since= &epoch= &limit=       catches up     200 page
//	GET  /pending        ?conversation=                               counts unread  200 pending
//	GET  /receipts       ?message= &after=                            who got it     200 {receipts, more}
//	POST /marks          {message, status, socket?}                   marks one      200 receipt
//	POST /marks/batch    {messages, status, socket?}                  marks many     200 {results}
//	POST /marks/up-to    {conversation, message, status, socket?}     marks all to   200 {changed, from, to}
//
// Ids are any strings of 1 to 128 bytes of UTF-8 without NUL, "a/b" and ".." among them, so they
// never stand in a path, which browsers and proxies rewrite: they go in the query, percent-encoded
// like any value there, or in the body.
//
// Answers have the JSON form of [delivery.Message], [delivery.Page], [delivery.Pending],
// [delivery.Receipt] and [delivery.UpToResult]. Lists are never null. They all carry versions: what
// a client hands to /changes to learn what it missed. In the answer of an up-to mark, if to − from
// + 1 > changed, others' changes lie between: a client that counts the versions of its own marks
// reads the changes then.
//
// Catching up takes the version and the epoch that the client holds: those of the page that it read
// last, the version raised by events and marks since. If the answer says "reset": true, the server
// was restored or is behind, and cannot tell what changed. The client then forgets the
// conversation's messages and lists it anew.
//
// Sending takes an id of the client's choice. With one, a request whose answer was lost can be
// repeated: it sends nothing twice and is answered like the first, even if the sender has left the
// conversation since. Ids should be random (UUIDs, say): whoever can guess an id that is about to
// be used can take it. If the id is taken by a message that the sender may not view, the answer is
// the one of a rule that says no, so only the attempt itself can tell that the id is not free.
//
// Listing gives the first messages after a seq, the last ones before a seq, or, with neither, the
// newest; 50 of them, or up to 500 with a limit. Receipts are ordered by recipient, byte for byte,
// and begin after the recipient named by "after". Every page of messages, changes or receipts ends
// before it takes more than 1 MiB ([delivery.MaxPage]), and says in "more" whether it was cut: a
// client asks again after the last item, whatever the number of items. A server of untrusted
// clients also needs a write deadline ([http.Server] WriteTimeout), or a client that reads nothing
// keeps its answer in memory.
//
// GET /pending answers with what the user has not read, as {unread, more, first?, newest?,
// version}. It counts up to 1,000 messages, and "more" says that there are more. A page after
// first's seq less one begins with the first unread message, and a mark up to newest's id leaves
// none unread that the user may mark.
//
// Status is "delivered" or "read". A mark that changes nothing, because it repeats or comes late,
// is no error. Of a batch, up to 500 messages, each has a result of its own, in the order of the
// request:
//
//	{"results": [
//		{"message": "m1", "changed": true, "receipt": {…}},
//		{"message": "m2", "changed": false, "error": "own_message"}
//	]}
//
// The socket, if there is one, is the connection the client listens on: it is not told of the
// change that the request makes.
//
// # Who may do what
//
// The user is whom the app's identify function names, and never anything in the request. Sending
// and viewing a conversation ask the app's rule through [delivery.Tracker.Authorize]; receipts are
// for those who may view their message's conversation; marks are judged by the Tracker. To those
// whom a message does not concern it looks exactly as if it did not exist. Clients have no say in
// who the recipients are: see [Options].
//
// Requests other than GET are refused if they come from another origin (see
// [http.CrossOriginProtection]), and if their body is not application/json. Browsers too old to say
// where a request comes from are not told apart from other programs, so session cookies still want
// SameSite.
//
// # Problems
//
// Refusals and failures are answered with a problem (RFC 9457, application/problem+json). Its
// member "code" is the same word as a batch's "error", and the end of its "type"; "field" names the
// field of the request that is at fault; nothing of the request is ever quoted.
//
//	400 invalid              the field says which, the detail why
//	401 signed_out           there is no user
//	403 forbidden            the app's rule said no, or the conversation does not exist: it is the same
//	403 own_message          senders don't mark their own messages
//	403 cross_origin         the request comes from another site
//	404 not_found            no such message, or none of this user's
//	404 no_route             no such path; the detail says so if a route follows a prefix that was not stripped
//	405 method_not_allowed   Allow says which are
//	409 conflict             the id is taken by another message
//	413 too_large            a body over 64 KiB of text, or over 392 KiB of JSON
//	415 not_json             the body is not application/json
//	500 internal             the cause is logged, and not told
//	503 outcome_unknown      it may have happened; repeating it is safe (a send: with the same id)
//	503 unavailable          the store is not available now, or there was no time for it; repeating it is safe
//
// Every 503 has a Retry-After of 1 second.
//
// # Users and conversations that look alike
//
// Ids are compared byte for byte. "Alice", "alice", "alice " and "аlice" with a Cyrillic letter are
// four users, and so with conversations. An app whose names are chosen by people should use ids
// that are not: the number of the row in its own table of users, say.
package deliveryhttp

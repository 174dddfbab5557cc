// Package deliveryhttp serves a [delivery.Tracker] to browsers and other clients: sending, listing,
// catching up, marking and receipts, as JSON over HTTP.
//
//	api, err := deliveryhttp.New(tracker, identify, &deliveryhttp.Options{Audience: audience})
//	mux.Handle("/api/", http.StripPrefix("/api", api))
//
// A [Handler] is an [http.Handler]. Any router can mount it, under any prefix that is stripped from
// the path. docs/routers.md has the line for chi, echo and gin.
//
// Some apps send by [delivery.Tracker.SendTx], because each message needs a row in one of their own
// tables. Such an app leaves out the route that would send without that row, and mounts the others
// one by one:
//
//	routes := http.StripPrefix("/api", api)
//	mux.Handle("GET /api/messages", routes)
//	mux.Handle("POST /api/marks", routes)
//
// The handler of the app's own route first calls [Handler.User], which refuses requests as the
// other routes do.
//
// # Routes
//
//	POST /messages       {conversation, body, id?, socket?}           sends          201 message
//	GET  /messages       ?conversation= &after= &before= &limit=      lists          200 page
//	POST /messages/delete {message, socket?}                          deletes        200 {deleted}
//	GET  /changes        ?conversation= &since= &epoch= &limit=       catches up     200 page
//	GET  /unread         ?conversation= &conversation= …              counts unread  200 {unread}
//	POST /unread         {message, socket?}                           marks unread   200 place
//	POST /dismiss        {conversation, message, socket?}             empties badge  200 place
//	GET  /receipts       ?message= &after= &limit= &status= &failed=  who got it     200 {receipts, more, next?}
//	POST /marks          {message, status, socket?}                   marks one      200 receipt
//	POST /marks/batch    {messages, status, socket?}                  marks many     200 {results}
//	POST /marks/up-to    {conversation, message, status, socket?}     marks up to    200 {changed, from, to}
//
// openapi.json describes the routes in OpenAPI 3.1: [OpenAPI] has its text, and [Options.OpenAPI]
// serves it. docs/guides/typescript.md has a client that is made from it.
//
// An id is any string of 1 to 128 bytes of UTF-8 without NUL, "a/b" and ".." included. Browsers and
// proxies rewrite such paths, so ids are never part of the path. They are in the query,
// percent-encoded as usual, or in the body.
//
// Answers have the JSON form of [delivery.Message], [delivery.Page], [delivery.Unread],
// [delivery.Receipt], [delivery.UpToResult] and [delivery.Place]. Lists are never null.
//
// # Versions and catching up
//
// Every change of a conversation has a version, and every answer includes the versions of the
// changes that it reports. A client keeps the version and the epoch of the last page that it read.
// (The epoch changes when the database is restored.) If the versions of an event, or of the answer
// to a mark, follow the client's version without a gap, it rises to the last of them. To get what
// it missed, the client passes both to GET /changes. A message in that answer with "deleted": true
// was deleted: the client removes it. If an answer has a "floor", the messages up to that seq were
// removed: the client removes them too. If the answer has "reset": true, the database was restored,
// or has an older state than the client, and cannot tell what changed. The client then forgets the
// conversation's messages and lists them again.
//
// The answer to an up-to mark covers the versions from "from" to "to". If to − from + 1 > changed,
// other users made changes in between, and the client calls GET /changes.
//
// # Sending
//
// The client may choose the message's id. It can then repeat a request whose answer was lost: the
// message is sent once, and the repeated request gets the same answer, even if the sender has left
// the conversation since. Ids should be random, such as UUIDs, because anybody who guesses an id in
// advance can use it first. If the id is taken by a message that the user may not view, the answer
// is 403 forbidden, as if the app's rule had said no.
//
// # Deleting
//
// Users may delete the messages that they sent, as long as the app's rule lets them send to the
// conversation. "deleted" is 1, or 0 if another request deleted the message at the same moment. A
// repeated request gets 404 not_found. For moderators, write a handler of your own that calls
// [delivery.Tracker.Delete].
//
// # Listing
//
// GET /messages returns the last messages before the seq in "before", or the first ones after the
// seq in "after". With both, it returns the last messages between the two. With neither, it returns
// the newest messages. It returns 50 messages, or as many as "limit" says, up to 500.
//
// GET /receipts orders receipts by recipient, byte for byte. It returns 50, or as many as "limit"
// says, up to 500. A receipt that may show less than the truth has a "reason". It is "untracked" if
// the message's [delivery.Audience] lists the recipient as untracked. It is "capped" if the
// audience lists the recipient as hiding reads and the receipt is at "delivered". It is "expired"
// if a time was removed because the message is old ([delivery.Tracker.Compact]). If the app has
// recorded that the message did not reach the recipient ([delivery.Tracker.Fail]), and the status
// is "sent", "failure" is the code that the app gave.
//
// With a "status" GET /receipts returns only the receipts that are at exactly that status and
// neither untracked nor capped. So with "status=sent" it returns the receipts of recipients whom
// the message has not reached. With "failed=true" it returns only receipts with a "failure". If
// "more" is true, pass the value of "next" as "after" to get the next page. A page with a "status"
// or with "failed=true" may have few receipts, or none, although "more" is true.
//
// A page of messages or changes ends before it exceeds 1 MiB ([delivery.MaxPage]), and may
// therefore have fewer items than asked for. If "more" is true, there are more, and the client asks
// again after the last item. A page of receipts is never larger than 1 MiB.
//
// GET /unread returns what the user has not read in each of up to 200 conversations. The answer is
// a list of {conversation, count, more, flagged, first?, newest?, version, floor?, place}, in the
// order of the query. So a page that lists conversations with their badges needs only one request.
// The route counts up to 1,000 messages; "more" is true if there are more. To list messages from
// the one in "first" on, call GET /messages with "after" set to its seq minus 1. "newest" is the
// newest message, with the first 256 characters of its body. POST /marks/up-to with its id empties
// the badge. Conversations that the user may not view are left out.
//
// A server with untrusted clients also needs a write deadline ([http.Server] WriteTimeout).
// Otherwise a client that reads nothing keeps its answer in the server's memory.
//
// # Marking
//
// The status is "delivered" or "read". A mark that changes nothing, because it is repeated or late,
// is not an error. A batch has up to 500 messages, each with a result of its own, in the order of
// the request. A message that the request names more than once has one result:
//
//	{"results": [
//		{"message": "m1", "changed": true, "receipt": {…}},
//		{"message": "m2", "changed": false, "error": "own_message"}
//	]}
//
// [Options.Hide] says what others may not see of a user's marks. The answer to a mark has the
// user's own receipt, whose status can be more than others see.
//
// POST /dismiss empties the user's badge up to a message, and POST /unread marks the conversation
// as unread from a message on ("flagged" in GET /unread), until the user reads or dismisses that
// message or a later one. Both answer with the user's place in the conversation, and tell nobody
// else anything. The place's "rev" rises by 1 with each such change. A device that gets a "rev"
// more than 1 above the one it knows has missed a change, and reads GET /unread.
//
// # The socket
//
// The field "socket" is the id of the connection on which the client listens for events. That
// connection is not told of the change that the request makes. With pusher-js the id is
// pusher.connection.socket_id. If the body has none, the header X-Socket-ID is used, which Laravel
// Echo adds to requests by itself. Without either, the client is told of its own change like
// everyone else.
//
// # Who may do what
//
// The user is the one that the app's identify function returns. Nothing in the request can say
// otherwise. The app's rule ([delivery.Options.Authorize]) decides who may send to and view a
// conversation, and a message's receipts are for those who may view its conversation. The Tracker
// decides about marks. A message that a user may neither view nor mark looks to that user exactly
// as if it did not exist. Clients cannot choose who may mark what they send: see
// [Options.Audience].
//
// Requests other than GET are refused if they come from another origin (see
// [http.CrossOriginProtection]) or if their body is not application/json. A request with neither a
// Sec-Fetch-Site nor an Origin header is accepted, because programs that are not browsers
// send neither. Very old browsers may send neither, too: for them, set SameSite on session cookies.
//
// # Pages that outlive a sign-out
//
// A tab that shows the page of alice may still be open when carol signs in in another tab of the
// same browser. The requests of alice's page then come with carol's session. So a client sends the
// header Delivery-User with the id of the user that its page was made for, percent-encoded. If the
// session is another user's, the request is refused with 409 other_user. The client of package
// deliveryjs sends the header with every request. Clients that sign in by a token have no need for
// it, and a request without it is accepted.
//
// # Problems
//
// Refusals and failures are answered with a problem (RFC 9457, application/problem+json). Its
// member "code" is one of the words below. A batch uses the same words in "error". The member
// "field" names the field of the request that is at fault. No answer quotes the request.
//
//	400 invalid              "field" names what is not acceptable, and "detail" says why
//	401 signed_out           there is no user
//	403 forbidden            the app's rule said no (it should also say no for a conversation that does not exist)
//	403 own_message          the user sent this message, and so may not mark it
//	403 cross_origin         the request comes from another site
//	404 not_found            there is no such message, or it does not concern this user
//	404 no_route             there is no such path; the detail says so if the prefix was not stripped
//	405 method_not_allowed   the header Allow lists the methods of the path
//	409 other_user           the session is not that of the user in the header Delivery-User
//	409 conflict             another message has this id
//	410 gone                 a message with this id was deleted
//	413 too_large            the message's body is over 64 KiB, or the request over 392 KiB
//	415 not_json             the request's body is not application/json
//	500 internal             something failed; the log has the cause, the answer does not
//	503 outcome_unknown      the change may have been made; repeating is safe (a send: with the same id)
//	503 unavailable          the database is away or too slow; repeating the request is safe
//
// Every 503 has a Retry-After of 1 second.
//
// # Users and conversations that look alike
//
// Ids are compared byte for byte. "Alice", "alice", "alice " and "аlice" with a Cyrillic letter are
// four users. Conversations are compared in the same way. If people choose their names, use
// something else as the id, such as the number of the row in the app's table of users.
package deliveryhttp

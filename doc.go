// Package delivery tracks what became of messages: sent, delivered, read.
//
// It is a library for web apps that have users, messages and a database of their own, and want to
// show their users, live, whether a message arrived. A [Tracker] takes sends and marks, keeps them
// in a [Store] and tells a [Notifier], such as Pusher Channels, of every change:
//
//	tracker, err := delivery.New(store, notifier, &delivery.Options{Authorize: mayDo})
//	go tracker.Run(ctx)
//
//	msg, err := tracker.Send(ctx, delivery.Draft{
//		Conversation: "c1", Sender: "alice", Body: "hi",
//		Audience: delivery.Audience{Recipients: []string{"bob"}},
//	})
//	receipt, err := tracker.MarkRead(ctx, delivery.Actor{User: "bob", Socket: "123.456"}, msg.ID)
//
// # Names
//
// An app uses these:
//
//   - to start: [New], [Options], [Tracker], and [Observer] for metrics
//   - to send: [Draft], [Audience], [Roster], [Message]
//   - to mark: [Actor], [Hide], [MessageRef], [Status], [Receipt], [Own], [MarkResult],
//     [UpToResult], [Place]
//   - to read: [Query], [Page], [Cursor], [ReceiptQuery], [ReceiptPage], [Unread], [Position]
//   - to remind: [OverdueRule], [Due]
//   - to record that a mail or an SMS with a message bounced: [Failure]
//   - to say who may do what: [Action]
//   - to publish: [Notifier], [NotifierFunc], [OwnNotifierFunc], [Notifiers], [Bus], [LocalBus],
//     [Event], [Update]; [RetryAfter], [Permanent], [Refused]
//   - to operate: [Backlog], [DeadLetter], [DeadQuery], [Drift], [Hour]
//   - to tell failures apart: [InvalidError], and the variables whose names begin with Err
//
// An app meets a few more as arguments and results of these. All others are for a [Store] of your
// own.
//
// # What is promised
//
//   - Only others may mark a message: its sender gets [ErrOwnMessage], and nothing changes.
//   - The connection that made a change ([Actor.Socket]) is not told of it. All other connections
//     are told, unless the change is private.
//   - Statuses only move forward, in whatever order marks arrive, and even if they repeat or race.
//   - No committed change goes unannounced. A few seconds after the last fault has ended, each
//     recipient's committed status has been announced: the Notifier has accepted an event with that
//     status or a later one. An event that it refuses for good becomes a dead letter, which the app
//     can list ([Tracker.DeadLetters]) and replay ([Tracker.Replay]).
//   - A client that missed events can catch up exactly: [Tracker.Changes] returns all that changed
//     since the version it holds.
//   - What a user keeps private ([Actor.Hide]) stays private. A private mark empties the user's own
//     badge, and the user's other devices learn of it. Nobody else can tell that it was made: no
//     count, list, event, version or lock shows it. The mark delays others in the conversation no
//     more than a write in a different conversation would. (SQLite has one writer at a time, so
//     there every write can be noticed.)
//
// docs/semantics.md in the repository has a table for each operation. The table shows what others
// and the user see, which events are sent, and what the call returns.
//
// The promise that no change goes unannounced ends when the Notifier accepts the event. Pusher does
// not promise to bring it to every browser, so clients catch up after each connection.
//
// # How a change travels
//
//	handler ──▶ Tracker ──▶ Store ─ ─ ─▶ relay ──▶ Notifier
//	                      one commit:    at least
//	                      state + event  once
//
// The Store commits each change together with an event that announces it. The events that wait to
// be published are the outbox. The relay, [Tracker.Run], publishes the outbox outside of every
// transaction. It publishes at once what its own process commits. If a process crashes, another
// relay publishes its remaining events once their lease (Options.Lease) has ended. What happens
// when something fails:
//
//	a crash before the commit                nothing happened
//	a crash after the commit                 another relay publishes, after the lease
//	a crash before a publish is recorded     the event is published again
//	the endpoint fails                       all events are kept; a circuit breaker pauses the calls
//	the endpoint refuses an event            three tries, then the dead letters
//	the caller's context ends                ErrOutcomeUnknown; repeating the call is safe, and tells the outcome
//
// Events may therefore come twice, and overtake each other. They carry versions: a receiver keeps
// the newest state of each message, and asks for Changes when it sees a gap. The documentation of
// deliverywire describes, step by step, what a page must do with events, over any transport.
//
// # Audiences
//
// The [Audience] of a message says who may mark it. Recipients are frozen when the message is sent:
// those users may mark it, whoever joins or leaves the conversation later. An Open message may be
// marked by every user but its sender, if the app's rule, [Options.Authorize], allows that user to
// mark in the conversation. Quorum is the number of recipients who must reach a status before the
// message has it. Untracked and HideRead list recipients whose status is partly hidden from others.
// Everyone who sees the message can see who is on these lists, but not what these recipients have
// marked in private.
//
// A message without an audience is an error. So is a Tracker without a rule, unless
// [Options.OpenConversations] says that everyone may do everything.
//
// # Transactions
//
// The methods of Tracker that end in Tx, such as [Tracker.SendTx], write inside the app's own
// *sql.Tx, so that the app's rows and the message exist together or not at all. Call them last,
// since they hold the conversation's row until the commit. After the commit, call [Tracker.Wake].
//
// # Packages
//
// Stores: memstore for tests, sqlstore for Postgres, MySQL/MariaDB and SQLite. To reach browsers:
// pusheradapter, sseadapter (with a Bus as the Notifier), or a Notifier of your own that sends
// clients the events in the form of deliverywire. deliveryhttp serves a Tracker as HTTP routes;
// deliveryjs is the client for pages. inspector has pages for operators. deliverytest is the
// executable contract for stores and notifiers of your own.
package delivery

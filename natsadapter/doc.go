// Package natsadapter connects the processes of an app through NATS. It is a module of its own, and
// uses nats.go.
//
// A bus brings events from the process whose relay publishes them to every process that
// has clients connected. With it, sseadapter works with any number of processes:
//
//	conn, err := nats.Connect("nats://localhost:4222", nats.MaxReconnects(-1))
//	bus, err := natsadapter.NewBus(conn, nil)
//	tracker, err := delivery.New(store, delivery.OwnNotifierFunc(bus.Publish), &delivery.Options{Authorize: mayDo})
//	streams, err := sseadapter.New(tracker, bus, currentUser, nil)
//	go tracker.Run(ctx)
//	go streams.Run(ctx)
//	mux.Handle("GET /events", streams)
//
// A [Notifier] is for an app whose clients connect to a separate gateway: a program that the app
// provides, in any language.
//
// # Core NATS or JetStream
//
// [NewBus] and [NewNotifier] use core NATS. The server hands a message to those who subscribe at
// that moment, and forgets it. So events are lost to subscribers while a connection is broken,
// while the server restarts, and when a subscriber is too slow. Each time the bus's Subscribe
// returns an error, and the streams of sseadapter then read the changes from the store.
//
// [NewStreamBus] and [NewStreamNotifier] use JetStream. An event is accepted once the stream has
// stored it. A subscriber whose connection broke continues where it left off, so clients need not
// catch up after a restart of the server. It loses events only if the stream dropped them first,
// which happens when the stream's limits are reached, or when the stream is purged or created
// again. Then, too, Subscribe returns an error. If a stream is kept in memory and is not
// replicated, a restart of the server deletes the whole stream, and not only its messages. So keep
// streams in files.
//
// Either way nothing is lost in the store: the promise of package delivery ends where NATS accepts
// an event.
//
// # The connection
//
// The connection is the app's. It should reconnect for ever, as nats.MaxReconnects(-1) says: the
// client gives up after 60 attempts by default, and closes the connection. While it is not
// connected, events are not put into its reconnect buffer. They wait in the outbox.
//
// # Trust
//
// A bus carries whole events, with the sockets of users and, if [delivery.Options.EventBodies] is
// set, the bodies of messages. Whoever may publish on its subject can tell clients anything. So the
// subject must be for the app's servers only.
package natsadapter

// Package redisadapter connects the processes of an app through Redis. It is a module of its own,
// and uses go-redis.
//
// A [Bus] brings events from the process whose relay publishes them to every process that has
// clients connected. With it, sseadapter works with any number of processes:
//
//	client := redis.NewClient(&redis.Options{Addr: "localhost:6379"})
//	bus := redisadapter.NewBus(client, nil)
//	tracker, err := delivery.New(store, delivery.OwnNotifierFunc(bus.Publish), &delivery.Options{Authorize: mayDo})
//	streams, err := sseadapter.New(tracker, bus, currentUser, nil)
//	go tracker.Run(ctx)
//	go streams.Run(ctx)
//	mux.Handle("GET /events", streams)
//
// A [Notifier] is for an app whose clients connect to a separate gateway: a program that the app
// provides, in any language.
//
// # What may be lost
//
// Redis hands a published message to those who subscribe at that moment, and forgets it. So events
// are lost while a connection is broken, while Redis restarts, and when a subscriber is so slow
// that Redis cuts it off. Each time the Bus's Subscribe returns an error, and the streams of
// sseadapter then read the changes. Nothing is lost in the store: the promise of package delivery
// ends where Redis accepts an event.
//
// go-redis' PubSub.Channel drops single messages if its reader is slow, and says nothing
// (findings/go-redis-channel-holes.sh). The Bus does not use it. An app that subscribes by itself
// can notice such a loss only by the versions of the events.
//
// # Trust
//
// The Bus carries whole events, with the sockets of users and, if [delivery.Options.EventBodies] is
// set, the bodies of messages. Whoever may publish on its channel can tell clients anything. So
// Redis must be for the app's servers only.
//
// # Timeouts
//
// Publish and Notify return when their context ends. The call in Redis may go on until the client's
// own timeouts have passed, and may still succeed.
package redisadapter

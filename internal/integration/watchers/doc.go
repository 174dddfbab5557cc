// Package watchers tests the promise that a client which missed events can catch up exactly.
//
// Many watchers, which are pages without a browser, follow one conversation and mark and send in it
// themselves. Their connections are cut all the time, events on the way to them get lost, come
// twice and overtake each other, and the endpoint that publishes fails now and then. A watcher does
// what the documentation of package deliverywire asks of a page, and nothing else. In the end what
// each of them shows must be what the store holds, and on no watcher may a tick ever have gone
// back.
//
//	go test ./internal/integration/watchers          # a few watchers, hundreds of cuts, on SQLite
//	go test ./internal/integration/watchers -full    # 100 watchers, 1,000 cuts, on every engine
package watchers

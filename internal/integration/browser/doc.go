// Package browser tests what users see: the pages of the examples in Chromium, with their own Pusher client and with
// pusher-js; pusher-js against pushertest; and many pages at once against failing connections.
//
//	go test ./internal/integration/browser                          # everything
//	go test ./internal/integration/browser -run Watchers -full      # with more watchers and cuts
//	DELIVERY_SCREENSHOTS=/tmp/shots go test ./internal/integration/browser -count=1
//
// The examples run as processes of their own, built once, and are killed where a test says so. Nothing here waits for time to
// pass: tests wait until a page shows something, and what must not arrive they rule out by something that arrives after it.
package browser

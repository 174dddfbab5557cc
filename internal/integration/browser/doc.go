// Package browser tests what users see: the pages of the examples in Chromium, with their own
// Pusher client and with pusher-js; pusher-js against pushertest; the code of docs/guides; and what
// of the client of deliveryjs needs a page, the main path also in Firefox.
//
//	go test ./internal/integration/browser
//	DELIVERY_SCREENSHOTS=/tmp/shots go test ./internal/integration/browser -count=1 # keeps pictures of the pages
//
// TestRandomSessions runs a few sessions and TestClosedAfterReading closes a few pages, or as many
// as their flags say:
//
//	go test ./internal/integration/browser -run TestRandomSessions -count=1 -sessions 1000
//	go test ./internal/integration/browser -run TestClosedAfterReading -count=1 -closings 100 -timeout 60m
//
// The picture in the README, docs/chat.png, is one of these: "picture of the README". docs/chat has
// others.
//
// The examples run as processes of their own, built once, and are killed where a test says so.
// Nothing here waits for time to pass: tests wait until a page shows something, and what must not
// arrive they rule out by something that arrives after it.
package browser

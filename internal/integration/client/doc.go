// Package client tests the browser client of package deliveryjs: the parts that need no page in
// Node.js, against a server that is a few lines of JavaScript and loses what a test says, and time
// that passes when a test says so.
//
//	go test ./internal/integration/client
//
// Behaviour that needs a page is tested in Chromium, by package browser.
package client

// Tutorial is the server of a well-known tutorial, "Build read receipts using Django" (Django,
// Pusher and Vue), written with this library. It has the same routes, events and answers, so the
// tutorial's page works with it unchanged. It also does what the tutorial leaves out: only users
// who are signed in can read and mark, a status never goes back, and no event is lost between the
// database and Pusher.
//
//	go run ./examples/tutorial
package main

import "github.com/msgdelivery/delivery/examples/internal/demo"

func main() { demo.Main("tutorial", build) }

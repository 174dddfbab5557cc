// Tutorial is the server of a well-known tutorial, "Build read receipts using Django" (Django,
// Pusher and Vue), over this library: the same routes, events and answers, so that the tutorial's
// page works against it. What the tutorial leaves open is closed: only those who are signed in read
// and mark, a status never goes back, and no event is lost between the database and Pusher.
//
//	go run ./examples/tutorial
package main

import "github.com/msgdelivery/delivery/examples/internal/demo"

func main() { demo.Main("tutorial", build) }

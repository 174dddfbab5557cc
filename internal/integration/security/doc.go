// Package security attacks an app that uses all of the library, on every engine: strangers,
// senders, people who left and members of other conversations ask for what is not theirs, in every
// way that HTTP allows; the answers must tell them nothing, and the tables, the outbox and Pusher
// must be as before.
//
//	go test ./internal/integration/security                            # 1,000 calls on every engine
//	go test ./internal/integration/security -full -timeout 2h          # 100,000 on every engine
//	go test ./internal/integration/security -run Forbidden -seed 4711  # the same calls again
package security

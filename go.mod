module github.com/msgdelivery/delivery

go 1.25.0

require (
	// Message ids: UUIDv7, for messages whose app chose none.
	github.com/google/uuid v1.6.0
	// The Pusher Channels HTTP API, for pusheradapter.
	github.com/pusher/pusher-http-go/v5 v5.1.1
)

require (
	// Raised above what pusher-http-go asks for: its own choices date from 2019 and 2020 and carry known vulnerabilities.
	golang.org/x/crypto v0.45.0 // indirect
	golang.org/x/sys v0.38.0 // indirect
)

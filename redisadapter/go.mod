module github.com/msgdelivery/delivery/redisadapter

go 1.25.0

require (
	// What the adapter is for.
	github.com/msgdelivery/delivery v0.0.0
	// The client of Redis. From v9.23 on it needs Go 1.26.
	github.com/redis/go-redis/v9 v9.22.0
)

require (
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/google/uuid v1.6.0 // indirect
	go.uber.org/atomic v1.11.0 // indirect
	golang.org/x/sys v0.38.0 // indirect
)

replace github.com/msgdelivery/delivery => ../

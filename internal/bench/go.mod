module github.com/msgdelivery/delivery/internal/bench

go 1.26.0

replace (
	github.com/msgdelivery/delivery => ../../
	github.com/msgdelivery/delivery/deliveryotel => ../../deliveryotel
	github.com/msgdelivery/delivery/internal/integration => ../integration
)

require (
	// A peer: the forwarder.
	github.com/ThreeDotsLabs/watermill v1.5.1
	// The forwarder's outbox.
	github.com/ThreeDotsLabs/watermill-sql/v3 v3.1.0
	// The Postgres driver of all peers.
	github.com/jackc/pgx/v5 v5.12.0
	// What is measured.
	github.com/msgdelivery/delivery v0.0.0
	github.com/msgdelivery/delivery/deliveryotel v0.0.0
	// Private database servers.
	github.com/msgdelivery/delivery/internal/integration v0.0.0-00010101000000-000000000000
	// How the other peers tell Pusher.
	github.com/pusher/pusher-http-go/v5 v5.1.1
	// A peer: a job queue in Postgres.
	github.com/riverqueue/river v0.51.1
	// River's driver.
	github.com/riverqueue/river/riverdriver/riverpgxv5 v0.51.1
	// What telemetry is measured with.
	go.opentelemetry.io/otel/sdk v1.47.0
	go.opentelemetry.io/otel/sdk/metric v1.47.0
	go.opentelemetry.io/otel/trace v1.47.0
	// benchstat's statistics, and its format.
	golang.org/x/perf v0.0.0-20260908200009-22c9c6c9d4da
)

require (
	filippo.io/edwards25519 v1.2.0 // indirect
	github.com/aclements/go-moremath v0.0.0-20210112150236-f10218a38794 // indirect
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/dustin/go-humanize v1.1.0 // indirect
	github.com/glebarez/go-sqlite v1.23.0 // indirect
	github.com/go-logr/logr v1.4.4 // indirect
	github.com/go-logr/stdr v1.2.2 // indirect
	github.com/go-sql-driver/mysql v1.10.1 // indirect
	github.com/google/uuid v1.6.0 // indirect
	github.com/jackc/pgpassfile v1.0.0 // indirect
	github.com/jackc/pgservicefile v0.0.0-20240606120523-5a60cdf6a761 // indirect
	github.com/jackc/puddle/v2 v2.2.3 // indirect
	github.com/lib/pq v1.12.3 // indirect
	github.com/lithammer/shortuuid/v3 v3.0.7 // indirect
	github.com/mattn/go-isatty v0.0.24 // indirect
	github.com/mattn/go-sqlite3 v1.14.53 // indirect
	github.com/ncruces/go-sqlite3 v0.35.0 // indirect
	github.com/ncruces/go-sqlite3-wasm/v3 v3.1.35302 // indirect
	github.com/ncruces/go-strftime v1.1.0 // indirect
	github.com/ncruces/julianday v1.0.0 // indirect
	github.com/oklog/ulid v1.3.1 // indirect
	github.com/pkg/errors v0.9.1 // indirect
	github.com/remyoudompheng/bigfft v0.0.0-20230129092748-24d4a6f8daec // indirect
	github.com/riverqueue/river/riverdriver v0.51.1 // indirect
	github.com/riverqueue/river/rivershared v0.51.1 // indirect
	github.com/riverqueue/river/rivertype v0.51.1 // indirect
	github.com/tidwall/gjson v1.20.0 // indirect
	github.com/tidwall/match v1.2.0 // indirect
	github.com/tidwall/pretty v1.2.1 // indirect
	github.com/tidwall/sjson v1.2.5 // indirect
	go.opentelemetry.io/auto/sdk v1.2.1 // indirect
	go.opentelemetry.io/otel v1.47.0 // indirect
	go.opentelemetry.io/otel/log v1.47.0 // indirect
	go.opentelemetry.io/otel/metric v1.47.0 // indirect
	golang.org/x/crypto v0.57.0 // indirect
	golang.org/x/sync v0.24.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/text v0.43.0 // indirect
	modernc.org/libc v1.79.0 // indirect
	modernc.org/mathutil v1.7.1 // indirect
	modernc.org/memory v1.12.1 // indirect
	modernc.org/sqlite v1.55.0 // indirect
)

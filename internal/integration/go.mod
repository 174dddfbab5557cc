module github.com/msgdelivery/delivery/internal/integration

go 1.25.0

require (
	// Decides whether a history of concurrent calls is linearizable, for the tests of package model.
	github.com/anishathalye/porcupine v1.3.1
	// The commands that chromedp gives to Chromium.
	github.com/chromedp/cdproto v0.159.0
	// Drives Chromium, for the tests of the examples' pages.
	github.com/chromedp/chromedp v0.23.0
	// The WebSocket under the Pusher server that pusher-js is tested against.
	github.com/coder/websocket v1.8.15
	// Makes the modules that browsers get out of their sources.
	github.com/evanw/esbuild v0.28.2
	// A SQLite driver made from modernc.org/sqlite, which GORM's driver without cgo is built on.
	github.com/glebarez/go-sqlite v1.23.0
	// The MySQL and MariaDB driver.
	github.com/go-sql-driver/mysql v1.10.1
	// One Postgres driver, through its database/sql face.
	github.com/jackc/pgx/v5 v5.12.0
	// The other Postgres driver.
	github.com/lib/pq v1.12.3
	// The SQLite driver that uses cgo.
	github.com/mattn/go-sqlite3 v1.14.53
	// What is tested.
	github.com/msgdelivery/delivery v0.0.0
	github.com/msgdelivery/delivery/redisadapter v0.0.0
	// A SQLite driver that needs no C compiler either. From v0.36 on it needs Go 1.26.
	github.com/ncruces/go-sqlite3 v0.35.0
	// An app's side of Pusher, for testing pushertest by what is not ours.
	github.com/pusher/pusher-http-go/v5 v5.1.1
	// The client of Redis.
	github.com/redis/go-redis/v9 v9.22.0
	// The SQLite driver, which needs no C compiler.
	modernc.org/sqlite v1.55.0
	// Makes random sequences of calls and shrinks those that fail, for the tests of package model.
	pgregory.net/rapid v1.3.0
)

require (
	// A router that the handler is mounted in, for docs/routers.md.
	github.com/gin-gonic/gin v1.12.0
	// Another router.
	github.com/go-chi/chi/v5 v5.5.0
	// Another router. v4.16.4 needs Go 1.26.
	github.com/labstack/echo/v4 v4.15.1
)

require (
	filippo.io/edwards25519 v1.2.0 // indirect
	github.com/bytedance/gopkg v0.1.3 // indirect
	github.com/bytedance/sonic v1.15.0 // indirect
	github.com/bytedance/sonic/loader v0.5.0 // indirect
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/cloudwego/base64x v0.1.6 // indirect
	github.com/dustin/go-humanize v1.0.1 // indirect
	github.com/gabriel-vasile/mimetype v1.4.12 // indirect
	github.com/gin-contrib/sse v1.1.0 // indirect
	github.com/go-json-experiment/json v0.0.0-20260213210345-44df1a37e875 // indirect
	github.com/go-playground/locales v0.14.1 // indirect
	github.com/go-playground/universal-translator v0.18.1 // indirect
	github.com/go-playground/validator/v10 v10.30.1 // indirect
	github.com/goccy/go-json v0.10.5 // indirect
	github.com/goccy/go-yaml v1.19.2 // indirect
	github.com/google/uuid v1.6.0 // indirect
	github.com/jackc/pgpassfile v1.0.0 // indirect
	github.com/jackc/pgservicefile v0.0.0-20240606120523-5a60cdf6a761 // indirect
	github.com/jackc/puddle/v2 v2.2.3 // indirect
	github.com/json-iterator/go v1.1.12 // indirect
	github.com/klauspost/cpuid/v2 v2.3.0 // indirect
	github.com/labstack/gommon v0.4.2 // indirect
	github.com/leodido/go-urn v1.4.0 // indirect
	github.com/mattn/go-colorable v0.1.14 // indirect
	github.com/mattn/go-isatty v0.0.20 // indirect
	github.com/modern-go/concurrent v0.0.0-20180306012644-bacd9c7ef1dd // indirect
	github.com/modern-go/reflect2 v1.0.2 // indirect
	github.com/ncruces/go-sqlite3-wasm/v3 v3.1.35302 // indirect
	github.com/ncruces/go-strftime v1.0.0 // indirect
	github.com/ncruces/julianday v1.0.0 // indirect
	github.com/pelletier/go-toml/v2 v2.2.4 // indirect
	github.com/quic-go/qpack v0.6.0 // indirect
	github.com/quic-go/quic-go v0.59.0 // indirect
	github.com/remyoudompheng/bigfft v0.0.0-20230129092748-24d4a6f8daec // indirect
	github.com/twitchyliquid64/golang-asm v0.15.1 // indirect
	github.com/ugorji/go/codec v1.3.1 // indirect
	github.com/valyala/bytebufferpool v1.0.0 // indirect
	github.com/valyala/fasttemplate v1.2.2 // indirect
	go.mongodb.org/mongo-driver/v2 v2.5.0 // indirect
	go.uber.org/atomic v1.11.0 // indirect
	golang.org/x/arch v0.22.0 // indirect
	golang.org/x/crypto v0.53.0 // indirect
	golang.org/x/net v0.55.0 // indirect
	golang.org/x/sync v0.22.0 // indirect
	golang.org/x/sys v0.46.0 // indirect
	golang.org/x/text v0.41.0 // indirect
	google.golang.org/protobuf v1.36.10 // indirect
	modernc.org/libc v1.74.1 // indirect
	modernc.org/mathutil v1.7.1 // indirect
	modernc.org/memory v1.11.0 // indirect
)

replace (
	github.com/msgdelivery/delivery => ../../
	github.com/msgdelivery/delivery/redisadapter => ../../redisadapter
)

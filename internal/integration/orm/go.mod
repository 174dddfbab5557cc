module github.com/msgdelivery/delivery/internal/integration/orm

go 1.25.0

require (
	// An entity framework: its driver, without the code that it generates.
	entgo.io/ent v0.14.5
	// A builder of statements.
	github.com/Masterminds/squirrel v1.5.4
	// A builder of statements.
	github.com/doug-martin/goqu/v9 v9.19.0
	// An ORM. 6.4.0 is the last version that builds with Go 1.25.
	github.com/gobuffalo/pop/v6 v6.4.0
	// The Postgres driver whose pool is lent to database/sql.
	github.com/jackc/pgx/v5 v5.12.0
	// Extensions of database/sql.
	github.com/jmoiron/sqlx v1.4.0
	// What is tested.
	github.com/msgdelivery/delivery v0.0.0
	// The engines.
	github.com/msgdelivery/delivery/internal/integration v0.0.0
	// A data access layer. The proxy serves this version only if asked for it by name.
	github.com/upper/db/v4 v4.10.0
	// An ORM.
	github.com/uptrace/bun v1.2.18
	// bun's MariaDB dialect.
	github.com/uptrace/bun/dialect/mysqldialect v1.2.18
	// bun's Postgres dialect.
	github.com/uptrace/bun/dialect/pgdialect v1.2.18
	// bun's SQLite dialect.
	github.com/uptrace/bun/dialect/sqlitedialect v1.2.18
	// gorm's MariaDB dialect.
	gorm.io/driver/mysql v1.6.0
	// gorm's Postgres dialect.
	gorm.io/driver/postgres v1.6.3
	// gorm's SQLite dialect, which gets a pool of modernc.org/sqlite.
	gorm.io/driver/sqlite v1.6.0
	// An ORM.
	gorm.io/gorm v1.31.2
	// An ORM.
	xorm.io/xorm v1.4.3
)

require (
	filippo.io/edwards25519 v1.2.0 // indirect
	github.com/Masterminds/semver/v3 v3.4.0 // indirect
	github.com/aymerick/douceur v0.2.0 // indirect
	github.com/dustin/go-humanize v1.0.1 // indirect
	github.com/fatih/color v1.19.0 // indirect
	github.com/fatih/structs v1.1.0 // indirect
	github.com/glebarez/go-sqlite v1.23.0 // indirect
	github.com/go-sql-driver/mysql v1.10.1 // indirect
	github.com/gobuffalo/envy v1.10.2 // indirect
	github.com/gobuffalo/fizz v1.14.4 // indirect
	github.com/gobuffalo/flect v1.0.3 // indirect
	github.com/gobuffalo/github_flavored_markdown v1.1.4 // indirect
	github.com/gobuffalo/helpers v0.6.10 // indirect
	github.com/gobuffalo/nulls v0.4.2 // indirect
	github.com/gobuffalo/plush/v4 v4.1.22 // indirect
	github.com/gobuffalo/plush/v5 v5.0.4 // indirect
	github.com/gobuffalo/tags/v3 v3.1.4 // indirect
	github.com/gobuffalo/validate/v3 v3.3.3 // indirect
	github.com/goccy/go-json v0.10.5 // indirect
	github.com/gofrs/uuid v4.4.0+incompatible // indirect
	github.com/golang/snappy v0.0.4 // indirect
	github.com/google/uuid v1.6.0 // indirect
	github.com/gorilla/css v1.0.1 // indirect
	github.com/jackc/pgio v1.0.0 // indirect
	github.com/jackc/pgpassfile v1.0.0 // indirect
	github.com/jackc/pgservicefile v0.0.0-20240606120523-5a60cdf6a761 // indirect
	github.com/jackc/pgtype v1.14.4 // indirect
	github.com/jackc/puddle/v2 v2.2.3 // indirect
	github.com/jinzhu/inflection v1.0.0 // indirect
	github.com/jinzhu/now v1.1.5 // indirect
	github.com/joho/godotenv v1.5.1 // indirect
	github.com/kballard/go-shellquote v0.0.0-20180428030007-95032a82bc51 // indirect
	github.com/lann/builder v0.0.0-20180802200727-47ae307949d0 // indirect
	github.com/lann/ps v0.0.0-20150810152359-62de8c46ede0 // indirect
	github.com/lib/pq v1.12.3 // indirect
	github.com/luna-duclos/instrumentedsql v1.1.3 // indirect
	github.com/mattn/go-colorable v0.1.14 // indirect
	github.com/mattn/go-isatty v0.0.20 // indirect
	github.com/mattn/go-sqlite3 v1.14.53 // indirect
	github.com/microcosm-cc/bluemonday v1.0.27 // indirect
	github.com/ncruces/go-sqlite3 v0.35.0 // indirect
	github.com/ncruces/go-sqlite3-wasm/v3 v3.1.35302 // indirect
	github.com/ncruces/go-strftime v1.0.0 // indirect
	github.com/ncruces/julianday v1.0.0 // indirect
	github.com/puzpuzpuz/xsync/v3 v3.5.1 // indirect
	github.com/remyoudompheng/bigfft v0.0.0-20230129092748-24d4a6f8daec // indirect
	github.com/rogpeppe/go-internal v1.14.1 // indirect
	github.com/segmentio/fasthash v1.0.3 // indirect
	github.com/sergi/go-diff v1.4.0 // indirect
	github.com/sourcegraph/annotate v0.0.0-20160123013949-f4cad6c6324d // indirect
	github.com/sourcegraph/syntaxhighlight v0.0.0-20170531221838-bd320f5d308e // indirect
	github.com/syndtr/goleveldb v1.0.0 // indirect
	github.com/tmthrgd/go-hex v0.0.0-20190904060850-447a3041c3bc // indirect
	github.com/vmihailenco/msgpack/v5 v5.4.1 // indirect
	github.com/vmihailenco/tagparser/v2 v2.0.0 // indirect
	golang.org/x/mod v0.38.0 // indirect
	golang.org/x/net v0.55.0 // indirect
	golang.org/x/sync v0.22.0 // indirect
	golang.org/x/sys v0.46.0 // indirect
	golang.org/x/text v0.41.0 // indirect
	gopkg.in/yaml.v2 v2.4.0 // indirect
	modernc.org/libc v1.74.1 // indirect
	modernc.org/mathutil v1.7.1 // indirect
	modernc.org/memory v1.11.0 // indirect
	modernc.org/sqlite v1.55.0 // indirect
	xorm.io/builder v0.3.13 // indirect
)

// A database driver that only xorm's own tests need.
exclude gitee.com/travelliu/dm v1.8.11192

replace github.com/msgdelivery/delivery => ../../../

replace github.com/msgdelivery/delivery/internal/integration => ../

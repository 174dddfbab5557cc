-- +goose Up
-- Times are microseconds since 1970. Text is compared byte for byte, as is SQLite's way.
-- The migration for Postgres says what each table has.

CREATE TABLE IF NOT EXISTS delivery_migrations (
	version    INTEGER PRIMARY KEY,
	applied_at INTEGER NOT NULL
);

CREATE TABLE delivery_conversations (
	conv      INTEGER PRIMARY KEY AUTOINCREMENT,
	id        TEXT NOT NULL UNIQUE,
	version   INTEGER NOT NULL,
	floor     INTEGER NOT NULL DEFAULT 0,
	compacted INTEGER NOT NULL DEFAULT 0,
	drops     INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE delivery_readers (
	reader        INTEGER PRIMARY KEY AUTOINCREMENT,
	conv          INTEGER NOT NULL,
	name          TEXT NOT NULL,
	delivered_seq INTEGER NOT NULL,
	read_seq      INTEGER NOT NULL,
	own_delivered INTEGER NOT NULL DEFAULT 0,
	badge         INTEGER NOT NULL DEFAULT 0,
	flag          INTEGER NOT NULL DEFAULT 0,
	rev           INTEGER NOT NULL DEFAULT 0,
	UNIQUE (conv, name)
);

CREATE INDEX delivery_readers_name ON delivery_readers (name, conv);

CREATE TABLE delivery_rosters (
	roster    INTEGER PRIMARY KEY AUTOINCREMENT,
	conv      INTEGER NOT NULL,
	name      TEXT NOT NULL,
	size      INTEGER NOT NULL,
	tracked   INTEGER NOT NULL,
	readers   INTEGER NOT NULL,
	UNIQUE (conv, name)
);

CREATE TABLE delivery_members (
	roster INTEGER NOT NULL,
	reader INTEGER NOT NULL,
	cap    INTEGER NOT NULL DEFAULT 3 CHECK (cap BETWEEN 1 AND 3),
	PRIMARY KEY (roster, reader)
) WITHOUT ROWID;

CREATE TABLE delivery_messages (
	conv       INTEGER NOT NULL,
	seq        INTEGER NOT NULL,
	id         TEXT NOT NULL UNIQUE,
	sender     INTEGER,
	body       TEXT NOT NULL,
	roster     INTEGER,
	recipients INTEGER NOT NULL DEFAULT 0,
	total      INTEGER NOT NULL,
	readers    INTEGER NOT NULL DEFAULT 0,
	quorum     INTEGER NOT NULL,
	sent_at    INTEGER NOT NULL,
	stored_at  INTEGER NOT NULL,
	PRIMARY KEY (conv, seq)
) WITHOUT ROWID;

CREATE INDEX delivery_messages_roster ON delivery_messages (roster) WHERE roster IS NOT NULL;

CREATE INDEX delivery_messages_stored ON delivery_messages (stored_at);

CREATE TABLE delivery_states (
	conv            INTEGER NOT NULL,
	seq             INTEGER NOT NULL,
	version         INTEGER NOT NULL,
	status          INTEGER NOT NULL CHECK (status BETWEEN 0 AND 3),
	delivered_count INTEGER NOT NULL,
	read_count      INTEGER NOT NULL,
	delivered_at    INTEGER,
	read_at         INTEGER,
	failed          INTEGER NOT NULL DEFAULT 0,
	PRIMARY KEY (conv, seq)
) WITHOUT ROWID;

CREATE UNIQUE INDEX delivery_states_version ON delivery_states (conv, version);

CREATE TABLE delivery_receipts (
	conv         INTEGER NOT NULL,
	seq          INTEGER NOT NULL,
	reader       INTEGER NOT NULL,
	status       INTEGER NOT NULL CHECK (status BETWEEN 1 AND 3),
	version      INTEGER NOT NULL,
	delivered_at INTEGER,
	read_at      INTEGER,
	PRIMARY KEY (conv, seq, reader)
) WITHOUT ROWID;

CREATE TABLE delivery_failures (
	conv    INTEGER NOT NULL,
	seq     INTEGER NOT NULL,
	reader  INTEGER NOT NULL,
	version INTEGER NOT NULL,
	code    TEXT NOT NULL,
	PRIMARY KEY (conv, seq, reader)
) WITHOUT ROWID;

CREATE TABLE delivery_own (
	reader INTEGER NOT NULL,
	seq    INTEGER NOT NULL,
	status INTEGER NOT NULL CHECK (status BETWEEN 2 AND 3),
	PRIMARY KEY (reader, seq)
) WITHOUT ROWID;

CREATE TABLE delivery_outbox (
	id         INTEGER PRIMARY KEY AUTOINCREMENT,
	ready_at   INTEGER NOT NULL,
	lease      INTEGER NOT NULL,
	attempts   INTEGER NOT NULL,
	created_at INTEGER NOT NULL,
	body_of    TEXT,
	payload    TEXT NOT NULL
);

CREATE INDEX delivery_outbox_ready ON delivery_outbox (ready_at, id, created_at);

CREATE TABLE delivery_dead (
	id       INTEGER PRIMARY KEY,
	attempts INTEGER NOT NULL,
	reason   TEXT NOT NULL,
	at       INTEGER NOT NULL,
	body_of  TEXT,
	payload  TEXT NOT NULL
);

CREATE TABLE delivery_rules (
	rule   INTEGER PRIMARY KEY AUTOINCREMENT,
	name   TEXT NOT NULL,
	status INTEGER NOT NULL CHECK (status BETWEEN 2 AND 3),
	whose  INTEGER NOT NULL CHECK (whose BETWEEN 1 AND 2),
	since  INTEGER NOT NULL,
	head   INTEGER NOT NULL,
	tail   INTEGER NOT NULL,
	UNIQUE (name, status, whose)
);

CREATE TABLE delivery_looked (
	conv   INTEGER NOT NULL,
	rule   INTEGER NOT NULL,
	seq    INTEGER NOT NULL,
	reader INTEGER NOT NULL,
	PRIMARY KEY (conv, rule)
) WITHOUT ROWID;

CREATE TABLE delivery_overdue (
	lease    INTEGER NOT NULL,
	number   INTEGER NOT NULL,
	rule     INTEGER NOT NULL,
	conv     INTEGER NOT NULL,
	seq      INTEGER NOT NULL,
	reader   INTEGER NOT NULL,
	attempts INTEGER NOT NULL,
	ready_at INTEGER NOT NULL,
	PRIMARY KEY (lease, number)
) WITHOUT ROWID;

CREATE INDEX delivery_overdue_ready ON delivery_overdue (rule, ready_at);

CREATE TABLE delivery_hours (
	began_at             INTEGER PRIMARY KEY,
	ready_at             INTEGER NOT NULL,
	made_at              INTEGER NOT NULL DEFAULT 0,
	messages             INTEGER NOT NULL DEFAULT 0,
	messages_delivered   INTEGER NOT NULL DEFAULT 0,
	messages_read        INTEGER NOT NULL DEFAULT 0,
	messages_deleted     INTEGER NOT NULL DEFAULT 0,
	recipients           INTEGER NOT NULL DEFAULT 0,
	recipients_delivered INTEGER NOT NULL DEFAULT 0,
	recipients_read      INTEGER NOT NULL DEFAULT 0,
	to_delivered         TEXT NOT NULL DEFAULT '[]',
	to_read              TEXT NOT NULL DEFAULT '[]'
);

CREATE TABLE delivery_epoch (
	id    INTEGER PRIMARY KEY CHECK (id = 1),
	epoch BIGINT NOT NULL
);

INSERT INTO delivery_epoch (id, epoch) VALUES (1, 1 + abs(random() % 9007199254740990));

INSERT INTO delivery_migrations (version, applied_at) VALUES (1, unixepoch() * 1000000);

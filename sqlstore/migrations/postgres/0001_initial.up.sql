-- +goose Up
-- Ids are compared and sorted byte for byte: collate "C".

CREATE TABLE IF NOT EXISTS delivery_migrations (
	version    INTEGER PRIMARY KEY,
	applied_at TIMESTAMPTZ NOT NULL
);

-- The row of a conversation is locked for every change in it. version counts the changes. Messages up to floor were
-- removed. Messages whose last change has a version up to compacted are compacted. drops counts the rosters that were
-- removed or have lost their keys, the compactions, and the failures that others do not see.
CREATE TABLE delivery_conversations (
	conv      BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	id        TEXT COLLATE "C" NOT NULL UNIQUE,
	version   BIGINT NOT NULL,
	floor     BIGINT NOT NULL DEFAULT 0,
	compacted BIGINT NOT NULL DEFAULT 0,
	drops     BIGINT NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

-- The users of a conversation, by number. A number belongs to one conversation. Up to delivered_seq and read_seq nothing
-- that others see is left to advance: marks up to a message begin there, and receipts up to there need no row. Up to
-- own_delivered and badge the same holds for what the reader alone knows. flag is the message from which the reader has
-- marked the conversation as unread, or 0. rev counts the reader's changes that take no version.
CREATE TABLE delivery_readers (
	reader        BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	conv          BIGINT NOT NULL,
	delivered_seq BIGINT NOT NULL,
	read_seq      BIGINT NOT NULL,
	own_delivered BIGINT NOT NULL DEFAULT 0,
	badge         BIGINT NOT NULL DEFAULT 0,
	flag          BIGINT NOT NULL DEFAULT 0,
	rev           BIGINT NOT NULL DEFAULT 0,
	name          TEXT COLLATE "C" NOT NULL,
	UNIQUE (conv, name)
) WITH (fillfactor = 50);

CREATE INDEX delivery_readers_name ON delivery_readers (name, conv);

-- The sets of users that the conversation's messages were sent to. name is the key of a set. A set never changes, and is
-- removed with its last message. size is the number of members, tracked of those with cap 2 or more, readers of those
-- with cap 3. The cap of a member is the highest status that others may ever see: 1 is untracked, 2 hides reads.
CREATE TABLE delivery_rosters (
	roster    BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	conv      BIGINT NOT NULL,
	size      INTEGER NOT NULL,
	tracked   INTEGER NOT NULL,
	readers   INTEGER NOT NULL,
	name      TEXT COLLATE "C" NOT NULL,
	UNIQUE (conv, name)
);

CREATE TABLE delivery_members (
	roster BIGINT NOT NULL,
	reader BIGINT NOT NULL,
	cap    SMALLINT NOT NULL DEFAULT 3 CHECK (cap BETWEEN 1 AND 3),
	PRIMARY KEY (roster, reader)
);

-- The row of a message changes only when the message is deleted. seq is the version at which it was sent. Its recipients
-- are the roster without the sender. An open message has no roster. A deleted message has no sender, and only its id, seq
-- and version count. total is the number of recipients who are tracked, and readers of those who do not hide reads either.
-- sent_at is by the clock of the app, and stored_at by the clock of the database, in microseconds since 1970, and 0 if the
-- message was imported.
CREATE TABLE delivery_messages (
	conv       BIGINT NOT NULL,
	seq        BIGINT NOT NULL,
	sender     BIGINT,
	roster     BIGINT,
	sent_at    TIMESTAMPTZ NOT NULL,
	stored_at  BIGINT NOT NULL DEFAULT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint,
	recipients INTEGER NOT NULL DEFAULT 0,
	total      INTEGER NOT NULL,
	readers    INTEGER NOT NULL DEFAULT 0,
	quorum     INTEGER NOT NULL,
	id         TEXT COLLATE "C" NOT NULL UNIQUE,
	body       TEXT NOT NULL,
	PRIMARY KEY (conv, seq)
);

CREATE INDEX delivery_messages_roster ON delivery_messages (roster) WHERE roster IS NOT NULL;

CREATE INDEX delivery_messages_stored ON delivery_messages (stored_at);

-- What receipts change of a message, apart from its wide row. A deleted message is at status 1, and its row in
-- delivery_messages has no sender. On MariaDB and SQLite it is at status 0. failed is the number of
-- recipients with a failure that others see.
CREATE TABLE delivery_states (
	conv            BIGINT NOT NULL,
	seq             BIGINT NOT NULL,
	version         BIGINT NOT NULL,
	status          SMALLINT NOT NULL CHECK (status BETWEEN 1 AND 3),
	delivered_count INTEGER NOT NULL,
	read_count      INTEGER NOT NULL,
	delivered_at    TIMESTAMPTZ,
	read_at         TIMESTAMPTZ,
	failed          INTEGER NOT NULL DEFAULT 0,
	PRIMARY KEY (conv, seq)
) WITH (fillfactor = 80);

CREATE UNIQUE INDEX delivery_states_version ON delivery_states (conv, version);

-- The status of a message for each reader who has marked it. A recipient without a row is at sent, or at the status that
-- the reader's delivered_seq and read_seq say. A time is NULL if its status was not reached, if the message was
-- compacted, or if the time was not known to an import.
CREATE TABLE delivery_receipts (
	conv         BIGINT NOT NULL,
	seq          BIGINT NOT NULL,
	reader       BIGINT NOT NULL,
	version      BIGINT NOT NULL,
	status       SMALLINT NOT NULL CHECK (status BETWEEN 2 AND 3),
	delivered_at TIMESTAMPTZ,
	read_at      TIMESTAMPTZ,
	PRIMARY KEY (conv, seq, reader)
) WITH (fillfactor = 50);

-- The last reason for which a message did not reach a recipient. version is the version of the failure, or 0 if others did
-- not see it when it came. Others see the failure as long as the receipt is at sent.
CREATE TABLE delivery_failures (
	conv    BIGINT NOT NULL,
	seq     BIGINT NOT NULL,
	reader  BIGINT NOT NULL,
	version BIGINT NOT NULL,
	code    TEXT COLLATE "C" NOT NULL,
	PRIMARY KEY (conv, seq, reader)
);

-- The own status of a message for a reader, if it is higher than what others see and the reader's own places say. It has
-- no times.
CREATE TABLE delivery_own (
	reader BIGINT NOT NULL,
	seq    BIGINT NOT NULL,
	status SMALLINT NOT NULL CHECK (status BETWEEN 2 AND 3),
	PRIMARY KEY (reader, seq)
);

-- Events that were committed and are not accepted yet. ready_at is when the event is due, or the end of its lease, on the
-- clock of the database. body_of is the id of the message whose body belongs to the event: the body is not copied, so it
-- is deleted with the message. Rows come and go: vacuum often, and keep a large payload out of the row that claims rewrite.
CREATE TABLE delivery_outbox (
	id         BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
	ready_at   TIMESTAMPTZ NOT NULL,
	lease      BIGINT NOT NULL,
	attempts   INTEGER NOT NULL,
	created_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
	body_of    TEXT COLLATE "C",
	payload    TEXT NOT NULL
) WITH (
	autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000,
	toast.autovacuum_vacuum_scale_factor = 0.01, toast.autovacuum_vacuum_threshold = 1000
);

ALTER TABLE delivery_outbox ALTER payload SET STORAGE EXTERNAL;

-- Without the id: Postgres could otherwise use this index to look up ids, and would read all of it for each id.
CREATE INDEX delivery_outbox_ready ON delivery_outbox (ready_at);

-- Dead letters, under the ids that their events had in the outbox.
CREATE TABLE delivery_dead (
	id       BIGINT PRIMARY KEY,
	attempts INTEGER NOT NULL,
	reason   TEXT NOT NULL,
	at       TIMESTAMPTZ NOT NULL,
	body_of  TEXT COLLATE "C",
	payload  TEXT NOT NULL
);

-- Rules that look for overdue recipients. status is what a recipient has to reach. whose says whom the answers are for:
-- 1 the recipient, 2 the sender. A rule looks at messages that were stored after since. head is the time up to which it
-- has looked, and tail the time up to which it has looked again for messages that were committed late. All three are
-- microseconds since 1970, on the clock of the database.
CREATE TABLE delivery_rules (
	rule   BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	name   TEXT COLLATE "C" NOT NULL,
	status SMALLINT NOT NULL CHECK (status BETWEEN 2 AND 3),
	whose  SMALLINT NOT NULL CHECK (whose BETWEEN 1 AND 2),
	since  BIGINT NOT NULL,
	head   BIGINT NOT NULL,
	tail   BIGINT NOT NULL,
	UNIQUE (name, status, whose)
);

-- How far a rule has come in a conversation: to the message seq, and if reader is not 0, to that recipient of it.
CREATE TABLE delivery_looked (
	conv   BIGINT NOT NULL,
	rule   BIGINT NOT NULL,
	seq    BIGINT NOT NULL,
	reader BIGINT NOT NULL,
	PRIMARY KEY (conv, rule)
);

-- Overdue recipients that the app has not settled. ready_at is the end of the lease, in microseconds since 1970 on the clock
-- of the database. number is the number of the recipient in the call that leased it.
CREATE TABLE delivery_overdue (
	lease    BIGINT NOT NULL,
	number   INTEGER NOT NULL,
	rule     BIGINT NOT NULL,
	conv     BIGINT NOT NULL,
	seq      BIGINT NOT NULL,
	reader   BIGINT NOT NULL,
	attempts INTEGER NOT NULL,
	ready_at BIGINT NOT NULL,
	PRIMARY KEY (lease, number)
);

CREATE INDEX delivery_overdue_ready ON delivery_overdue (rule, ready_at);

-- What has become of the messages that were stored in one hour of the clock, as others may see it. made_at is when they
-- were counted, or 0. ready_at is when they are counted again, and while a process counts them the end of its lease.
-- These times are microseconds since 1970, on the clock of the database. to_delivered and to_read count messages by how
-- long it took: up to 1 s, 5 s, 30 s, 1 min, 5 min, 30 min, 2 h, 8 h and 1 day, and longer.
CREATE TABLE delivery_hours (
	began_at             BIGINT PRIMARY KEY,
	ready_at             BIGINT NOT NULL,
	made_at              BIGINT NOT NULL DEFAULT 0,
	messages             BIGINT NOT NULL DEFAULT 0,
	messages_delivered   BIGINT NOT NULL DEFAULT 0,
	messages_read        BIGINT NOT NULL DEFAULT 0,
	messages_deleted     BIGINT NOT NULL DEFAULT 0,
	recipients           BIGINT NOT NULL DEFAULT 0,
	recipients_delivered BIGINT NOT NULL DEFAULT 0,
	recipients_read      BIGINT NOT NULL DEFAULT 0,
	to_delivered         TEXT NOT NULL DEFAULT '[]',
	to_read              TEXT NOT NULL DEFAULT '[]'
);

-- One row: a number that clients send back, and that changes when the database was restored.
CREATE TABLE delivery_epoch (
	id    SMALLINT PRIMARY KEY CHECK (id = 1),
	epoch BIGINT NOT NULL
);

INSERT INTO delivery_epoch (id, epoch) VALUES (1, 1 + (random() * 9007199254740990)::bigint);

INSERT INTO delivery_migrations (version, applied_at) VALUES (1, now());

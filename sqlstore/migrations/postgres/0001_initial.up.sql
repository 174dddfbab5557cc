-- +goose Up
-- Ids are compared and sorted byte for byte: collate "C".

CREATE TABLE IF NOT EXISTS delivery_migrations (
	version    INTEGER PRIMARY KEY,
	applied_at TIMESTAMPTZ NOT NULL
);

-- A conversation's row is the lock of all that changes in it, and its version counts the changes. Its messages up to the
-- floor are gone. Those whose last change is up to the version compacted were compacted. drops counts the rosters that are
-- gone, or have lost their keys, the compactions, and the failures that others do not see.
CREATE TABLE delivery_conversations (
	conv      BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	id        TEXT COLLATE "C" NOT NULL UNIQUE,
	version   BIGINT NOT NULL,
	floor     BIGINT NOT NULL DEFAULT 0,
	compacted BIGINT NOT NULL DEFAULT 0,
	drops     BIGINT NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

-- The users of a conversation, by number. A number belongs to one conversation. Up to delivered_seq and read_seq nothing
-- is left to show of the reader: marks up to a message look only at what is new, and a receipt there needs no row. Up to
-- own_delivered and badge the reader has done all, whether others may see it or not. flag is the message from which on the reader has marked the
-- conversation as unread, or 0. rev counts the reader's changes that take no version.
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

-- The sets of users that a conversation's messages were sent to, by the key of each. They never change. A member's cap is
-- the highest status of it that others may ever see. Members at cap 1 are untracked, those at cap 2 hide that they read.
-- size is the number of members, tracked the number with cap 2 or more, readers the number with cap 3. A roster is gone with its
-- last message.
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

-- A message's row changes only if it is deleted. Its place in the conversation (seq) is the version it was sent at. Its recipients
-- are the roster without the sender. An open message has no roster. A deleted message has no sender: of such a row, only
-- the id, the place and the version count. Of a message's recipients, total are tracked, and readers of these do not hide
-- that they read. sent_at is by the clock of the app. stored_at is by the clock of the database, in microseconds since
-- 1970.
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

-- The state of a message, which its receipts change, is apart from its wide row. failed counts the recipients with
-- a failure that others see.
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

-- How far a message has come with those who have marked it. A recipient without a row is where the message was sent, or
-- as far as delivered_seq and read_seq say. A time is NULL if its status was not reached, or if the message was compacted.
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

-- Why a message did not reach a recipient, as the app has said it last. version is the one that the failure took: others
-- see it as long as the recipient is where the message was sent. It is 0 if others did not see the failure when it came.
CREATE TABLE delivery_failures (
	conv    BIGINT NOT NULL,
	seq     BIGINT NOT NULL,
	reader  BIGINT NOT NULL,
	version BIGINT NOT NULL,
	code    TEXT COLLATE "C" NOT NULL,
	PRIMARY KEY (conv, seq, reader)
);

-- How far a message has come to the reader's own knowledge, where that is more than others may see and beyond the
-- reader's own places. No time is kept of it.
CREATE TABLE delivery_own (
	reader BIGINT NOT NULL,
	seq    BIGINT NOT NULL,
	status SMALLINT NOT NULL CHECK (status BETWEEN 2 AND 3),
	PRIMARY KEY (reader, seq)
);

-- Events that were committed and not accepted yet. ready_at is the schedule and the end of the lease in one, on the
-- clock of the database. body_of is the id of the message whose body belongs to the event, if it is told: the body is the
-- message's own, so that it is gone with it. Rows come and go: vacuum often, and keep a large payload out of the row that
-- claims rewrite.
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

CREATE INDEX delivery_outbox_ready ON delivery_outbox (ready_at, id);

-- Events that can never be accepted, under the ids they had in the outbox.
CREATE TABLE delivery_dead (
	id       BIGINT PRIMARY KEY,
	attempts INTEGER NOT NULL,
	reason   TEXT NOT NULL,
	at       TIMESTAMPTZ NOT NULL,
	body_of  TEXT COLLATE "C",
	payload  TEXT NOT NULL
);

-- Rules that look for overdue recipients. A recipient is to reach status. The rule is whose: 1 the recipient's, 2 the sender's.
-- It looks at messages that were stored after since. It has come to head, and looks again behind it, for what was committed
-- late: there it has come to tail. All three are microseconds since 1970, on the clock of the database.
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

-- How far a rule has come in a conversation: to the message seq, and if reader is not 0, only up to that recipient of it.
CREATE TABLE delivery_looked (
	conv   BIGINT NOT NULL,
	rule   BIGINT NOT NULL,
	seq    BIGINT NOT NULL,
	reader BIGINT NOT NULL,
	PRIMARY KEY (conv, rule)
);

-- Overdue recipients that the app has not settled. ready_at is the end of the lease, in microseconds since 1970 on the clock
-- of the database. number tells apart what one call has leased.
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

-- What has become of the messages that were stored within an hour, as others may see it. made_at is when they were counted,
-- or 0. ready_at is when they are to be counted again, and the end of the lease of a process that is counting. All three times are
-- microseconds since 1970, on the clock of the database. to_delivered and to_read count messages by how long it took: up to 1 s,
-- 5 s, 30 s, 1 min, 5 min, 30 min, 2 h, 8 h and 1 day, and longer.
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

-- One row: a number that clients hand back, and that changes when the database was restored.
CREATE TABLE delivery_epoch (
	id    SMALLINT PRIMARY KEY CHECK (id = 1),
	epoch BIGINT NOT NULL
);

INSERT INTO delivery_epoch (id, epoch) VALUES (1, 1 + (random() * 9007199254740990)::bigint);

INSERT INTO delivery_migrations (version, applied_at) VALUES (1, now());

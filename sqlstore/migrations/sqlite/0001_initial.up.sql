-- +goose Up
-- Times are microseconds since 1970. Text is compared byte for byte, as is SQLite's way.

CREATE TABLE IF NOT EXISTS delivery_migrations (
	version    INTEGER PRIMARY KEY,
	applied_at INTEGER NOT NULL
);

-- A conversation's version counts the changes in it. Its messages up to the floor are gone. Those whose last change is up
-- to the version compacted were compacted. drops counts the rosters that are gone, or have lost their keys, the
-- compactions, and the failures that others do not see.
CREATE TABLE delivery_conversations (
	conv      INTEGER PRIMARY KEY AUTOINCREMENT,
	id        TEXT NOT NULL UNIQUE,
	version   INTEGER NOT NULL,
	floor     INTEGER NOT NULL DEFAULT 0,
	compacted INTEGER NOT NULL DEFAULT 0,
	drops     INTEGER NOT NULL DEFAULT 0
);

-- Who has sent, may receive or has marked in a conversation: a name has a number of its own in each. Up to delivered_seq
-- and read_seq nothing is left to show of the reader, so that marks up to a message look only at what is new, and a
-- receipt there needs no row. Up to own_delivered and badge the reader has done all, whether others may see it or not. flag is the message from which on
-- the reader has marked the conversation as unread, or 0. rev counts the reader's changes that take no version.
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

-- The sets of readers that a conversation's messages are for, by their keys. None ever changes. A member's cap is
-- the highest status of it that others may ever see. Members at cap 1 are untracked, those at cap 2 hide that they read.
-- size is the number of members, tracked the number with cap 2 or more, readers the number with cap 3. A roster is gone with its
-- last message.
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

-- A message's row changes only if it is deleted. Its place in the conversation (seq) is the version it was sent at. Its recipients
-- are its roster without its sender. A message without a roster is open. A deleted message has no sender: of such a row,
-- only the id, the place and the version count. Of a message's recipients, total are tracked, and readers of these do not
-- hide that they read. sent_at is by the clock of the app. stored_at is by the clock of the database, in microseconds since
-- 1970.
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

-- The state of a message, which its receipts change, is apart from its wide row. A deleted message is at status 0. failed
-- counts the recipients with a failure that others see.
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

-- How far a message has come with each reader who has marked it. A recipient without a row is at the first status, or as
-- far as delivered_seq and read_seq say, at the version of the sending. A time is NULL if its status was not reached, or
-- if the message was compacted.
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

-- Why a message did not reach a recipient, as the app has said it last. version is the one that the failure took: others
-- see it as long as the recipient is where the message was sent. It is 0 if others did not see the failure when it came.
CREATE TABLE delivery_failures (
	conv    INTEGER NOT NULL,
	seq     INTEGER NOT NULL,
	reader  INTEGER NOT NULL,
	version INTEGER NOT NULL,
	code    TEXT NOT NULL,
	PRIMARY KEY (conv, seq, reader)
) WITHOUT ROWID;

-- How far a message has come to the reader's own knowledge, where that is more than others may see and beyond the
-- reader's own places. No time is kept of it.
CREATE TABLE delivery_own (
	reader INTEGER NOT NULL,
	seq    INTEGER NOT NULL,
	status INTEGER NOT NULL CHECK (status BETWEEN 2 AND 3),
	PRIMARY KEY (reader, seq)
) WITHOUT ROWID;

-- Events that were committed and not accepted yet. ready_at is the schedule and the end of the lease in one, on the
-- clock of the database. body_of is the id of the message whose body belongs to the event, if it is told: the body is the
-- message's own, so that it is gone with it.
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

-- Events that can never be accepted, under the ids they had in the outbox.
CREATE TABLE delivery_dead (
	id       INTEGER PRIMARY KEY,
	attempts INTEGER NOT NULL,
	reason   TEXT NOT NULL,
	at       INTEGER NOT NULL,
	body_of  TEXT,
	payload  TEXT NOT NULL
);

-- Rules that look for overdue recipients. A recipient is to reach status. The rule is whose: 1 the recipient's, 2 the sender's.
-- It looks at messages that were stored after since. It has come to head, and looks again behind it, for what was committed
-- late: there it has come to tail. All three are microseconds since 1970, on the clock of the database.
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

-- How far a rule has come in a conversation: to the message seq, and if reader is not 0, only up to that recipient of it.
CREATE TABLE delivery_looked (
	conv   INTEGER NOT NULL,
	rule   INTEGER NOT NULL,
	seq    INTEGER NOT NULL,
	reader INTEGER NOT NULL,
	PRIMARY KEY (conv, rule)
) WITHOUT ROWID;

-- Overdue recipients that the app has not settled. ready_at is the end of the lease, in microseconds since 1970 on the clock
-- of the database. number tells apart what one call has leased.
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

-- What has become of the messages that were stored within an hour, as others may see it. made_at is when they were counted,
-- or 0. ready_at is when they are to be counted again, and the end of the lease of a process that is counting. All three times are
-- microseconds since 1970, on the clock of the database. to_delivered and to_read count messages by how long it took: up to 1 s,
-- 5 s, 30 s, 1 min, 5 min, 30 min, 2 h, 8 h and 1 day, and longer.
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

-- One row: a number that clients hand back, and that changes when the database was restored.
CREATE TABLE delivery_epoch (
	id    INTEGER PRIMARY KEY CHECK (id = 1),
	epoch BIGINT NOT NULL
);

INSERT INTO delivery_epoch (id, epoch) VALUES (1, 1 + abs(random() % 9007199254740990));

INSERT INTO delivery_migrations (version, applied_at) VALUES (1, unixepoch() * 1000000);

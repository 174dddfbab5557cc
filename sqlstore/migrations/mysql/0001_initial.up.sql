-- +goose Up
-- Ids are VARBINARY: compared byte for byte, trailing spaces included. Times are microseconds since 1970.
-- Every CREATE commits by itself, so each must be harmless to repeat after a crash halfway.

CREATE TABLE IF NOT EXISTS delivery_migrations (
	version    INT NOT NULL PRIMARY KEY,
	applied_at BIGINT NOT NULL
) ENGINE=InnoDB;

-- A conversation's row is the lock of all that changes in it, and its version counts the changes. Its messages up to the
-- floor are gone. Those whose last change is up to the version compacted were compacted. drops counts the rosters that are
-- gone, or have lost their keys, the compactions, and the failures that others do not see.
CREATE TABLE IF NOT EXISTS delivery_conversations (
	conv      BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
	id        VARBINARY(128) NOT NULL,
	version   BIGINT NOT NULL,
	floor     BIGINT NOT NULL DEFAULT 0,
	compacted BIGINT NOT NULL DEFAULT 0,
	drops     BIGINT NOT NULL DEFAULT 0,
	UNIQUE KEY delivery_conversations_id (id)
) ENGINE=InnoDB;

-- Who has sent, may receive or has marked in a conversation: a name has a number of its own in each. Up to delivered_seq
-- and read_seq nothing is left to show of the reader, so that marks up to a message look only at what is new, and a
-- receipt there needs no row. Up to own_delivered and badge the reader has done all, whether others may see it or not. flag is the message from which on
-- the reader has marked the conversation as unread, or 0. rev counts the reader's changes that take no version.
--
-- The names come first in the primary key, since an INSERT that finds its row there locks no gap between rows.
CREATE TABLE IF NOT EXISTS delivery_readers (
	conv          BIGINT NOT NULL,
	name          VARBINARY(160) NOT NULL,
	reader        BIGINT NOT NULL AUTO_INCREMENT,
	delivered_seq BIGINT NOT NULL,
	read_seq      BIGINT NOT NULL,
	own_delivered BIGINT NOT NULL DEFAULT 0,
	badge         BIGINT NOT NULL DEFAULT 0,
	flag          BIGINT NOT NULL DEFAULT 0,
	rev           BIGINT NOT NULL DEFAULT 0,
	PRIMARY KEY (conv, name),
	UNIQUE KEY delivery_readers_reader (reader),
	KEY delivery_readers_name (name, conv)
) ENGINE=InnoDB;

-- The sets of readers that a conversation's messages are for, by their keys. None ever changes. A member's cap is
-- the highest status of it that others may ever see. Members at cap 1 are untracked, those at cap 2 hide that they read.
-- size is the number of members, tracked the number with cap 2 or more, readers the number with cap 3. A roster is gone with its
-- last message.
CREATE TABLE IF NOT EXISTS delivery_rosters (
	conv      BIGINT NOT NULL,
	name      VARBINARY(160) NOT NULL,
	roster    BIGINT NOT NULL AUTO_INCREMENT,
	size      INT NOT NULL,
	tracked   INT NOT NULL,
	readers   INT NOT NULL,
	PRIMARY KEY (conv, name),
	UNIQUE KEY delivery_rosters_roster (roster)
) ENGINE=InnoDB;

CREATE TABLE IF NOT EXISTS delivery_members (
	roster BIGINT NOT NULL,
	reader BIGINT NOT NULL,
	cap    TINYINT NOT NULL DEFAULT 3 CHECK (cap BETWEEN 1 AND 3),
	PRIMARY KEY (roster, reader)
) ENGINE=InnoDB;

-- A message's row changes only if it is deleted. Its place in the conversation (seq) is the version it was sent at. Its recipients
-- are its roster without its sender. A message without a roster is open. A deleted message has no sender: of such a row,
-- only the id, the place and the version count. Of a message's recipients, total are tracked, and readers of these do not
-- hide that they read. sent_at is by the clock of the app. stored_at is by the clock of the database, in microseconds since
-- 1970.
CREATE TABLE IF NOT EXISTS delivery_messages (
	conv       BIGINT NOT NULL,
	seq        BIGINT NOT NULL,
	id         VARBINARY(128) NOT NULL,
	sender     BIGINT,
	body       MEDIUMTEXT CHARACTER SET utf8mb4 NOT NULL,
	roster     BIGINT,
	recipients INT NOT NULL DEFAULT 0,
	total      INT NOT NULL,
	readers    INT NOT NULL DEFAULT 0,
	quorum     INT NOT NULL,
	sent_at    BIGINT NOT NULL,
	stored_at  BIGINT NOT NULL,
	PRIMARY KEY (conv, seq),
	UNIQUE KEY delivery_messages_id (id),
	KEY delivery_messages_roster (roster),
	KEY delivery_messages_stored (stored_at)
) ENGINE=InnoDB;

-- The state of a message, which its receipts change, is apart from its wide row. A deleted message is at status 0. failed
-- counts the recipients with a failure that others see.
CREATE TABLE IF NOT EXISTS delivery_states (
	conv            BIGINT NOT NULL,
	seq             BIGINT NOT NULL,
	version         BIGINT NOT NULL,
	status          TINYINT NOT NULL CHECK (status BETWEEN 0 AND 3),
	delivered_count INT NOT NULL,
	read_count      INT NOT NULL,
	delivered_at    BIGINT,
	read_at         BIGINT,
	failed          INT NOT NULL DEFAULT 0,
	PRIMARY KEY (conv, seq),
	UNIQUE KEY delivery_states_version (conv, version)
) ENGINE=InnoDB;

-- How far a message has come with each reader who has marked it. A recipient without a row is at the first status, or as
-- far as delivered_seq and read_seq say, at the version of the sending. A row at version 0 is none yet. A time is NULL if
-- its status was not reached, or if the message was compacted.
CREATE TABLE IF NOT EXISTS delivery_receipts (
	conv         BIGINT NOT NULL,
	seq          BIGINT NOT NULL,
	reader       BIGINT NOT NULL,
	status       TINYINT NOT NULL CHECK (status BETWEEN 1 AND 3),
	version      BIGINT NOT NULL,
	delivered_at BIGINT,
	read_at      BIGINT,
	PRIMARY KEY (conv, seq, reader)
) ENGINE=InnoDB;

-- Why a message did not reach a recipient, as the app has said it last. version is the one that the failure took: others
-- see it as long as the recipient is where the message was sent. It is 0 if others did not see the failure when it came.
CREATE TABLE IF NOT EXISTS delivery_failures (
	conv    BIGINT NOT NULL,
	seq     BIGINT NOT NULL,
	reader  BIGINT NOT NULL,
	version BIGINT NOT NULL,
	code    VARBINARY(64) NOT NULL,
	PRIMARY KEY (conv, seq, reader)
) ENGINE=InnoDB;

-- How far a message has come to the reader's own knowledge, where that is more than others may see and beyond the
-- reader's own places. No time is kept of it.
CREATE TABLE IF NOT EXISTS delivery_own (
	reader BIGINT NOT NULL,
	seq    BIGINT NOT NULL,
	status TINYINT NOT NULL CHECK (status BETWEEN 2 AND 3),
	PRIMARY KEY (reader, seq)
) ENGINE=InnoDB;

-- Events that were committed and not accepted yet. ready_at is the schedule and the end of the lease in one, on the
-- clock of the database. body_of is the id of the message whose body belongs to the event, if it is told: the body is the
-- message's own, so that it is gone with it.
CREATE TABLE IF NOT EXISTS delivery_outbox (
	id         BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
	ready_at   BIGINT NOT NULL,
	lease      BIGINT NOT NULL,
	attempts   INT NOT NULL,
	created_at BIGINT NOT NULL,
	body_of    VARBINARY(128),
	payload    MEDIUMTEXT CHARACTER SET utf8mb4 NOT NULL,
	KEY delivery_outbox_ready (ready_at, id, created_at)
) ENGINE=InnoDB;

-- Events that can never be accepted, under the ids they had in the outbox.
CREATE TABLE IF NOT EXISTS delivery_dead (
	id       BIGINT NOT NULL PRIMARY KEY,
	attempts INT NOT NULL,
	reason   MEDIUMTEXT CHARACTER SET utf8mb4 NOT NULL,
	at       BIGINT NOT NULL,
	body_of  VARBINARY(128),
	payload  MEDIUMTEXT CHARACTER SET utf8mb4 NOT NULL
) ENGINE=InnoDB;

-- Rules that look for overdue recipients. A recipient is to reach status. The rule is whose: 1 the recipient's, 2 the sender's.
-- It looks at messages that were stored after since. It has come to head, and looks again behind it, for what was committed
-- late: there it has come to tail. All three are microseconds since 1970, on the clock of the database.
CREATE TABLE IF NOT EXISTS delivery_rules (
	rule   BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
	name   VARBINARY(128) NOT NULL,
	status TINYINT NOT NULL CHECK (status BETWEEN 2 AND 3),
	whose  TINYINT NOT NULL CHECK (whose BETWEEN 1 AND 2),
	since  BIGINT NOT NULL,
	head   BIGINT NOT NULL,
	tail   BIGINT NOT NULL,
	UNIQUE KEY delivery_rules_name (name, status, whose)
) ENGINE=InnoDB;

-- How far a rule has come in a conversation: to the message seq, and if reader is not 0, only up to that recipient of it.
CREATE TABLE IF NOT EXISTS delivery_looked (
	conv   BIGINT NOT NULL,
	rule   BIGINT NOT NULL,
	seq    BIGINT NOT NULL,
	reader BIGINT NOT NULL,
	PRIMARY KEY (conv, rule)
) ENGINE=InnoDB;

-- Overdue recipients that the app has not settled. ready_at is the end of the lease, in microseconds since 1970 on the clock
-- of the database. number tells apart what one call has leased.
CREATE TABLE IF NOT EXISTS delivery_overdue (
	lease    BIGINT NOT NULL,
	number   INT NOT NULL,
	rule     BIGINT NOT NULL,
	conv     BIGINT NOT NULL,
	seq      BIGINT NOT NULL,
	reader   BIGINT NOT NULL,
	attempts INT NOT NULL,
	ready_at BIGINT NOT NULL,
	PRIMARY KEY (lease, number),
	KEY delivery_overdue_ready (rule, ready_at)
) ENGINE=InnoDB;

-- What has become of the messages that were stored within an hour, as others may see it. made_at is when they were counted,
-- or 0. ready_at is when they are to be counted again, and the end of the lease of a process that is counting. All three times are
-- microseconds since 1970, on the clock of the database. to_delivered and to_read count messages by how long it took: up to 1 s,
-- 5 s, 30 s, 1 min, 5 min, 30 min, 2 h, 8 h and 1 day, and longer.
CREATE TABLE IF NOT EXISTS delivery_hours (
	began_at             BIGINT NOT NULL PRIMARY KEY,
	ready_at             BIGINT NOT NULL,
	made_at              BIGINT NOT NULL DEFAULT 0,
	messages             BIGINT NOT NULL DEFAULT 0,
	messages_delivered   BIGINT NOT NULL DEFAULT 0,
	messages_read        BIGINT NOT NULL DEFAULT 0,
	messages_deleted     BIGINT NOT NULL DEFAULT 0,
	recipients           BIGINT NOT NULL DEFAULT 0,
	recipients_delivered BIGINT NOT NULL DEFAULT 0,
	recipients_read      BIGINT NOT NULL DEFAULT 0,
	to_delivered         VARCHAR(255) CHARACTER SET utf8mb4 NOT NULL DEFAULT '[]',
	to_read              VARCHAR(255) CHARACTER SET utf8mb4 NOT NULL DEFAULT '[]'
) ENGINE=InnoDB;

-- One row: a number that clients hand back, and that changes when the database was restored.
CREATE TABLE IF NOT EXISTS delivery_epoch (
	id    TINYINT PRIMARY KEY CHECK (id = 1),
	epoch BIGINT NOT NULL
) ENGINE=InnoDB;

INSERT IGNORE INTO delivery_epoch (id, epoch) VALUES (1, 1 + FLOOR(RAND() * 9007199254740990));

INSERT IGNORE INTO delivery_migrations (version, applied_at)
VALUES (1, TIMESTAMPDIFF(MICROSECOND, '1970-01-01 00:00:00', UTC_TIMESTAMP(6)));

-- +goose Up
-- Ids are VARBINARY: compared byte for byte, trailing spaces included. Times are microseconds since 1970.
-- Every CREATE commits by itself, so each must be harmless to repeat after a crash halfway.

CREATE TABLE IF NOT EXISTS delivery_migrations (
	version    INT NOT NULL PRIMARY KEY,
	applied_at BIGINT NOT NULL
) ENGINE=InnoDB;

-- A conversation's row is the lock of all that changes in it, and its version counts the changes.
CREATE TABLE IF NOT EXISTS delivery_conversations (
	conv    BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
	id      VARBINARY(128) NOT NULL,
	version BIGINT NOT NULL,
	UNIQUE KEY delivery_conversations_id (id)
) ENGINE=InnoDB;

-- What never changes about a message. Its place in the conversation (seq) is the version it was sent at.
CREATE TABLE IF NOT EXISTS delivery_messages (
	conv    BIGINT NOT NULL,
	seq     BIGINT NOT NULL,
	id      VARBINARY(128) NOT NULL,
	sender  VARBINARY(128) NOT NULL,
	body    MEDIUMTEXT CHARACTER SET utf8mb4 NOT NULL,
	open    TINYINT NOT NULL,
	total   INT NOT NULL,
	quorum  INT NOT NULL,
	sent_at BIGINT NOT NULL,
	PRIMARY KEY (conv, seq),
	UNIQUE KEY delivery_messages_id (id)
) ENGINE=InnoDB;

-- What its receipts change about a message, apart from the wide row that never does.
CREATE TABLE IF NOT EXISTS delivery_states (
	conv            BIGINT NOT NULL,
	seq             BIGINT NOT NULL,
	version         BIGINT NOT NULL,
	status          TINYINT NOT NULL CHECK (status BETWEEN 1 AND 3),
	delivered_count INT NOT NULL,
	read_count      INT NOT NULL,
	delivered_at    BIGINT,
	read_at         BIGINT,
	PRIMARY KEY (conv, seq),
	UNIQUE KEY delivery_states_version (conv, version)
) ENGINE=InnoDB;

-- How far a message has come with each recipient. Frozen recipients have theirs from the start.
CREATE TABLE IF NOT EXISTS delivery_receipts (
	conv         BIGINT NOT NULL,
	seq          BIGINT NOT NULL,
	recipient    VARBINARY(128) NOT NULL,
	status       TINYINT NOT NULL CHECK (status BETWEEN 1 AND 3),
	version      BIGINT NOT NULL,
	delivered_at BIGINT,
	read_at      BIGINT,
	PRIMARY KEY (conv, seq, recipient)
) ENGINE=InnoDB;

-- Up to where nothing is left to do for a reader, so that marks up to a message look only at what is new.
CREATE TABLE IF NOT EXISTS delivery_readers (
	conv          BIGINT NOT NULL,
	reader        VARBINARY(128) NOT NULL,
	delivered_seq BIGINT NOT NULL,
	read_seq      BIGINT NOT NULL,
	PRIMARY KEY (conv, reader)
) ENGINE=InnoDB;

-- Events that were committed and not accepted yet. ready_at is the schedule and the end of the lease in one, on the
-- clock of the database.
CREATE TABLE IF NOT EXISTS delivery_outbox (
	id         BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
	ready_at   BIGINT NOT NULL,
	lease      BIGINT NOT NULL,
	attempts   INT NOT NULL,
	created_at BIGINT NOT NULL,
	payload    MEDIUMTEXT CHARACTER SET utf8mb4 NOT NULL,
	KEY delivery_outbox_ready (ready_at, id, created_at)
) ENGINE=InnoDB;

-- Events that can never be accepted, under the ids they had in the outbox.
CREATE TABLE IF NOT EXISTS delivery_dead (
	id       BIGINT NOT NULL PRIMARY KEY,
	attempts INT NOT NULL,
	reason   MEDIUMTEXT CHARACTER SET utf8mb4 NOT NULL,
	at       BIGINT NOT NULL,
	payload  MEDIUMTEXT CHARACTER SET utf8mb4 NOT NULL
) ENGINE=InnoDB;

-- One row: a number that clients hand back, and that changes when the database was restored.
CREATE TABLE IF NOT EXISTS delivery_epoch (
	id    TINYINT PRIMARY KEY CHECK (id = 1),
	epoch BIGINT NOT NULL
) ENGINE=InnoDB;

INSERT IGNORE INTO delivery_epoch (id, epoch) VALUES (1, 1 + FLOOR(RAND() * 9007199254740990));

INSERT IGNORE INTO delivery_migrations (version, applied_at)
VALUES (1, TIMESTAMPDIFF(MICROSECOND, '1970-01-01 00:00:00', UTC_TIMESTAMP(6)));

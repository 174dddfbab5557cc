-- +goose Up
-- Ids are VARBINARY: compared byte for byte, trailing spaces included. Times are microseconds since 1970.
-- Every CREATE commits by itself, so each must be harmless to repeat after a crash halfway.
-- The migration for Postgres says what each table has.

CREATE TABLE IF NOT EXISTS delivery_migrations (
	version    INT NOT NULL PRIMARY KEY,
	applied_at BIGINT NOT NULL
) ENGINE=InnoDB;

CREATE TABLE IF NOT EXISTS delivery_conversations (
	conv      BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
	id        VARBINARY(128) NOT NULL,
	version   BIGINT NOT NULL,
	floor     BIGINT NOT NULL DEFAULT 0,
	compacted BIGINT NOT NULL DEFAULT 0,
	drops     BIGINT NOT NULL DEFAULT 0,
	UNIQUE KEY delivery_conversations_id (id)
) ENGINE=InnoDB;

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

-- A row at version 0 is none yet.
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

CREATE TABLE IF NOT EXISTS delivery_failures (
	conv    BIGINT NOT NULL,
	seq     BIGINT NOT NULL,
	reader  BIGINT NOT NULL,
	version BIGINT NOT NULL,
	code    VARBINARY(64) NOT NULL,
	PRIMARY KEY (conv, seq, reader)
) ENGINE=InnoDB;

CREATE TABLE IF NOT EXISTS delivery_own (
	reader BIGINT NOT NULL,
	seq    BIGINT NOT NULL,
	status TINYINT NOT NULL CHECK (status BETWEEN 2 AND 3),
	PRIMARY KEY (reader, seq)
) ENGINE=InnoDB;

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

CREATE TABLE IF NOT EXISTS delivery_dead (
	id       BIGINT NOT NULL PRIMARY KEY,
	attempts INT NOT NULL,
	reason   MEDIUMTEXT CHARACTER SET utf8mb4 NOT NULL,
	at       BIGINT NOT NULL,
	body_of  VARBINARY(128),
	payload  MEDIUMTEXT CHARACTER SET utf8mb4 NOT NULL
) ENGINE=InnoDB;

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

CREATE TABLE IF NOT EXISTS delivery_looked (
	conv   BIGINT NOT NULL,
	rule   BIGINT NOT NULL,
	seq    BIGINT NOT NULL,
	reader BIGINT NOT NULL,
	PRIMARY KEY (conv, rule)
) ENGINE=InnoDB;

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

CREATE TABLE IF NOT EXISTS delivery_epoch (
	id    TINYINT PRIMARY KEY CHECK (id = 1),
	epoch BIGINT NOT NULL
) ENGINE=InnoDB;

INSERT IGNORE INTO delivery_epoch (id, epoch) VALUES (1, 1 + FLOOR(RAND() * 9007199254740990));

INSERT IGNORE INTO delivery_migrations (version, applied_at)
VALUES (1, TIMESTAMPDIFF(MICROSECOND, '1970-01-01 00:00:00', UTC_TIMESTAMP(6)));

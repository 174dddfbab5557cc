// Package sqlstore keeps messages, receipts and the outbox in the app's own SQL database.
//
//	db, err := sql.Open("pgx", dsn) // the app brings its driver
//	err = sqlstore.Migrate(ctx, db, sqlstore.Postgres)
//	store, err := sqlstore.New(db, sqlstore.Postgres)
//	tracker, err := delivery.New(store, notifier, &delivery.Options{Authorize: mayDo})
//
// The databases are [Postgres], MariaDB and [MySQL], and [SQLite]. The store keeps the whole
// contract of [delivery.Store] on each. The package imports no driver. The names of all tables
// begin with delivery_.
//
// # Settings
//
// Some settings of a database, a connection or a driver lose or alter text, show old data to reads,
// or make the server refuse what the store needs. [Migrate], [Validate] and a store's first call
// refuse such settings, with an error that says what to change:
//
//   - Postgres: an encoding of the database or the client other than UTF8; a DateStyle that the
//     driver cannot parse (pgx in its simple protocol parses ISO only); a sequence that is behind
//     the ids in its table, as after a failover by logical replication.
//   - MariaDB, MySQL: a character set of the connection other than utf8mb4; autocommit=0;
//     sql_safe_updates=1; the sql_mode ORACLE; binlog_format=STATEMENT with a binary log;
//     max_allowed_packet below 16 MiB (the default of MariaDB is 16 MiB).
//   - SQLite: a version before 3.42.
//
// A store checks the settings in its calls until a check has passed. All connections of a pool must
// have the same settings.
//
// # Transactions
//
// Each call is one transaction, at READ COMMITTED whatever the server's default is. After a
// deadlock, a serialization failure or a busy database the store repeats it as a whole, until ctx
// ends. Such conflicts are rare, because all calls lock conversations in the same order.
//
// On Postgres and MariaDB a call skips conversations that another transaction has locked or is just
// creating. It returns the sends and marks for these conversations as blocked: nothing was changed,
// and the Tracker tries them again (see [delivery.Store]). So no connection of the pool waits for a
// conversation. On SQLite, where a transaction locks the whole database, a call waits until the
// database is free.
//
// A private mark ([delivery.Store] AdvanceOwn) does not lock the conversation. It locks the user's
// own row in that conversation, and keeps its message from being pruned. While such a mark is in an
// open transaction of a caller, a prune of the message comes back blocked. On MariaDB a deletion of
// the message and up-to marks of the same user come back blocked too. It blocks no other calls,
// unless the user has no row in the conversation yet, because the user has not sent, marked or been
// sent any message there. In that case, on MariaDB, public marks by the user and sends to or by the
// user come back blocked as well. On Postgres those calls wait until the transaction ends, and so
// do all others in the same batch. While a batch waits, other calls for its conversations come back
// blocked.
//
// On MySQL some statements cannot be made to fail at once when a row is locked: the shortest wait
// is 1 s. There a call waits up to 1 s for each conversation that is being created, and up to 1 s
// for each user whose row a private mark has locked. A call that writes the rows of several users
// first tries to write them all at once. If one of them is locked, that try fails after up to 1 s,
// and the call then writes the rows one by one, with the waits described above. During these waits
// it holds the locks of its other conversations. The settlement of events waits up to 1 s for an
// event that [delivery.Tracker.EraseTx] has locked.
//
// If the connection breaks at the commit, or ctx ends there, the error wraps
// [delivery.ErrOutcomeUnknown]. After any other error nothing has changed. The error wraps
// [delivery.ErrUnavailable] if the database is away, has no room or no connection left, if no
// connection of the pool may write, or if a limit of the server, such as statement_timeout, ended
// the call.
//
// If a connection has become read-only, has lost its prepared statements, or was ended by the
// server, the store closes it and makes the call again on another connection, unless the call may
// have committed. What a new connection answers is final: if it is read-only too, the call fails.
// When a call has waited for an answer for 1 s, the store pings all idle connections of the
// [sql.DB], and closes those that do not answer within 500 ms. Meanwhile no other call takes a
// connection. Slow calls cause this at most once every 10 s. If the ctx of a call ends after the
// call has waited for 1 s or longer, the store pings them regardless of that limit. If the [sql.DB]
// was made by stdlib.OpenDBFromPool, the pgxpool.Pool keeps the idle connections, and the store
// cannot ping them: put pool_ping_timeout=1s in the pool's DSN.
//
// # Transactions of the caller
//
// [Store.InTx] writes inside a caller's transaction, at the caller's isolation level, and repeats
// nothing. At every isolation level, a write either is correct, even if the transaction's snapshot
// is old, or fails with an error that wraps [delivery.ErrTxConflict]. After such an error roll back
// and run the whole transaction again. [IsConflict] recognizes such conflicts in the errors of the
// caller's own statements and of the commit. A write that fails changes nothing. Every later write
// of the store in that transaction fails too, until a ROLLBACK TO SAVEPOINT to a point before the
// failure.
//
// On MariaDB and MySQL a transaction is at REPEATABLE READ by default. Writes of the store in it
// still see what was committed last. They lock rows, but not the gaps between rows, except for the
// four kinds of call that follow. After any of these, sends of other callers may wait until the
// transaction ends. The first is a repeated send. The second is a mark or a deletion of a message
// that does not exist, or that was sent after the transaction's first read. The third is a mark by
// a user who is no recipient of the message, if the message was sent after the transaction's first
// read. The fourth is to erase a user, after which marks and deletions of other callers may wait
// too. A deletion fails with a conflict if the message was sent or marked after the transaction's
// first read. A send to a roster ([delivery.Roster]) fails with a conflict if the only message to
// that roster was deleted after that read. A deletion normally also removes a roster that no
// message is left for. Inside such a transaction, it leaves the roster in place. After any
// deletion, and after a mark of a message for which [delivery.Tracker.Fail] has recorded a failure,
// other calls of Fail may wait until the transaction ends, even calls for other conversations. At
// READ COMMITTED there are neither such waits nor such conflicts. With
// innodb_snapshot_isolation=ON, the default since MariaDB 11.6.2, a write fails with a conflict if
// somebody changed the conversation after the transaction's first read. At READ COMMITTED it does
// not.
//
// # Postgres
//
// If the app's role is not the one that migrates, it needs SELECT, INSERT, UPDATE and DELETE on the
// tables, and USAGE on the sequence delivery_outbox_id_seq.
//
// Behind a pooler in transaction mode, pgx needs default_query_exec_mode=exec or cache_describe in
// the DSN, and lib/pq needs binary_parameters=yes. With its default DSN lib/pq can run another
// client's prepared statement there in place of its own, without an error.
//
// With lib/pq 1.12.3 a db.Exec of the app can run twice and return nil, if the connection is closed
// before the answer arrives (findings/libpq-executes-twice.sh). pgx returns an error in that case.
//
// # SQLite
//
// The store needs no settings, but these are recommended:
//
//	file:app.db?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(5000)&_txlock=immediate
//
// The same for mattn/go-sqlite3:
//
//	file:app.db?_journal_mode=WAL&_synchronous=FULL&_busy_timeout=5000&_txlock=immediate
//
// Each has a reason:
//
//   - Without WAL, readers and writers wait for each other.
//   - With synchronous=NORMAL a commit survives a crash of the process, but perhaps not a power
//     cut.
//   - Without _txlock=immediate, a caller's transaction that reads before it writes fails with
//     "database is locked" if another connection wrote in between, whatever the busy_timeout.
//
// SQLite has one writer at a time. The store's writers queue up in the process, and a caller's
// transaction delays all of them. SQLite itself has no queue: a connection that waits for the lock
// tries again from time to time. The store therefore stops writing for 100 ms after every second of
// writes, and its own writes wait. So the app's transactions get the lock before their
// busy_timeout. If several processes write all the time, a caller's transaction may still wait for
// seconds.
//
// If the ctx of one of the app's own statements ends inside a transaction, SQLite rolls back the
// whole transaction, but every driver lets the next statements of the same [sql.Tx] run and commit
// one by one (findings/sqlite-statement-timeout.sh). Roll back after any error, or give the
// deadline to BeginTx. After a failed COMMIT, glebarez/go-sqlite 1.23.0 keeps the transaction open
// in the pool, where later writes are lost without an error (findings/glebarez-failed-commit.sh).
// The other drivers roll back.
//
// # MariaDB and MySQL
//
// Without interpolateParams=true in the DSN, go-sql-driver prepares every statement anew, which
// costs another round trip for each.
//
// The driver has a limit of its own, maxAllowedPacket in the DSN, which is 64 MiB by default.
// Unlike the server's max_allowed_packet, the store does not check it. The store works with a
// smaller limit too, because the driver sends longer packets in pieces. But with
// interpolateParams=true and a limit below 16 MiB, the driver refuses messages of certain lengths
// as too large (findings/mysql-interpolated-too-large.sh).
//
// A deadlock ends the transaction at the server, but go-sql-driver 1.10.1 lets the next statements
// of the app's [sql.Tx] commit one by one, and Rollback does not undo them
// (findings/mariadb-deadlock-autocommit.sh). Roll back after any error. If the ctx of a statement
// ends while the statement waits for a lock, the server may still carry it out when the lock is
// free (findings/mariadb-timed-out-write-lands.sh).
//
// Any node of a Galera cluster takes writes. A write that loses against another node fails at the
// commit or at the next statement, and the store repeats it as after a deadlock. A node's reads may
// be some milliseconds behind the other nodes, so a mark of a message that was just sent at another
// node can be [delivery.ErrNotFound]. With wsrep_sync_wait=7 in the DSN a node catches up before it
// answers.
//
// If the network drops a connection without telling the server, the server keeps that connection's
// transaction open, with its locks. With idle_transaction_timeout=10 in the DSN, MariaDB ends that
// transaction after 10 s. On Postgres the store's own transactions end after 5 s of that, whatever
// the DSN says.
package sqlstore

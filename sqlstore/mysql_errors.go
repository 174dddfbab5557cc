package sqlstore

import (
	"reflect"
	"strings"
)

// mysqlFate tells the fates of errors by the numbers of MySQL and MariaDB.
func mysqlFate(err error) fate {
	switch mysqlNumber(err) {
	case 1213, // deadlock
		1205, // lock wait timeout
		1020, // the row changed since the transaction's snapshot
		1467: // the AUTO_INCREMENT cannot be read, since its lock is not to be had
		return conflict
	case 1290, // the server runs with an option, mostly read_only
		1792, // read-only transaction
		1836, // read-only mode
		1047: // unknown command, which Galera says of all while its node is not in the cluster
		return readOnly
	case 1021, // disk full
		1114, // table full
		1037, // out of memory
		1041, // the same
		1040, // too many connections
		1203, // of the user
		1226, // more than the user's resources
		1969, // max_statement_time, which ends no COMMIT
		3024: // max_execution_time, which ends reads only
		return away
	case 1053, // server shutdown
		1927: // connection killed
		return ended
	case 0: // not an answer
		if strings.HasSuffix(err.Error(), "invalid connection") { // the driver keeps the cause to its log
			return ended
		}
		return unknown
	case 1180, // error during COMMIT
		1317: // query interrupted
		return unknown
	}
	return refused
}

func mysqlLocked(err error) bool {
	switch mysqlNumber(err) {
	case 1205, // a row, as MariaDB says it, and MySQL after a wait
		3572, // as MySQL says it
		1467: // the AUTO_INCREMENT of a table
		return true
	}
	return false
}

func mysqlDuplicate(err error) bool {
	return mysqlNumber(err) == 1062 && strings.Contains(err.Error(), "delivery_messages_id")
}

// mysqlNumber returns the number of a server's error, 0 if err is none.
func mysqlNumber(err error) int64 {
	return errorNumber(err, func(err reflect.Value) int64 { return integer(fieldOf(err, "Number")) })
}

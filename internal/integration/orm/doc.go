// Package orm tests the Tx forms of the Tracker with the transactions of the libraries by which
// apps use their database. Each library stores a row of the app's in a transaction and hands the
// same transaction to SendTx, MarkTx and MarkUpToTx.
//
// The tests are not built with the race detector, for which these libraries take minutes to
// compile.
package orm

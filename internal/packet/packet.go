// Package packet says how large a statement to a database may get. The batches of the Tracker keep
// to it, and sqlstore refuses a database that takes less.
package packet

const (
	// Size is the largest statement with its arguments, in bytes. It is the default of MariaDB's
	// max_allowed_packet.
	Size = 16 << 20

	// Growth is the most bytes of a statement that one byte of text can become. A "<" becomes
	// \u003c in the JSON of an event, \\u003c in the JSON of a batch and \\\\u003c in a quoted
	// string of SQL.
	Growth = 9

	// Text is how many bytes of text a batch may have. A sixteenth of the statement is left for all
	// else.
	Text = Size / 16 * 15 / Growth
)

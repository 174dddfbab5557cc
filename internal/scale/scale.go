// Package scale computes what an app of a given size asks of a database and of Pusher, from what a
// message, a receipt and a call were measured to cost. docs/scale.md shows the results, and a test
// holds it to them.
package scale

import "math"

// Unit is a measured cost, and where the documentation says so.
type Unit struct {
	Name  string
	Value float64
	File  string // from the root of the repository
	Says  string // the text there, which has the value
}

const (
	operations = "docs/operations.md"
	benchmarks = "docs/benchmarks.md"
	internals  = "docs/internals/benchmarks.md"
)

// The units are of Postgres 15. Times are of the database server's processors, under load.
var (
	messageBytes = Unit{"a message marked by 10 recipients, bytes", 1200, operations, "| … once it has been marked, by 1 to 10 recipients | 0.65 to 1.2 KB |"}
	receiptBytes = Unit{"a receipt, bytes", 220, operations, "| a receipt that is read | 220 bytes |"}
	markTime     = Unit{"a mark, µs", 62, benchmarks, "takes 62 µs of the database server"}
	publishTime  = Unit{"an event that is published and settled, µs", 11, internals, "22 µs of the process and 11 µs of the server per mark"}
	sendTime     = Unit{"a send, µs", 50, internals, "| a send, 256 callers | 50 µs | 18 µs |"}
	pageTime     = Unit{"a page of 50 messages, µs", 790, internals, "| a page of 50 messages, 16 callers | 790 µs | 340 µs |"}
	unreadTime   = Unit{"the unread counts of 20 conversations, µs", 900, internals, "| the unread counts of 20 conversations, 16 callers | 900 µs | 250 µs |"}
	markLog      = Unit{"a mark in the write-ahead log, bytes", 1140, internals, "| 62.3 µs ±\u00a033% | 1.14k ±"}
	shared       = Unit{"statements per mark that calls of 256 callers share", 0.0118, internals, "| 26.6 ms ±\u00a053% | 0.0118 ±"}
)

// The simulation takes these costs besides.
var (
	markAnswer  = Unit{"a mark in the process, µs", 19, benchmarks, "µs of the database server and 19 µs of the app"}
	aloneTime   = Unit{"a mark alone, µs", 355, benchmarks, "355 µs and 209 µs (inline"}
	aloneAnswer = Unit{"a mark alone in the process, µs", 209, benchmarks, "355 µs and 209 µs (inline"}
)

// Units are all of them.
var Units = []Unit{
	messageBytes, receiptBytes, markTime, publishTime, sendTime, pageTime, unreadTime, markLog, shared, markAnswer, aloneTime, aloneAnswer,
}

// Use is what a user does in a day.
type Use struct {
	Sends      float64 // messages sent
	Recipients float64 // of each; all of them get it and read it
	Visits     float64 // each asks for the unread counts of 20 conversations, and for two pages
	Listening  float64 // the part of a conversation's members who are connected while something happens there
	Connected  float64 // the part of all users who are connected in the busiest hour
	Peak       float64 // the busiest second, in averages of the day
	Days       float64 // for which messages are kept
}

// Usual is the use that the page assumes.
var Usual = Use{Sends: 20, Recipients: 3, Visits: 8, Listening: 0.5, Connected: 0.15, Peak: 3, Days: 90}

// Load is what an app asks for.
type Load struct {
	Users    float64
	Messages float64 // a day
	Rows     float64 // that stay, a day: a message, its state, and its receipts
	Bytes    float64 // on the database's disk, for all days that are kept
	Log      float64 // bytes of write-ahead log, a day; a send counts as a mark

	Alone, Shared float64 // statements of sends and marks in the busiest second, if no two calls meet, and as 256 callers share them
	Processors    float64 // of the database in the busiest second

	Events      float64 // a day
	Busiest     float64 // events in the busiest second
	Told        float64 // Pusher's count of messages, a day
	AuthorsOnly float64 // the same with pusheradapter.Options.AuthorsOnly
	Connections float64 // at the same time
}

// Of returns the load of so many users.
func (u Use) Of(users float64) Load {
	const day = 24 * 60 * 60
	l := Load{Users: users, Messages: users * u.Sends, Connections: users * u.Connected}
	marks := 2 * u.Recipients // delivered and read, none of them up to a message
	busiest := l.Messages * u.Peak / day
	visits := users * u.Visits * u.Peak / day
	listeners := max(0, (1+u.Recipients)*u.Listening-1) // without the socket that made the change

	l.Rows = l.Messages * (2 + u.Recipients)
	l.Bytes = l.Messages * u.Days * (messageBytes.Value + u.Recipients*receiptBytes.Value)
	l.Log = l.Messages * (1 + marks) * markLog.Value
	l.Alone = busiest * (1 + marks)
	l.Shared = l.Alone * shared.Value
	l.Processors = (busiest*(sendTime.Value+marks*markTime.Value+(1+marks)*publishTime.Value) +
		visits*(unreadTime.Value+2*pageTime.Value)) / 1e6
	l.Events = l.Messages * (1 + marks)
	l.Busiest = busiest * (1 + marks)
	l.Told = l.Events * (1 + listeners)
	l.AuthorsOnly = l.Messages * (1 + listeners + marks*(2+u.Listening)) // of a mark, the author and the reader's own channel
	return l
}

// Limit is something that there is only so much of.
type Limit struct {
	Name string
	Of   func(Load) float64
	Has  float64
}

// Limits are what the page compares loads with: plans of Pusher's, and one Postgres server with 16
// processors, of which 60 % are used in the busiest second, and 4 TB of disk.
var Limits = []Limit{
	{"messages a day of Pusher's free plan", func(l Load) float64 { return l.Told }, 200e3},
	{"its connections", func(l Load) float64 { return l.Connections }, 100},
	{"messages a day of Pusher's largest plan", func(l Load) float64 { return l.Told }, 90e6},
	{"its connections", func(l Load) float64 { return l.Connections }, 30e3},
	{"processors of one Postgres", func(l Load) float64 { return l.Processors }, 0.6 * 16},
	{"disk of one Postgres", func(l Load) float64 { return l.Bytes }, 4e12},
}

// Databases returns how many Postgres servers the load needs.
func (l Load) Databases() float64 {
	n := 1.0
	for _, limit := range Limits[4:] {
		n = max(n, math.Ceil(limit.Of(l)/limit.Has))
	}
	return n
}

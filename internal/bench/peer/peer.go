// Package peer holds the ways to mark a message that are measured side by side: ours, and what a Go
// team would write or use otherwise. All start from the same messages, mark them in the same order,
// and tell the same stub of Pusher.
package peer

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/msgdelivery/delivery/internal/bench/lab"
	"github.com/msgdelivery/delivery/internal/bench/stub"
	"github.com/msgdelivery/delivery/internal/integration/engines"
)

// Peer is one way to mark messages.
type Peer struct {
	Name    string
	Kind    engines.Kind // of the database it wants
	Pending []string     // statements that drop what it has not published yet

	Prepare func(ctx context.Context, e Env) error           // makes the tables and fills them, once
	Open    func(ctx context.Context, e Env) (Marker, error) // starts what takes marks and publishes them
}

// Marker takes marks, from many goroutines, until it is closed.
type Marker interface {
	// Mark does the i-th mark and returns when the app could answer the user. No i comes twice.
	Mark(ctx context.Context, i int) error

	io.Closer // stops what it runs in the background
}

// Env is where a peer works.
type Env struct {
	lab.Database
	Fixture
	Stub *stub.Stub
}

// Fixture is what is in every peer's tables at first: messages of one sender with an open audience,
// in turn in so many conversations. Marks are of the newest messages, mixed up.
type Fixture struct {
	Messages      int
	Conversations int // a divisor of Messages
	Recent        int // how many of the newest messages are marked
}

// Quiet logs errors only: backlogs are part of the game here, and warnings of them are not.
var Quiet = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))

// Sender sent all messages.
const Sender = "alice"

// Body is the text of all messages.
const Body = "Are we still on for tomorrow? I could be there at nine."

const (
	activeUsers = 1000     // who mark at about the same time
	stride      = 61803413 // its multiples visit all messages where these are a round number, each far from the last
)

// Marked is a mark to be done.
type Marked struct {
	N         int // the message's number, from 0
	Conv, Seq int // its conversation's number and its place there, from 1
	User      string
	Socket    string
}

// Marked returns the i-th mark. Every pass over the messages is by other users.
func (f Fixture) Marked(i int) Marked {
	pass, k := i/f.Recent, i%f.Recent
	n := f.Messages - f.Recent + k*stride%f.Recent
	user := pass*activeUsers + k%activeUsers
	return Marked{
		N: n, Conv: n%f.Conversations + 1, Seq: n/f.Conversations + 1,
		User: fmt.Sprintf("user-%07d", user), Socket: fmt.Sprintf("%d.%d", 100+user%900, user+1),
	}
}

// ID is the message's id, of the form and length of a UUIDv7.
func (m Marked) ID() string { return ID(m.N) }

// ID returns the id of the n-th message.
func ID(n int) string { return fmt.Sprintf("01890000-0000-7000-8000-%012d", n) }

// Conversation returns the id of the conversation with this number.
func Conversation(number int) string { return fmt.Sprintf("conversation-%06d", number) }

// object is a message as the tutorial shows it.
type object struct {
	ID      int    `json:"id"`
	Name    string `json:"name"`
	Message string `json:"message"`
	Status  string `json:"status"`
}

// execute runs statements in a row.
func (e Env) execute(ctx context.Context, statements ...string) error {
	for _, s := range statements {
		if _, err := e.Pool.ExecContext(ctx, s); err != nil {
			line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
			return fmt.Errorf("%s: %w", line, err)
		}
	}
	return nil
}

// Forget drops what the peer has not published yet.
func (p Peer) Forget(ctx context.Context, e Env) error { return e.execute(ctx, p.Pending...) }

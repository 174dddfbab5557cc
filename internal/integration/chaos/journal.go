package chaos

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/msgdelivery/delivery"
)

// Journal is a log of which every line is written at once, so that a process that is killed leaves
// none in part.
type Journal struct {
	mu   sync.Mutex
	file *os.File
}

func newJournal(path string) (*Journal, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	return &Journal{file: file}, err
}

// write adds a value as one line. An error is fatal to a run, whose proof would have a hole.
func (j *Journal) write(line any) {
	text, err := json.Marshal(line)
	if err == nil {
		j.mu.Lock()
		defer j.mu.Unlock()
		_, err = j.file.Write(append(text, '\n'))
	}
	if err != nil {
		panic(fmt.Sprintf("writing the journal: %v", err))
	}
}

func (j *Journal) close() error { return j.file.Close() }

// Now is the time in a journal, in microseconds.
func now() int64 { return time.Now().UnixMicro() }

// The kinds of lines of a node's journal.
const (
	asks       = "asks"       // is about to mark or send
	acked      = "acked"      // was told that it is done
	failed     = "failed"     // was told that it failed, or not told at all
	conflicts  = "conflicts"  // is about to run a transaction again
	commits    = "commits"    // was told that a transaction is committed
	lateness   = "late"       // a call ended after its deadline: N milliseconds
	claiming   = "claiming"   // of a hundred claims, 99 took no longer than N microseconds
	leaseLost  = "lease lost" // N events
	unsettled  = "unsettled"  // N events, since the store failed
	unanswered = "unanswered" // N events, since the endpoint said nothing in time
	stopping   = "stopping"   // its relay ended N milliseconds after it was told to
	heap       = "heap"       // had N bytes in use, at most
	ends       = "ends"       // ended cleanly, with N goroutines left
)

// Entry is a line of a node's journal.
type Entry struct {
	At   int64  `json:"at"`
	What string `json:"what"`

	// Of marks: who, what and which.
	User     string          `json:"user,omitempty"`
	Socket   string          `json:"socket,omitempty"`
	Status   delivery.Status `json:"status,omitempty"`
	Messages []string        `json:"messages,omitempty"`
	Changed  []bool          `json:"changed,omitempty"` // acked: which of them advanced
	UpTo     bool            `json:"up_to,omitempty"`   // all of the conversation until the one message
	Send     bool            `json:"send,omitempty"`    // not a mark: the one message was sent
	Took     int64           `json:"took,omitempty"`    // acked: microseconds

	Reason string `json:"reason,omitempty"`
	N      int64  `json:"n,omitempty"`
}

// Accepted is a line of the sink's journal: a call that was accepted, with its body.
type Accepted struct {
	At   int64           `json:"at"`
	Body json.RawMessage `json:"body"`
}

// readLines hands the lines of a journal to each. What follows the last line break was never
// finished.
func readLines(path string, each func(line []byte) error) error {
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	for lines := bufio.NewReaderSize(file, 1<<20); ; {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = each(bytes.TrimSpace(line))
		}
		if err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(path), err)
		}
	}
}

// readJournal hands the lines of a journal to each, decoded.
func readJournal[T any](path string, each func(T) error) error {
	return readLines(path, func(line []byte) error {
		var entry T
		if err := json.Unmarshal(line, &entry); err != nil {
			return err
		}
		return each(entry)
	})
}

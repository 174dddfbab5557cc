package chaos

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliverywire"
	"github.com/msgdelivery/delivery/pusheradapter"
)

// Verdict is what the checker found.
type Verdict struct {
	Lost       Findings // acknowledged or committed, and neither announced nor a dead letter; or acknowledged and not there
	Unexpected Findings // there or announced, though nobody asked for it; or announced where it does not belong
	Backwards  Findings // receipts, or what was told of them, that did not move forward
	Duplicates Findings // events accepted that tell again what was told
	Tallies    Findings // messages whose counts, status or version are not what their receipts say
	Unread     Findings // answers of Unread that are not what the receipts say

	Marks, Changed    int           // acknowledged, and those that advanced
	Committed         int           // transactions of nodes
	Conflicts         int           // how often one had to be run again
	Events            int           // accepted, duplicates among them
	Failures, Unknown int           // calls that failed, and those that did not learn the outcome
	LeaseLost         int           // events that were published under a lease that had run out
	Unanswered        int           // events of calls that nobody answered
	Unsettled         int           // events whose settlement failed
	MarkP99, ClaimP99 int64         // microseconds that 99 of 100 calls took at most; of claims, on the node where they took longest
	Late              int           // milliseconds that a call took beyond its deadline, at most
	Stop              time.Duration // that a relay took to end, at most
	Heap              int64         // bytes that a node had in use, at most
	Ended             int           // nodes that ended cleanly
	Leaked            int           // goroutines, in nodes that ended
	Dead              int
	Outbox, Leased    int // left
	Idle              int // sessions that hold a transaction and do nothing, in the end

	failures map[string]int // by reason
	took     []int64        // of marks
}

// Findings counts, and keeps a few samples.
type Findings struct {
	Count   int
	Samples []string
}

func (f *Findings) add(format string, args ...any) {
	f.Count++
	if len(f.Samples) < 5 {
		f.Samples = append(f.Samples, fmt.Sprintf(format, args...))
	}
}

// String is the line of figures.
func (v *Verdict) String() string {
	return fmt.Sprintf("marks=%d changed=%d events=%d lost=%d unexpected=%d backwards=%d tallies=%d unread=%d duplicates=%d transactions=%d conflicts=%d dead=%d outbox=%d leased=%d idle=%d goroutines=%d failures=%d unknown=%d lease_lost=%d unsettled=%d unanswered=%d late=%dms mark_p99=%v claim_p99=%v stop=%v heap=%dMiB",
		v.Marks, v.Changed, v.Events, v.Lost.Count, v.Unexpected.Count, v.Backwards.Count,
		v.Tallies.Count, v.Unread.Count, v.Duplicates.Count, v.Committed, v.Conflicts,
		v.Dead, v.Outbox, v.Leased, v.Idle, v.Leaked, v.Failures, v.Unknown, v.LeaseLost, v.Unsettled, v.Unanswered, v.Late,
		time.Duration(v.MarkP99)*time.Microsecond, time.Duration(v.ClaimP99)*time.Microsecond, v.Stop, v.Heap>>20)
}

// most is what 99 of 100 values do not exceed.
func most(values []int64) int64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[len(values)*99/100]
}

// receiptKey names a receipt.
type receiptKey struct{ message, recipient string }

// history is what is known of one receipt.
type history struct {
	asked   [delivery.Read + 1]bool     // whether somebody asked for a status
	sockets [delivery.Read + 1][]string // from which sockets
	acked   delivery.Status             // the highest that was acknowledged
	changed [delivery.Read + 1]int      // how often a call was told that it advanced
	stored  delivery.Status
	told    delivery.Status // the highest that was accepted by the sink, or is in a dead letter
	steps   []step
}

// step is a receipt's status as it was told, and the version at which it had that.
type step struct {
	version int64
	status  delivery.Status
}

// change is a version of a conversation.
type change struct {
	conversation string
	version      int64
}

// checker gathers all that a run wrote down.
type checker struct {
	verdict   Verdict
	world     World
	state     *State
	receipts  map[receiptKey]*history
	asked     map[string]bool // messages, sent by nodes
	acked     map[string]bool
	announced map[string]bool
	stored    map[string]*StoredMessage
	sent      map[string][]*StoredMessage // by conversation, in order of seq
	told      map[change]receiptKey       // what was told of it; no recipient is a new message
}

// Check judges a run by what is in its directory.
func Check(dir string, world World) (*Verdict, error) {
	c := &checker{
		world: world, receipts: map[receiptKey]*history{}, asked: map[string]bool{}, acked: map[string]bool{},
		announced: map[string]bool{}, stored: map[string]*StoredMessage{}, sent: map[string][]*StoredMessage{}, told: map[change]receiptKey{},
	}
	c.verdict.failures = map[string]int{}
	var err error
	if c.state, err = loadState(dir); err != nil {
		return nil, err
	}
	c.readTables()
	nodes, err := filepath.Glob(filepath.Join(dir, "node-*.jsonl"))
	for _, path := range nodes {
		if err == nil {
			err = readJournal(path, c.readEntry)
		}
	}
	if err == nil {
		err = readJournal(filepath.Join(dir, "sink.jsonl"), c.readAccepted)
	}
	if err != nil {
		return nil, err
	}
	c.verdict.MarkP99 = most(c.verdict.took)
	c.readDead()
	c.judge()
	return &c.verdict, nil
}

func (c *checker) receipt(message, recipient string) *history {
	key := receiptKey{message, recipient}
	h := c.receipts[key]
	if h == nil {
		h = new(history)
		c.receipts[key] = h
	}
	return h
}

// readEntry takes in a line of a node's.
func (c *checker) readEntry(e Entry) error {
	v := &c.verdict
	switch e.What {
	case failed:
		v.Failures++
		if strings.HasPrefix(e.Reason, "unknown: ") {
			v.Unknown++
		}
		v.failures[e.Reason]++
	case unanswered:
		v.Unanswered += int(e.N)
	case unsettled:
		v.Unsettled += int(e.N)
	case heap:
		v.Heap = max(v.Heap, e.N)
	case claiming:
		v.ClaimP99 = max(v.ClaimP99, e.N)
	case stopping:
		v.Stop = max(v.Stop, time.Duration(e.N)*time.Millisecond)
	case lateness:
		v.Late = max(v.Late, int(e.N))
	case commits:
		v.Committed++
	case conflicts:
		v.Conflicts++
	case leaseLost:
		v.LeaseLost += int(e.N)
	case ends:
		v.Ended++
		v.Leaked += int(e.N)
	case asks, acked:
		c.readCall(e)
	default:
		return fmt.Errorf("entry of an unknown kind: %q", e.What)
	}
	return nil
}

func (c *checker) readCall(e Entry) {
	switch {
	case e.Send && e.What == asks:
		c.asked[e.Messages[0]] = true
	case e.Send:
		c.acked[e.Messages[0]] = true
	case e.What == asks:
		for _, message := range c.meant(e) {
			h := c.receipt(message, e.User)
			h.asked[e.Status] = true
			if !slices.Contains(h.sockets[e.Status], e.Socket) {
				h.sockets[e.Status] = append(h.sockets[e.Status], e.Socket)
			}
		}
	default:
		c.verdict.Marks += len(e.Messages)
		if !e.UpTo {
			c.verdict.took = append(c.verdict.took, e.Took)
		}
		for _, message := range c.meant(e) {
			h := c.receipt(message, e.User)
			h.acked = max(h.acked, e.Status)
		}
		for i, changed := range e.Changed {
			if changed {
				c.verdict.Changed++
				c.receipt(e.Messages[i], e.User).changed[e.Status]++
			}
		}
	}
}

// meant returns the messages that a mark is for. Up to one that was sent during the run, these are
// those that were stored and that the user may mark; if it was not stored there are none.
func (c *checker) meant(e Entry) (ids []string) {
	if !e.UpTo {
		return e.Messages
	}
	last := c.stored[e.Messages[0]]
	if last == nil {
		return nil
	}
	for _, m := range c.sent[last.Conversation] {
		if m.Seq > last.Seq {
			break
		}
		h := c.receipts[receiptKey{m.ID, e.User}]
		if m.Sender != e.User && (m.Open || h != nil && h.stored.Valid()) {
			ids = append(ids, m.ID)
		}
	}
	return ids
}

// readAccepted takes in a call that the sink accepted.
func (c *checker) readAccepted(a Accepted) error {
	triggers, err := decodeCall(a.Body)
	if err != nil {
		return err
	}
	for _, t := range triggers {
		var p deliverywire.Payload
		if err := json.Unmarshal([]byte(t.Data), &p); err != nil {
			return err
		}
		c.verdict.Events++
		if channel, err := pusheradapter.PrivateChannel(p.Conversation); err != nil || channel != t.Channel {
			c.verdict.Unexpected.add("an event of %s on %s", p.Conversation, t.Channel)
		}
		updates := p.Expand()
		if again := c.cover(p.Conversation, p.From, p.To, updates); again {
			c.verdict.Duplicates.add("%s, versions %d to %d", p.Conversation, p.From, p.To)
		}
		for _, u := range updates {
			c.tell(u, t.SocketID)
			if conversationOf(u.Message) != p.Conversation {
				c.verdict.Unexpected.add("an update of %s in an event of %s", u.Message, p.Conversation)
			}
			if u.Body != "" {
				c.verdict.Unexpected.add("a body in an update of %s", u.Message)
			}
		}
	}
	return nil
}

// cover takes in that an event tells of all versions in a range, and reports whether it tells any
// again. A replayed one tells of later versions than those it covers.
func (c *checker) cover(conversation string, from, to int64, updates []delivery.Update) (again bool) {
	if len(updates) != int(to-from)+1 {
		c.verdict.Unexpected.add("%s: an event covers versions %d to %d with %d updates", conversation, from, to, len(updates))
		return false
	}
	for i, u := range updates {
		what := receiptKey{message: u.Message}
		if u.Receipt != nil {
			what.recipient = u.Receipt.Recipient
		}
		at := change{conversation, from + int64(i)}
		told, known := c.told[at]
		if known && told != what || u.Version < at.version {
			c.verdict.Unexpected.add("%s: two events cover version %d", conversation, at.version)
		}
		again = again || known
		c.told[at] = what
	}
	return again
}

// tell takes in an update that the sink accepted.
func (c *checker) tell(u delivery.Update, except string) {
	if u.Receipt == nil {
		c.announced[u.Message] = true
		return
	}
	h := c.receipt(u.Message, u.Receipt.Recipient)
	h.told = max(h.told, u.Receipt.Status)
	h.steps = append(h.steps, step{u.Receipt.Version, u.Receipt.Status})
	if sockets := h.sockets[u.Receipt.Status]; len(sockets) > 0 && !slices.Contains(sockets, except) {
		c.verdict.Unexpected.add("%s made %s %v from %q, and the event leaves out %q", u.Receipt.Recipient, u.Message, u.Receipt.Status, sockets, except)
	}
}

// readTables takes in what the run left in the database.
func (c *checker) readTables() {
	s, v := c.state, &c.verdict
	v.Outbox, v.Leased, v.Idle, v.Dead = s.Outbox, s.Leased, s.Idle, len(s.Dead)
	for _, what := range s.Backwards {
		v.Backwards.add("a receipt went from %s", what)
	}
	for _, what := range s.Rosters {
		v.Unexpected.add("%s", what)
	}
	for i := range s.Messages {
		m := &s.Messages[i]
		c.stored[m.ID] = m
		c.sent[m.Conversation] = append(c.sent[m.Conversation], m)
	}
	for _, r := range s.Receipts {
		c.receipt(r.Message, r.Recipient).stored = r.Status
	}
}

// readDead takes in the dead letters.
func (c *checker) readDead() {
	for _, d := range c.state.Dead {
		c.cover(d.Event.Conversation, d.Event.From, d.Event.To, d.Event.Updates)
		for _, u := range d.Event.Updates {
			if u.Receipt == nil {
				c.announced[u.Message] = true
			} else {
				h := c.receipt(u.Message, u.Receipt.Recipient)
				h.told = max(h.told, u.Receipt.Status)
			}
		}
	}
}

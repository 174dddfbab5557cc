package delivery

import "unicode/utf8"

// MaxPage is the largest number of bytes that the messages of one page take as JSON, by
// [Message.Size]. A page that would take more ends earlier, with More set. MaxPage is larger than
// the largest message, so a page with More holds at least one message.
const MaxPage = 1 << 20

const (
	messageFrame = 512 // bytes of a message's JSON that are not its texts, at most
	receiptFrame = 256 // bytes of a receipt's JSON that are not its texts, at most
	eventFrame   = 256 // bytes of an event's JSON that are neither texts nor updates, at most
	updateFrame  = 256 // bytes of an update's JSON that are neither texts nor the receipt, at most
)

// Size returns how many bytes the message takes as JSON, with its receipt in Own. It is an upper
// bound, at most 768 bytes too high: numbers and times count as their longest forms.
func (m Message) Size() int {
	size := messageFrame + jsonSize(m.ID) + jsonSize(m.Conversation) + jsonSize(m.Sender) + jsonSize(m.Body)
	if m.Own != nil {
		size += Receipt(*m.Own).Size()
	}
	return size
}

// Size returns how many bytes the receipt takes as JSON. It is an upper bound, at most 256 bytes
// too high.
func (r Receipt) Size() int {
	return receiptFrame + jsonSize(r.Message) + jsonSize(r.Recipient) + len(r.Failure)
}

// size returns how many bytes the event takes as JSON, by the same rules.
func (e Event) size() int {
	size := eventFrame + jsonSize(e.Conversation) + jsonSize(e.User) + jsonSize(e.Except)
	for _, trace := range e.Trace {
		size += len(`"",`) + jsonSize(trace)
	}
	for _, u := range e.Updates {
		size += updateFrame + jsonSize(u.Message) + jsonSize(u.Sender) + jsonSize(u.Body)
		if u.Receipt != nil {
			size += u.Receipt.Size()
		}
		if u.Own != nil {
			size += receiptFrame + jsonSize(u.Own.Conversation)
		}
	}
	return size
}

// jsonSize returns how many bytes a text takes in a JSON string, between the quotes, as
// encoding/json writes it.
func jsonSize(text string) int {
	size := len(text)
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"' || c == '\\' || c == '\n' || c == '\r' || c == '\t' || c == '\b' || c == '\f':
			size++
		case c < ' ' || c == '<' || c == '>' || c == '&':
			size += len(`\u0000`) - 1
		case c >= utf8.RuneSelf:
			r, n := utf8.DecodeRuneInString(text[i:])
			if r == utf8.RuneError || r == '\u2028' || r == '\u2029' {
				size += len(`\u2028`) - n
			}
			i += n - 1
		}
	}
	return size
}

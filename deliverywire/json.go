package deliverywire

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"

	"github.com/msgdelivery/delivery"
)

// Payloads are written by hand, in a fraction of the time that encoding/json takes. FuzzJSON holds
// them to what it would write.

// appendJSON appends the payload, with updates that are JSON already.
func (p *Payload) appendJSON(b, updates []byte) []byte {
	b = appendString(append(b, `{"conversation":`...), p.Conversation)
	b = strconv.AppendInt(append(b, `,"from":`...), p.From, 10)
	b = strconv.AppendInt(append(b, `,"to":`...), p.To, 10)
	if l := p.Place; l != nil {
		b = strconv.AppendInt(append(b, `,"place":{"rev":`...), l.Rev, 10)
		b = strconv.AppendInt(append(b, `,"delivered":`...), l.Delivered, 10)
		b = strconv.AppendInt(append(b, `,"badge":`...), l.Badge, 10)
		b = append(strconv.AppendInt(append(b, `,"flag":`...), l.Flag, 10), '}')
	}
	if p.Shared != (Update{}) {
		b = p.Shared.appendJSON(append(b, `,"shared":`...))
	}
	b = append(append(b, `,"updates":[`...), updates...)
	return append(b, "]}"...)
}

// appendJSON appends the update, which is encodable.
func (u *Update) appendJSON(b []byte) []byte {
	return object(append(b, '{')).
		text("message", u.Message).
		number("version", u.Version).
		text("sender", u.Sender).
		status("status", u.Status).
		number("delivered", int64(u.Delivered)).
		number("read", int64(u.Read)).
		number("total", int64(u.Total)).
		number("hiding", int64(u.Hiding)).
		number("failed", int64(u.Failed)).
		text("recipient", u.Recipient).
		status("recipient_status", u.RecipientStatus).
		time("delivered_at", u.DeliveredAt).
		time("read_at", u.ReadAt).
		text("failure", u.Failure).
		status("own", u.Own).
		text("body", u.Body).
		flag("body_omitted", u.BodyOmitted).
		number("floor", u.Floor).
		end()
}

// object is JSON that ends in an unfinished object. Members that are zero are left out.
type object []byte

func (o object) end() []byte { return append(o, '}') }

func (o object) name(name string) object {
	if o[len(o)-1] != '{' {
		o = append(o, ',')
	}
	return append(append(append(o, '"'), name...), `":`...)
}

func (o object) text(name, value string) object {
	if value == "" {
		return o
	}
	return appendString(o.name(name), value)
}

func (o object) number(name string, value int64) object {
	if value == 0 {
		return o
	}
	return strconv.AppendInt(o.name(name), value, 10)
}

func (o object) status(name string, value delivery.Status) object {
	if value == 0 {
		return o
	}
	return o.text(name, value.String())
}

func (o object) time(name string, value time.Time) object {
	if value.IsZero() {
		return o
	}
	return append(value.AppendFormat(append(o.name(name), '"'), time.RFC3339Nano), '"')
}

func (o object) flag(name string, value bool) object {
	if !value {
		return o
	}
	return append(o.name(name), "true"...)
}

// appendString appends a string as JSON, without the escapes that only HTML needs: they count
// towards the limit.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return append(b, quote(s)...)
		}
	}
	return append(append(append(b, '"'), s...), '"') // nothing to escape, as in nearly all ids
}

// quote returns any string as JSON.
func quote(s string) []byte {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(s) // never fails for a string
	return bytes.TrimSuffix(buffer.Bytes(), []byte("\n"))
}

package deliverytest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/msgdelivery/delivery"
)

// twins are ids that a careless comparison, collation or encoding takes for each other, or spoils.
var twins = []string{
	"A", "a", "a ", " a", "a\t", "a\n", "á", "a\u0301", "ａ",
	"ss", "ß", "i", "I", "ı", "İ", "1", "01", "1.0", "1e0", "0x1", "-1", "null", "NULL", "true", "{}", "[]", `""`,
	"'; drop table messages; --", `"`, "'", "''", "`", `\`, `\\`, `\'`, `\n`, `\u0041`, "%", "_", "a%", "?", "$1", ":a", "@a", "&amp;", "<b>",
	`{"id":"a"}`, "a,b", "{a,b}", "(a)", "a/b", "../a", "a\x01b", "\x1f", "\x7f", "\u0080", "\u2028", "\u2029", "\ufeff", "\ufffd", "\U0010ffff",
	"🙂", "🙂🙂", "👩‍👩‍👧", "עברית", "\u202eabc", "e\u200d", strings.Repeat("x", delivery.MaxID), strings.Repeat("x", delivery.MaxID-1), strings.Repeat("🙂", delivery.MaxID/4),
}

var dataCases = []storeCase{
	{"ids of messages are compared byte for byte", func(p *probe) {
		var messages []delivery.NewMessage
		var marks []delivery.Mark
		for i, id := range twins {
			messages = append(messages, frozen("c", id, "alice", "bob"))
			if i%2 == 0 {
				marks = append(marks, delivered(id, "bob", noon))
			}
		}
		for i, c := range p.create(messages...) {
			p.same("Create", c, asCreated(messages[i], int64(i+1)))
		}
		for i, m := range p.mark(marks...) {
			p.fields("the message marked", "ID Message Changed", []any{m.Header.ID, m.Receipt.Message, m.Changed}, []any{marks[i].Message, marks[i].Message, true})
		}
		for i, id := range twins {
			p.same("the deliveries of "+id, p.message(id).Delivered, 1-i%2)
		}
	}},
	{"ids of conversations are compared byte for byte", func(p *probe) {
		for i, conversation := range twins {
			p.create(frozen(conversation, fmt.Sprint("m", i), "alice", "bob"))
		}
		for i, conversation := range twins {
			id := fmt.Sprint("m", i)
			p.same("AdvanceUpTo in "+conversation, p.markUpTo(delivery.UpTo{Conversation: conversation, Message: id, User: "bob", Status: delivery.Read, At: noon}).To, int64(2))
			p.same("Unread in "+conversation, p.unread("carol", conversation, 10), badge{Newest: place(id, 1), Version: 2})
			for _, changes := range []bool{false, true} {
				page := p.list(delivery.List{Conversation: conversation, Changes: changes, Limit: 10})
				p.fields("the messages of "+conversation, "ids Version", []any{ids(page), page.Version}, []any{id, int64(2)})
			}
		}
	}},
	{"ids of users are compared byte for byte", func(p *probe) {
		var marks []delivery.Mark
		for i, sender := range twins {
			id := fmt.Sprint("m", i)
			p.create(frozen("c", id, sender, slices.DeleteFunc(slices.Clone(twins), func(user string) bool { return user == sender })...))
			marks = append(marks, read(id, sender, noon))
		}
		for i, m := range p.mark(marks...) {
			p.fields("a mark by the sender "+twins[i], "Sender Changed", []any{m.Header.Sender, m.Changed}, []any{twins[i], false})
		}
		for i, user := range twins {
			id := fmt.Sprint("m", (i+1)%len(twins))
			if m := p.mark(delivered(id, user, noon))[0]; !m.Changed || m.Receipt.Recipient != user {
				p.Errorf("the mark by the recipient %q of message %s returned %+v", user, id, m)
			}
			page := p.list(delivery.List{Conversation: "c", Limit: 100, Viewer: user})
			for j, m := range page.Messages {
				if want := j != i; (m.Own != nil) != want || want && m.Own.Recipient != user {
					p.Errorf("the own receipt of %q for message %s by %q is %+v", user, m.ID, m.Sender, m.Own)
				}
			}
		}
	}},
	{"users mark open messages and up to a message byte for byte", func(p *probe) {
		p.create(open("c", "m", "alice"))
		var marks []delivery.Mark
		for _, user := range twins {
			marks = append(marks, admitted(delivered("m", user, noon)))
		}
		p.mark(marks...)
		for _, user := range twins {
			p.same("AdvanceUpTo by "+user, p.markUpTo(delivery.UpTo{Conversation: "c", Message: "m", User: user, Status: delivery.Read, At: noon, Admitted: true}).Changed, 1)
			p.pending(user, badge{Newest: place("m", 1), Version: p.version("c")})
		}
		p.pending("someone else", badge{Unread: 1, First: place("m", 1), Newest: place("m", 1), Version: p.version("c")})
		var got []string
		for _, receipt := range p.receipts("m") {
			got = append(got, receipt.Recipient)
		}
		p.same("the readers", got, slices.Sorted(slices.Values(twins)))
	}},
	{"sockets come back as they were", func(p *probe) {
		p.create(open("c", "m", "alice"))
		p.drain()
		var marks []delivery.Mark
		for i, socket := range twins {
			marks = append(marks, admitted(from(socket, delivered("m", fmt.Sprint("user ", i), noon))))
		}
		p.mark(marks...)
		var got []string
		for _, event := range p.drain() {
			got = append(got, event.Except)
		}
		slices.Sort(got)
		p.same("the sockets", got, slices.Sorted(slices.Values(twins)))
	}},
	{"bodies come back as they were, in messages and events", func(p *probe) {
		bodies := append([]string{"", " ", "\n", strings.Repeat("x", delivery.MaxBody), strings.Repeat("\x01", delivery.MaxBody/2), strings.Repeat("🙂", delivery.MaxBody/4), strings.Join(twins, " ")}, twins...)
		for i, body := range bodies {
			m := open("c", fmt.Sprint("m", i), "alice")
			m.Body, m.EventBody = body, true
			p.same("Create", p.create(m)[0].Message.Body, body)
			p.same("Load", p.message(m.ID).Body, body)
		}
		for i, update := range updates(p.drain()) {
			p.same("the event", update.Body, bodies[i])
		}
	}},
	{"reasons of dead letters come back as they were", func(p *probe) {
		for i, reason := range twins {
			p.create(open("c", fmt.Sprint("m", i), "alice"))
			p.bury(reason)
		}
		for i, letter := range p.dead(0, len(twins)) {
			p.same("the reason", letter.Reason, twins[i])
		}
	}},
	{"times are kept to the microsecond and come back in UTC", func(p *probe) {
		east := time.FixedZone("east", 5*3600+1800)
		m := frozen("c", "m", "alice", "bob")
		m.SentAt = time.Date(2024, time.December, 31, 23, 59, 59, 999999000, east)
		one := time.Date(2025, time.January, 1, 0, 0, 0, 1000, east)
		two := time.Date(2025, time.March, 30, 2, 30, 0, 123456000, time.FixedZone("west", -8*3600))
		created := p.create(m)
		p.mark(delivered("m", "bob", one))
		marked := p.mark(read("m", "bob", two))
		page := p.list(delivery.List{Conversation: "c", Viewer: "bob", Limit: 1})
		receipt := page.Messages[0].Own
		if receipt == nil {
			p.Fatalf("bob has no receipt")
		}
		event := updates(p.drain())[2].Receipt
		for _, c := range []struct {
			what      string
			got, want time.Time
		}{
			{"SentAt of Create", created[0].Message.SentAt, m.SentAt},
			{"SentAt of Advance", marked[0].Header.SentAt, m.SentAt},
			{"SentAt of List", page.Messages[0].SentAt, m.SentAt},
			{"SentAt of Load", p.message("m").SentAt, m.SentAt},
			{"DeliveredAt of Advance", marked[0].Receipt.DeliveredAt, one},
			{"ReadAt of Advance", marked[0].Receipt.ReadAt, two},
			{"DeliveredAt of the own receipt", receipt.DeliveredAt, one},
			{"ReadAt of the own receipt", receipt.ReadAt, two},
			{"DeliveredAt of Receipts", p.receipts("m")[0].DeliveredAt, one},
			{"DeliveredAt of the event", event.DeliveredAt, one},
			{"ReadAt of the event", event.ReadAt, two},
			{"DeliveredAt of the message", page.Messages[0].DeliveredAt, one},
			{"ReadAt of the message", page.Messages[0].ReadAt, two},
		} {
			if !c.got.Equal(c.want) || c.got.Location() != time.UTC {
				p.Errorf("%s is %v, want %v", c.what, c.got, c.want.UTC())
			}
		}
	}},
	{"times that have not come are zero", func(p *probe) {
		p.create(frozen("c", "m", "alice", "bob", "carol"))
		p.mark(delivered("m", "bob", minute(1)))
		p.same("the message's", p.message("m").Tally, delivery.Tally{Version: 2, Status: delivery.Sent, Delivered: 1})
		for _, receipt := range p.receipts("m") {
			if !receipt.ReadAt.IsZero() || receipt.Recipient == "carol" && !receipt.DeliveredAt.IsZero() {
				p.Errorf("a receipt at %v has times: %+v", receipt.Status, receipt)
			}
		}
	}},
}

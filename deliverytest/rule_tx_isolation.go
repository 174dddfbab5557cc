package deliverytest

import (
	"database/sql"
	"fmt"
	"sync"
	"time"

	"github.com/msgdelivery/delivery"
)

// isolationCases are the rules that hold at each isolation level. An answer inside a transaction is
// exact, as if the transaction had begun with the call, or it is an error that wraps
// [delivery.ErrTxConflict].
var isolationCases = []txCase{
	{"a receipt never goes backwards, whoever marked it since the transaction first read", func(p *txProbe) {
		for first := range 2 {
			for second := range 2 {
				s := p.scene()
				others := []txCall{s.advance(s.mark("m2", "bob", delivery.Read)), s.advance(s.mark("m2", "carol", delivery.Read))}
				calls := []txCall{
					[]txCall{s.create(s.message("reply", "bob")), s.advance(s.mark("m1", "bob", delivery.Delivered))}[first],
					[]txCall{s.advance(s.mark("m2", "bob", delivery.Delivered)), s.upTo("bob", "m2", delivery.Delivered)}[second],
				}
				if s.play(afterCommit, others, calls) {
					p.same("the receipt, which was read,", p.receiptOf(s.id("m2")).Status, delivery.Read)
				}
			}
		}
	}},
	{"an up-to mark reaches all that was sent before the named message, also since the transaction first read", func(p *txProbe) {
		s := p.scene()
		if s.play(afterCommit, []txCall{s.create(s.message("m3", "alice"))},
			[]txCall{s.create(s.message("reply", "bob")), s.upTo("bob", "reply", delivery.Read)}) {
			p.same("the receipt of what was sent since", p.receiptOf(s.id("m3")).Status, delivery.Read)
		}
	}},
	{"each call, and each pair and triple of calls, is exact or says to run the transaction again", func(p *txProbe) {
		for _, when := range []moment{atFirst, afterRead, afterCommit, afterCall} {
			for n := 1; n <= 3+9+27; n++ {
				s := p.scene()
				var calls []txCall
				for rest := n; rest > 0; rest = (rest - 1) / 3 { // in base 3 with the digits 1, 2 and 3
					calls = append(calls, s.form(rest%3, len(calls)))
				}
				s.play(when, []txCall{
					s.advance(s.mark("m2", "bob", delivery.Read), s.mark("m2", "carol", delivery.Read)),
					s.create(s.message("m3", "alice")),
					s.upTo("carol", "m3", delivery.Delivered),
				}, calls)
			}
		}
	}},
	{"after an error every later call on the transaction fails and stores nothing", func(p *txProbe) {
		for form := range 3 {
			s := p.scene()
			for statements := 0; s.interrupt(s.form(form, 0), statements); statements++ {
			}
		}
	}},
	{"whatever transactions race after reads of their own, no mark is lost and all counts are exact", func(p *txProbe) {
		const rounds = 5
		s := p.scene()
		var mu sync.Mutex
		marked := map[string]int64{} // by a message up to which its sender read, the seq that the mark told
		p.together(len(people), func(worker int) error {
			user := people[worker]
			for round := range rounds {
				id, seq := fmt.Sprint(user, round), int64(0)
				calls := []txCall{
					s.create(s.message(id, user)),
					s.advance(s.mark("m1", user, delivery.Delivered), s.mark("open", user, delivery.Read)),
					s.upTo(user, id, delivery.Read),
				}
				if err := p.transact((*sql.Tx).Commit, func(tx delivery.DBTX) (err error) {
					inside := p.inside(tx)
					err = p.look(inside, s.conversation, user)
					time.Sleep(grain) // for others to commit
					for i := 0; i < len(calls) && err == nil; i++ {
						var answer any
						if answer, err = calls[i].do(p.ctx, inside); i == 2 && err == nil {
							seq = answer.(delivery.MarkedUpTo).Header.Seq
						}
					}
					return err
				}); err != nil {
					return err
				}
				mu.Lock()
				marked[s.id(id)] = seq
				mu.Unlock()
				if _, err := s.create(s.message(id+" again", user)).do(p.ctx, p.store); err != nil {
					return err
				}
			}
			return nil
		})
		s.recount(marked)
	}},
}

// recount checks all counts of the conversation against its receipts, and that whoever marked all
// up to a message of their own has read all of that in the eyes of others. Marked has the seqs of
// these messages, as the marks told.
func (s *scene) recount(marked map[string]int64) {
	s.Helper()
	messages, version := s.all(s.conversation)
	upTo, unread := map[string]int64{}, map[string]badge{}
	for _, m := range messages {
		if seq, ok := marked[m.ID]; ok {
			s.same("the seq of "+m.ID, seq, m.Seq)
			upTo[m.Sender] = m.Seq
		}
	}
	for _, m := range messages {
		var counted delivery.Tally
		status, capped := map[string]delivery.Status{}, map[string]bool{}
		for _, r := range s.receipts(m.ID) {
			status[r.Recipient], capped[r.Recipient] = r.Status, r.Reason == delivery.Capped
			counted.Count(m.Header, delivery.Receipt{}, r)
		}
		s.same("deliveries and readers of "+m.ID+", and its status",
			[]any{m.Delivered, m.Read, m.Status}, []any{counted.Delivered, counted.Read, max(counted.Status, delivery.Sent)})
		for _, user := range people {
			p := unread[user]
			p.Newest, p.Version = place(m.ID, m.Seq), version
			if user != m.Sender && status[user] != delivery.Read {
				if p.Unread++; p.Unread == 1 {
					p.First = p.Newest
				}
				if m.Seq <= upTo[user] && !capped[user] {
					s.Errorf("%s's receipt of %q is %v after a mark up to seq %d", user, m.ID, status[user], upTo[user])
				}
			}
			unread[user] = p
		}
	}
	for _, user := range people {
		s.same("what is unread for "+user, s.unread(user, s.conversation, 100), unread[user])
	}
}

package deliverytest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/memstore"
)

// people are in every scene, as the recipients of each other's messages.
var people = []string{"alice", "bob", "carol", "dave"}

// places is how many calls of one form differ, each with a guest of its own.
const places = 4

func guest(place int) string { return fmt.Sprint("guest", place) }

// moment is when a transaction makes its calls.
type moment string

const (
	atFirst     moment = "as its first statements"
	afterRead   moment = "after a read"
	afterCommit moment = "after a read, and then another caller's commit"
	afterCall   moment = "after a call elsewhere, and then another caller's commit"
)

// aside is a conversation beside the scenes.
const aside = "aside"

var errLockedOut = errors.New("nobody can write beside the transaction")

// scene is a conversation of its own, in the store under test and in a reference.
type scene struct {
	*txProbe
	conversation string
	reference    delivery.Store
	last         string       // of the messages, as far as form has made calls
	minutes      atomic.Int64 // gives each mark a time of its own
}

// txCall is one call, whose answer the store and the reference must agree on.
type txCall struct {
	name string
	do   func(ctx context.Context, store delivery.Store) (answer any, err error)
}

// scene sets up alice's messages m1, m2 and open.
func (p *txProbe) scene() *scene {
	p.Helper()
	if p.scenes++; p.scenes == 1 {
		p.create(open(aside, aside, "alice"))
	}
	s := &scene{txProbe: p, conversation: fmt.Sprint("scene", p.scenes), reference: memstore.New(), last: "m3"}
	public := open(s.conversation, s.id("open"), "alice")
	setup := []delivery.NewMessage{s.message("m1", "alice"), s.message("m2", "alice"), public}
	p.create(setup...)
	_, _, err := s.reference.Create(p.ctx, setup, delivery.Lease{})
	p.must("the reference's Create", err)
	return s
}

func (s *scene) id(message string) string { return s.conversation + " " + message }

func (s *scene) message(id, sender string) delivery.NewMessage {
	recipients := slices.DeleteFunc(slices.Clone(people), func(user string) bool { return user == sender })
	m := frozen(s.conversation, s.id(id), sender, recipients...)
	if id == "m1" { // in which carol hides reads
		m.Roster += ", capped"
		m.Caps = []delivery.Status{delivery.Read, delivery.Delivered, delivery.Read}
	}
	return m
}

func (s *scene) mark(message, user string, status delivery.Status) delivery.Mark {
	at := minute(int(s.minutes.Add(1)))
	return delivery.Mark{Message: s.id(message), User: user, Status: status, At: at, Admitted: true}
}

func (s *scene) create(messages ...delivery.NewMessage) txCall {
	return txCall{"Create", func(ctx context.Context, store delivery.Store) (any, error) {
		return create(ctx, store, messages)
	}}
}

func (s *scene) advance(marks ...delivery.Mark) txCall {
	return txCall{"Advance", func(ctx context.Context, store delivery.Store) (any, error) {
		return advance(ctx, store, marks)
	}}
}

func (s *scene) upTo(user, message string, status delivery.Status) txCall {
	m := s.mark(message, user, status)
	upTo := delivery.UpTo{Conversation: s.conversation, Message: m.Message, User: user, Status: status, At: m.At, Admitted: true}
	return txCall{"AdvanceUpTo", func(ctx context.Context, store delivery.Store) (any, error) {
		marked, err := advanceUpTo(ctx, store, plenty, upTo)
		if err != nil {
			return nil, err
		}
		return marked[0], nil
	}}
}

// form returns one of the three calls, for the given place in a transaction. Message m3 exists if
// somebody has created it.
func (s *scene) form(form, place int) txCall {
	status := [...]delivery.Status{delivery.Delivered, delivery.Read}[place%2]
	switch form {
	case 0:
		s.last = fmt.Sprint("reply", place)
		return s.create(s.message(s.last, "bob"), s.message("m3", "alice"), s.message("m2", "alice"))
	case 1:
		return s.advance(s.mark("m2", "bob", status), s.mark("m1", "carol", status), s.mark("m3", "dave", status),
			s.mark("open", guest(place), status))
	default:
		return s.upTo("bob", s.last, delivery.Delivered+delivery.Read-status)
	}
}

// play makes the calls in a transaction, with those of others in between if that is part of the
// moment. It compares all answers, and what is stored in the end, with the reference, and reports
// whether it came to that and found no difference.
func (s *scene) play(when moment, others, calls []txCall) bool {
	s.Helper()
	if when != afterCommit && when != afterCall {
		others = nil
	}
	if s.Failed() || others != nil && s.lockedOut[when] {
		return false
	}
	names := make([]string, len(calls))
	for i, call := range calls {
		names[i] = call.name
	}
	what := fmt.Sprintf("%s: %s", when, strings.Join(names, ", "))
	var theirs, answers []any
	err := s.transact((*sql.Tx).Commit, func(tx delivery.DBTX) (err error) {
		inside := s.inside(tx)
		switch when {
		case afterRead:
			err = s.look(inside, s.conversation, "bob")
		case afterCommit: // to read another conversation locks nothing of this one
			err = s.look(inside, aside, "bob")
		case afterCall:
			_, _, err = inside.Advance(s.ctx, []delivery.Mark{admitted(read(aside, s.conversation, noon))}, delivery.Lease{})
		}
		if err == nil && theirs == nil && others != nil {
			theirs, err = s.meanwhile(others)
		}
		answers = nil
		for i := 0; i < len(calls) && err == nil; i++ {
			var answer any
			if answer, err = calls[i].do(s.ctx, inside); err != nil {
				s.dead(calls[i].name, tx)
			}
			answers = append(answers, answer)
		}
		return err
	})
	if errors.Is(err, errLockedOut) {
		s.Logf("not tested %s: %v", when, err)
		s.lockedOut[when] = true
		return false
	}
	s.must(what, err)
	s.repeat("another caller's, "+what, others, theirs)
	s.repeat(what, calls, answers)
	s.compare(what)
	return !s.Failed()
}

// meanwhile makes others' calls beside a transaction, unless that has locked the whole database, as
// it may if the store lets in one writer at a time.
func (s *scene) meanwhile(others []txCall) (answers []any, err error) {
	limit := patience
	if s.oneWriter {
		limit = 20 * short
	}
	ctx, cancel := context.WithTimeout(s.ctx, limit)
	defer cancel()
	for _, call := range others {
		answer, err := call.do(ctx, s.store)
		if err != nil && ctx.Err() != nil && s.oneWriter {
			return nil, errLockedOut
		}
		if err != nil {
			return nil, err
		}
		answers = append(answers, answer)
	}
	return answers, nil
}

// repeat makes calls on the reference and compares the answers.
func (s *scene) repeat(what string, calls []txCall, answers []any) {
	s.Helper()
	for i, call := range calls {
		want, err := call.do(s.ctx, s.reference)
		s.must("the reference's "+call.name, err)
		s.same(fmt.Sprintf("%s: answer %d", what, i+1), answers[i], want)
	}
}

// compare compares what is stored with the reference: messages, receipts, what is unread, and
// readers' places, which show in what is left to mark.
func (s *scene) compare(what string) {
	s.Helper()
	list := delivery.List{Conversation: s.conversation, Limit: 100}
	want, err := s.reference.List(s.ctx, list)
	s.must("the reference's List", err)
	got := s.list(list)
	want.Epoch = got.Epoch // each store has its own
	s.same(what+": the messages", got, want)
	ids := make([]string, len(want.Messages))
	for i, m := range want.Messages {
		ids[i] = m.ID
	}
	receipts := everybodys(ids)
	s.same(what+": the receipts", s.receiptsOf(s.store, receipts), s.receiptsOf(s.reference, receipts))
	newest := ids[len(ids)-1:]
	listed, err := allReceipts(s.ctx, s.reference, newest)
	s.must("the reference's Receipts", err)
	s.same(what+": the receipts of "+newest[0]+", listed,", s.receipts(newest...), listed)
	for _, user := range people {
		got, err := s.store.Unread(s.ctx, user, []string{s.conversation}, 100)
		s.must("Unread", err)
		unread, err := s.reference.Unread(s.ctx, user, []string{s.conversation}, 100)
		s.must("the reference's Unread", err)
		s.same(what+": what is unread for "+user, got, unread)
	}
	rest := s.upTo("bob", strings.TrimPrefix(want.Messages[len(want.Messages)-1].ID, s.id("")), delivery.Read)
	answer, err := rest.do(s.ctx, s.store)
	s.must(rest.name, err)
	s.repeat(what+": the rest", []txCall{rest}, []any{answer})
}

// everybodys returns the keys of the receipts that anybody in the scene may have of these messages.
func everybodys(messages []string) (keys []delivery.ReceiptKey) {
	for _, id := range messages {
		for _, user := range people {
			keys = append(keys, delivery.ReceiptKey{Message: id, Recipient: user})
		}
		for place := range places {
			keys = append(keys, delivery.ReceiptKey{Message: id, Recipient: guest(place)})
		}
	}
	return keys
}

// dead checks that no call works on a transaction after an error.
func (s *scene) dead(failed string, tx delivery.DBTX) {
	s.Helper()
	for form := range 3 {
		call := s.form(form, places-1)
		if _, err := call.do(s.ctx, s.inside(tx)); err == nil {
			s.Errorf("after an error of %s on the same transaction, %s returned none", failed, call.name)
		}
	}
}

// interrupt makes a call whose ctx ends after so many of the transaction's statements, and reports
// whether it failed for that and all was well. If the caller commits all the same, nothing may be
// stored.
func (s *scene) interrupt(call txCall, statements int) bool {
	s.Helper()
	tx, err := s.db.BeginTx(s.ctx, &s.options)
	s.must("BeginTx", err)
	defer tx.Rollback()
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	interrupted := &interruptedTx{tx, statements, cancel}
	if _, err := call.do(ctx, s.inside(interrupted)); err == nil {
		return false
	}
	what := fmt.Sprintf("%s that was cut short after %d statements", call.name, statements)
	s.dead(what, interrupted)
	tx.Commit() // which may fail too
	s.compare(what)
	return !s.Failed()
}

// interruptedTx is a transaction that cancels the ctx of a call before one of its statements.
type interruptedTx struct {
	*sql.Tx
	left   int // statements until then
	cancel func()
}

func (tx *interruptedTx) count() {
	if tx.left--; tx.left < 0 {
		tx.cancel()
	}
}

func (tx *interruptedTx) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	tx.count()
	return tx.Tx.ExecContext(ctx, query, args...)
}

func (tx *interruptedTx) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	tx.count()
	return tx.Tx.QueryContext(ctx, query, args...)
}

func (tx *interruptedTx) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	tx.count()
	return tx.Tx.QueryRowContext(ctx, query, args...)
}

package delivery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"
)

// MaxCode is how many bytes a [Failure.Code] may have.
const MaxCode = 64

// Failure says that a message did not reach a recipient.
type Failure struct {
	Message   string
	Recipient string

	// Code says why, in the app's own words, such as "mailbox_full" or "5.1.1". It has 1 to
	// [MaxCode] bytes of a to z, 0 to 9, "_", "." and "-". Everybody who may see the recipients of
	// the message sees it, so it must hold no address and no text of a mail server.
	Code string
}

// Fail records that a message did not reach a recipient: for an app that learns of a bounce after
// it has sent the message out by mail or SMS. As long as the recipient's receipt is at [Sent],
// everybody sees the code in the receipt ([Receipt.Failure]), and the recipient counts in
// [Tally.Failed] of the message. The failure disappears when the recipient makes a mark that others
// may see.
//
// A receipt has one failure, the one that was recorded last. Recording the same code again changes
// nothing. A failure that others see is a change of its own: it raises the conversation's version,
// and a [StatusChanged] event announces it. Whether others see the failure does not depend on
// private marks of the recipient. If the receipt has reached Delivered, or the recipient is
// untracked, nobody sees the failure, and no event announces it. The failure is still stored, for
// [Due.Failure] only, and Fail returns nil.
//
// Whether the caller may do this is for the app to decide, before the call. Users should not be
// able to record failures, so deliveryhttp has no route for Fail.
//
// Fail returns an [*InvalidError] of the field "code" if the code is not valid (see [Failure]), of
// the field "message" if the message is open and so has no recipients, and of the field "recipient"
// if the recipient is the message's sender. If the message does not exist, the error is
// [ErrNotFound]. If the user is not among its recipients, the error is [ErrNotRecipient]. In all
// these cases nothing changes.
//
// Fail needs a [FailureStore]; with any other store it returns [errors.ErrUnsupported]. If ctx has
// no deadline, it takes at most [Options.WriteTimeout]. If the error wraps [ErrOutcomeUnknown], the
// call may be repeated.
func (t *Tracker) Fail(ctx context.Context, f Failure) error {
	store, ok := t.store.(FailureStore)
	if !ok {
		return fmt.Errorf("delivery: %T is no FailureStore: %w", t.store, errors.ErrUnsupported)
	}
	if err := f.check(); err != nil {
		return err
	}
	out, err := t.fail(ctx, store, NewFailure{Failure: f, Trace: t.trace(ctx)})
	if err != nil {
		err = outcome("recording a failure", err)
	} else {
		err = f.judge(out)
	}
	t.opts.Observer.Failed(ctx, FailedInfo{
		Conversation: out.Header.Conversation, Message: f.Message, Recipient: f.Recipient, Code: f.Code, Changed: out.Changed, Err: err,
	})
	return err
}

// fail is one call of the store that is not blocked.
func (t *Tracker) fail(ctx context.Context, store FailureStore, f NewFailure) (Failed, error) {
	ctx, cancel := limited(ctx, t.opts.WriteTimeout)
	defer cancel()
	return patient(ctx, func() (Failed, bool, error) {
		began := time.Now()
		out, claimed, err := store.Fail(ctx, f, t.relay.lease())
		t.relay.handOver(claimed, began)
		return out, out.Blocked, err
	})
}

func (f Failure) check() error {
	if err := cmp.Or(checkID("message", f.Message), checkID("recipient", f.Recipient)); err != nil {
		return err
	}
	if f.Code == "" {
		return &InvalidError{Field: "code", Reason: "is empty"}
	}
	if len(f.Code) > MaxCode {
		return &InvalidError{Field: "code", Reason: fmt.Sprintf("is longer than %d bytes", MaxCode)}
	}
	for _, c := range []byte(f.Code) {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '_', c == '.', c == '-':
		default:
			return &InvalidError{Field: "code", Reason: "has something else than a to z, 0 to 9, _, . and -"}
		}
	}
	return nil
}

// judge names what the store's answer means.
func (f Failure) judge(out Failed) error {
	switch h := out.Header; {
	case h.ID == "":
		return ErrNotFound
	case h.ID != f.Message:
		return errStray
	case h.Open:
		return &InvalidError{Field: "message", Reason: "is open, and so has no recipients"}
	case h.Sender == f.Recipient:
		return &InvalidError{Field: "recipient", Reason: "is the message's sender"}
	case !out.Receipt.Status.Valid():
		return ErrNotRecipient
	}
	return nil
}

// Fail records a failure in the receipt if others may see it, and reports whether they see a
// failure that they did not see before. Limit is the recipient's cap: the highest status of the
// recipient that others may ever see. Fail leaves Version to the store.
func (r *Receipt) Fail(code string, limit Status) bool {
	if r.Status != Sent || limit == Sent || r.Failure == code {
		return false
	}
	r.Failure = code
	return true
}

// FailureStore is a [Store] that keeps failures: [Tracker.Fail] needs it. The rules for every
// method of a Store hold for it. The executable form of this contract is
// deliverytest.TestFailureStore.
//
// If others see the failure of a receipt, the receipt's Status is [Sent] and its Version is that of
// the failure. Receipts and ReceiptsOf return it in that form. When the receipt advances, it loses
// its failure, and its message counts one failure less, in the event and in all answers from then
// on ([Tally.Count]). [Message.Own] and the results of AdvanceOwn never contain a failure. If the
// store is a [Keeper], deleting or pruning a message removes its failures, Verify counts the
// failures that others see, and erasing a user keeps the user's failures without the name. If the
// store is an [OverdueStore], its Overdue returns failures ([Due.Failure]).
type FailureStore interface {
	Store

	// Fail keeps a failure, unless there is no such message, the message is open, or the user is
	// not among its recipients. It replaces an earlier one of the same receipt.
	//
	// If [Receipt.Fail] reports that others see the failure, the failure takes a version, which
	// becomes the Version of the receipt and of the message. The store counts the failure with
	// [Tally.Count]. A [StatusChanged] event with an empty Except announces the failure. The event
	// is stored under the lease and returned, or is due at once if the lease is zero. A failure
	// that others do not see takes no version and makes no event. Fail ignores the recipient's
	// private marks.
	Fail(ctx context.Context, f NewFailure, lease Lease) (Failed, []Claimed, error)
}

// NewFailure is what [FailureStore.Fail] stores: a validated failure.
type NewFailure struct {
	Failure
	Trace string // of the call; see [Event.AddTrace]
}

// Failed is the result of [FailureStore.Fail] for a failure.
type Failed struct {
	Header  Header  // zero if there is no such message
	Receipt Receipt // the user's, as others see it then; zero if the user is no recipient
	Changed bool    // others see the failure, and did not see the same one before
	Blocked bool    // not tried: another transaction has locked the conversation; all else is zero
}

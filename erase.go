package delivery

import (
	"context"
	"errors"
	"fmt"
)

// eraseLimit is in how many conversations one transaction takes out a name.
const eraseLimit = 20

// Erase takes a user's name out of all conversations, in small transactions, and then out of the
// events that wait and the dead letters. Messages and receipts stay as they are, and so do counts
// and quorums, but the sender or the recipient is empty: "". Lists of recipients have those without
// a name last. If Erase ends early, with an error, a further call goes on; when all is erased, a
// call changes nothing.
//
// First take the user out of the app's own lists of members, and sign the user out. A mark by the
// erased user is [ErrNotRecipient] from then on, and a message that names the user again makes a
// new user of that name, who has no part in the older ones. What is under way at that moment may
// still tell the name, within [Options.Lease]. Bodies, and the ids that the app has chosen for
// messages and conversations, stay too: to remove the messages, [Tracker.Delete] them before.
//
// Whoever reads the database still sees which receipts and messages are of one erased user in a
// conversation. In a conversation of two, that is no secret.
//
// Erase needs a [Keeper]; with any other store it returns [errors.ErrUnsupported].
func (t *Tracker) Erase(ctx context.Context, user string) error {
	keeper, err := t.keeper()
	if err != nil {
		return err
	}
	return erase(ctx, keeper, user)
}

// EraseTx is [Tracker.Erase] inside the caller's transaction: the name is gone if and only if the
// caller commits. It waits for the conversations that other transactions have locked, and keeps all
// of the user's locked until the transaction ends. At an isolation above READ COMMITTED it may miss
// what others began with the user after the transaction's first read. It needs a [TxStore] whose
// InTx returns a [Keeper].
func (t *Tracker) EraseTx(ctx context.Context, tx DBTX, user string) error {
	inside, err := t.inTx(tx)
	if err != nil {
		return err
	}
	keeper, ok := inside.(Keeper)
	if !ok {
		return fmt.Errorf("delivery: %T is no Keeper: %w", t.store, errors.ErrUnsupported)
	}
	return erase(ctx, keeper, user)
}

func erase(ctx context.Context, keeper Keeper, user string) error {
	if err := checkID("user", user); err != nil {
		return err
	}
	for more := true; more; {
		result, err := patient(ctx, func() (ErasureResult, bool, error) {
			r, err := keeper.Erase(ctx, user, eraseLimit)
			return r, r.Blocked && r.Erased == 0, err
		})
		if err != nil {
			return outcome("erasing a user", err)
		}
		more = result.More || result.Blocked
	}
	return nil
}

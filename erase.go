package delivery

import "context"

// eraseLimit is in how many conversations one transaction takes out a name.
const eraseLimit = 20

// Erase takes a user's name out of all conversations, in small transactions, and then out of
// waiting events and dead letters. The user's messages and receipts keep their statuses, counts and
// quorums, but their sender or recipient is "". Erased users come last in lists of recipients. If
// the name is gone already, Erase changes nothing.
//
// Erase waits for conversations that other transactions have locked. If ctx has no deadline, each
// of Erase's own transactions waits for them at most [Options.WriteTimeout]. For events and dead
// letters that others have locked it waits as long as ctx lasts. If Erase returns an error, a
// further call goes on from there.
//
// First take the user out of the app's own lists of members, and sign the user out. After the
// erasure, a mark by the user is [ErrNotRecipient]. If a later message names the user again, that
// is a new user, who has no part in the older messages. An event that a relay holds during the
// erasure may still be published with the name, for up to [Options.Lease] after it. Bodies stay,
// and so do the ids that the app has chosen for messages and conversations: to remove the messages,
// call [Tracker.Delete] first.
//
// The database still shows which receipts and messages in a conversation are of the same erased
// user. In a conversation of two, everybody knows who that is.
//
// Erase needs a [Keeper]; with any other store it returns [errors.ErrUnsupported].
func (t *Tracker) Erase(ctx context.Context, user string) error {
	keeper, err := keeperOf(t.store)
	if err != nil {
		return err
	}
	return t.erase(ctx, keeper, user)
}

// EraseTx is [Tracker.Erase] inside the caller's transaction: the name is gone if and only if the
// caller commits. It waits for conversations that other transactions have locked. All conversations
// of the user, and all waiting events that contain the name, stay locked until the transaction
// ends. A locked event that a relay holds may be published twice. The other locked events are
// published after the transaction. At an isolation above READ COMMITTED it may miss conversations
// that the user came into after the transaction's first read. It needs a [TxStore] whose InTx
// returns a [Keeper].
func (t *Tracker) EraseTx(ctx context.Context, tx DBTX, user string) error {
	inside, err := t.inTx(tx)
	if err != nil {
		return err
	}
	keeper, err := keeperOf(inside)
	if err != nil {
		return err
	}
	return t.erase(ctx, keeper, user)
}

func (t *Tracker) erase(ctx context.Context, keeper Keeper, user string) error {
	if err := checkID("user", user); err != nil {
		return err
	}
	for more := true; more; {
		waiting, cancel := limited(ctx, t.opts.WriteTimeout)
		result, err := patient(waiting, func() (ErasureResult, bool, error) {
			r, err := keeper.Erase(ctx, user, eraseLimit) // which may work for longer than it may wait
			return r, r.Blocked && r.Erased == 0, err
		})
		cancel()
		if err != nil {
			return outcome("erasing a user", err)
		}
		more = result.More || result.Blocked
	}
	return nil
}

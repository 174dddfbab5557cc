package delivery

import "context"

// Run is the relay: it publishes committed events until ctx ends, and returns nil then. Any number
// of processes may run a relay over the same store. If a process leaves events behind, even by a
// crash, another publishes them once their lease has run out. A second Run of the same Tracker at
// the same time is [ErrRunning].
//
// CUBIC, the congestion control of TCP (RFC 9438), adapts the number of concurrent calls of the
// Notifier to the backlog and to what the endpoint can take. The number begins at 10. As long as
// events are waiting, it doubles about once in the time that a call takes. If calls fail, or become
// much slower than they are when only a few run at a time, the number is cut by 30 %. It then grows
// slowly towards the number that was too much the last time. [Options.NotifyCalls] bounds it. After
// 5 failures in a row, or when the endpoint asks for a pause ([RetryAfter]), nothing is published
// for a while, and then one event, before all others follow.
//
// Conversations take turns, so that an event does not wait for another conversation's backlog.
// Events that the relay claims from the outbox, such as those that other processes left there, are
// published in the order in which they fell due, and so wait for the backlog of all processes.
// Events that this process committed and still holds do not wait for that backlog.
//
// When ctx ends, Run claims no more events, releases the events that it has not begun to publish,
// so that other relays can publish them, and finishes the calls in flight. It returns within
// [Options.Lease]: a call of the Notifier may take up to 1/3 of that time, and so may the write
// that records its result.
func (t *Tracker) Run(ctx context.Context) error { return t.relay.run(ctx) }

// Wake makes a running relay look at the outbox now: call it after the commit of a transaction in
// which a Tx form was used. Without a Run in this process it does nothing.
func (t *Tracker) Wake() { t.relay.wake() }

// Flush publishes the events that are due now, and returns when no more are due. It is for tests,
// and for scripts that have no [Tracker.Run]. It stops at the first failure of the endpoint and
// returns it. Refused events are no failure: they come again later, or go to the dead letters.
// Events that a running relay holds are not due.
func (t *Tracker) Flush(ctx context.Context) error { return t.relay.flush(ctx) }

package memstore

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/msgdelivery/delivery"
)

// Claim puts up to limit due events under the lease.
func (s *Store) Claim(ctx context.Context, limit int, lease delivery.Lease) ([]delivery.Claimed, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var claimed []delivery.Claimed
	now := s.now()
	for len(claimed) < limit {
		shard := s.longestDue(now)
		if shard == nil {
			break
		}
		shard.lock()
		if c, ok := shard.outbox.claim(lease, now); ok { // or somebody was faster
			claimed = append(claimed, c)
		}
		shard.unlock()
	}
	return claimed, nil
}

// Settle ends claims and moves dead letters, as [delivery.Store] says. A lease that has run out
// settles its event still, as long as nobody else has claimed it.
func (s *Store) Settle(ctx context.Context, settlements []delivery.Settlement) (held int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	now := s.now()
	for i := range settlements {
		shard := &s.shards[settlements[i].ID&(shards-1)]
		shard.lock()
		if shard.outbox.settle(&settlements[i], now) {
			held++
		}
		shard.unlock()
	}
	return held, nil
}

// Dead returns up to limit dead letters with ids greater than after, in order of id.
func (s *Store) Dead(ctx context.Context, after int64, limit int) ([]delivery.DeadLetter, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.lock(all)
	defer s.unlock(all)
	var letters []delivery.DeadLetter
	for i := range s.shards {
		letters = s.shards[i].outbox.deadAfter(letters, after, limit)
	}
	slices.SortFunc(letters, func(a, b delivery.DeadLetter) int { return cmp.Compare(a.Event.ID, b.Event.ID) })
	return letters[:min(limit, len(letters))], nil
}

// Backlog counts the outbox.
func (s *Store) Backlog(ctx context.Context) (backlog delivery.Backlog, err error) {
	if err := ctx.Err(); err != nil {
		return backlog, err
	}
	s.lock(all)
	defer s.unlock(all)
	now := s.now()
	for i := range s.shards {
		outbox := &s.shards[i].outbox
		backlog.Waiting += len(outbox.waiting) - outbox.gone
		backlog.Dead += len(outbox.dead)
		backlog.Oldest = max(backlog.Oldest, outbox.oldest(now))
	}
	return backlog, nil
}

// births adds the events of one commit.
type births struct {
	store   *Store
	lease   delivery.Lease
	now     time.Duration // 0 before the first
	claimed []delivery.Claimed
}

func (b *births) add(shard *shard, news news) {
	if b.now == 0 {
		b.now = b.store.now()
	}
	if claimed := b.store.add(shard, news, b.lease, b.now); b.lease.Token != 0 {
		b.claimed = append(b.claimed, claimed)
	}
}

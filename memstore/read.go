package memstore

import (
	"context"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/nameless"
)

// Load returns the messages with these ids that exist.
func (s *Store) Load(ctx context.Context, ids []string) ([]delivery.Message, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	var messages []delivery.Message
	for _, id := range distinct(ids) {
		if m := s.messages[id]; m != nil && !m.deleted {
			messages = append(messages, m.public())
		}
	}
	return messages, nil
}

// List returns a page of one conversation.
func (s *Store) List(ctx context.Context, list delivery.List) (delivery.Page, error) {
	if err := s.enter(ctx); err != nil {
		return delivery.Page{}, err
	}
	defer s.mu.Unlock()
	var page delivery.Page
	if c := s.conversations[list.Conversation]; c != nil {
		page = c.page(list)
	}
	page.Epoch = s.epoch
	return page, nil
}

// Unread counts what a user has not read, as [delivery.Store] says.
func (s *Store) Unread(ctx context.Context, user string, conversations []string, limit int) ([]delivery.Unread, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	all := make([]delivery.Unread, len(conversations))
	for i, id := range conversations {
		if c := s.conversations[id]; c != nil {
			all[i] = c.unread(user, limit)
		}
		all[i].Conversation = id
	}
	return all, nil
}

// Receipts returns a page of the receipts of one message.
func (s *Store) Receipts(ctx context.Context, list delivery.ReceiptList) (delivery.ReceiptPage, error) {
	if err := s.enter(ctx); err != nil {
		return delivery.ReceiptPage{}, err
	}
	defer s.mu.Unlock()
	var page delivery.ReceiptPage
	if m := s.messages[list.Message]; m != nil {
		for r := range m.receiptsAfter(list.After) {
			if !list.On(r) {
				continue
			}
			if n := len(page.Receipts); n == list.Limit {
				page.More, page.Next = true, page.Receipts[n-1].Recipient
				break
			}
			page.Receipts = append(page.Receipts, r)
		}
	}
	for i := range page.Receipts {
		page.Receipts[i].Recipient = nameless.Shown(page.Receipts[i].Recipient)
	}
	return page, nil
}

// ReceiptsOf returns the receipts with these keys, and leaves out those that do not exist.
func (s *Store) ReceiptsOf(ctx context.Context, keys []delivery.ReceiptKey) ([]delivery.Receipt, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	var receipts []delivery.Receipt
	for _, key := range keys {
		if m := s.messages[key.Message]; m != nil {
			if r, exists := m.shown(key.Recipient); exists {
				receipts = append(receipts, r)
			}
		}
	}
	return receipts, nil
}

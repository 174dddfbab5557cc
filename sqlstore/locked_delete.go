package sqlstore

import (
	"context"
	"errors"

	"github.com/msgdelivery/delivery"
)

func (l *locked) delete(ctx context.Context, s *session, deletions []delivery.Deletion, lease delivery.Lease) ([]delivery.Deleted, []delivery.Claimed, error) {
	return nil, nil, errors.ErrUnsupported
}

package sqlstore

import (
	"strconv"

	"github.com/msgdelivery/delivery"
)

// The numbers of statuses, kinds and outcomes, as they are written in statements.
var (
	sqlSent      = number(delivery.Sent)
	sqlDelivered = number(delivery.Delivered)
	sqlRead      = number(delivery.Read)

	sqlMessageSent    = number(delivery.MessageSent)
	sqlStatusChanged  = number(delivery.StatusChanged)
	sqlMessageDeleted = number(delivery.MessageDeleted)

	sqlRelease = number(delivery.SettleRelease)
	sqlBury    = number(delivery.SettleBury)
	sqlRequeue = number(delivery.SettleRequeue)
)

func number[N ~uint8](n N) string { return strconv.Itoa(int(n)) }

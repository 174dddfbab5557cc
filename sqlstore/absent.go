package sqlstore

import "github.com/msgdelivery/delivery"

// A recipient of a frozen message has a receipt, with or without a row. Before the first mark there
// is no row. Compact may remove it later, and Import may make none. The reader's reach then says
// what a receipt without a row shows: the seqs up to which up-to marks have looked.
//
// That these seqs can speak for receipts rests on what moves them, and Compact removes no row for
// which they say anything else:
//
//   - A public up-to mark moves them over what it has looked at, once each receipt there shows the
//     mark's status. It stays before messages for which it lacked admission, and before those that
//     show less because of the user's cap.
//   - A private up-to mark moves them past the latter ([delivery.OwnMark.Reach]), after a public
//     one has shown all up to the cap. So a receipt within reach is at the smaller of the reach's
//     status and the cap.
//   - An import moves them on to a message if they have come to the one before, and the receipt
//     that comes with the message shows the same.
//   - A message comes after everything that was looked at before it. Members of rosters are
//     readers by number, and an erased user's number is given to nobody else: whoever joins again
//     is no recipient of what came between.
//   - Open messages have no recipients. Their receipts are their rows.

// absent is the status of a receipt without a row: that of b, a member of a message's roster, of
// the message m. The reader is the same user in delivery_readers.
func absent(reader string) string {
	return `CASE WHEN b.cap = ` + sqlSent + ` OR m.seq > ` + reader + `.delivered_seq THEN ` + sqlSent +
		` WHEN b.cap = ` + sqlDelivered + ` OR m.seq > ` + reader + `.read_seq THEN ` + sqlDelivered + ` ELSE ` + sqlRead + ` END`
}

// absent says the same in Go, by the reach of the reader.
func (p places) absent(seq int64, cap delivery.Status) delivery.Status {
	for status := delivery.Read; status > delivery.Sent; status-- {
		if seq <= p[status] {
			return delivery.Shown(status, cap)
		}
	}
	return delivery.Sent
}

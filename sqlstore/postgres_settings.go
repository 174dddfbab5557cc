package sqlstore

import (
	"context"
	"strings"
	"time"

	"github.com/msgdelivery/delivery"
)

// pgSettings looks at what alters text on its way, and at what the driver cannot read.
func pgSettings(ctx context.Context, q delivery.DBTX) (found findings, err error) {
	var server, client, dates, isolation string
	err = queryOne(ctx, q, []any{&server, &client, &dates, &isolation}, `
SELECT current_setting('server_encoding'), current_setting('client_encoding'), current_setting('DateStyle'),
	current_setting('default_transaction_isolation')`)
	if err != nil {
		return found, err
	}
	switch {
	case server != "UTF8":
		found.fault("the database's encoding is %s, which alters text: use a database made with ENCODING 'UTF8'", server)
	case client != "UTF8":
		found.fault("client_encoding is %s, which alters text: set it to UTF8 in the DSN or for the role", client)
	}
	if !strings.HasPrefix(dates, "ISO") {
		// Most drivers don't mind. If one does, the error is its own and not the server's, and so
		// harms no transaction.
		var at time.Time
		err := queryOne(ctx, q, []any{&at}, "SELECT timestamptz 'epoch'")
		if ctx.Err() != nil {
			return found, err
		}
		if err != nil || !at.Equal(time.Unix(0, 0)) {
			found.fault("the driver cannot read times while DateStyle is %q: set it to ISO, in the DSN or for the role", dates)
		}
	}
	found.isolate = isolation != "read committed"
	return found, nil
}

#!/usr/bin/env bash
# mellium.im/xmpp asks for a receipt of a receipt.
# Version: mellium.im/xmpp v0.22.0, package receipts (XEP-0184: Message Delivery Receipts).
# Expected: Request "inserts a request for a read receipt into any message read through r that is not itself a receipt",
# and XEP-0184 says that an ack message must not ask for an ack.
# Seen: the transformer looks for an element named "receipt", but a receipt is named "received": a message that holds
# <received xmlns="urn:xmpp:receipts" id="m-1"/> leaves with a <request/> beside it. The other side acknowledges the
# acknowledgement; with the same transformer on its output it asks again.
# A message that was delivered once so costs more than two stanzas, and its sender waits for receipts of receipts.
# Output seen: text message: request added true
#              receipt: request added true
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export GOWORK=off GOFLAGS=-mod=mod

cat >main.go <<'GO'
package main

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"

	"mellium.im/xmpp/receipts"
)

// asks tells whether the message asks for a receipt after Request has passed it on.
func asks(message string) (asked bool) {
	r := receipts.Request(xml.NewDecoder(strings.NewReader(message)))
	for {
		token, err := r.Token()
		if start, ok := token.(xml.StartElement); ok && start.Name.Local == "request" && start.Name.Space == receipts.NS {
			asked = true
		}
		if err == io.EOF {
			return asked
		}
		if err != nil {
			panic(err)
		}
	}
}

func main() {
	fmt.Println("text message: request added", asks(`<message xmlns="jabber:client" to="bob@example.org" id="m-1"><body>hello</body></message>`))
	fmt.Println("receipt: request added", asks(`<message xmlns="jabber:client" to="alice@example.org"><received xmlns="urn:xmpp:receipts" id="m-1"/></message>`))
}
GO
go mod init probe 2>/dev/null
timeout 300 go get mellium.im/xmpp@v0.22.0 2>/dev/null
timeout 600 go run . | tee out
diff out - <<'E'
text message: request added true
receipt: request added true
E

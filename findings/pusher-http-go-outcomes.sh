#!/usr/bin/env bash
# pusher-http-go reports success for an event that was lost behind a redirect, and failure for events that were accepted.
# Version: github.com/pusher/pusher-http-go/v5 v5.1.1, with a loopback server in place of Pusher's.
# Expected: Trigger's nil means that the endpoint accepted the event, and an error that it did not, or may not have.
# Seen: a 301, 302 or 303 (http to https at a load balancer, a moved host) turns the signed POST into a GET of the new
# address; that answers 200 with JSON, and Trigger returns nil: nobody got the event. A 200 with the body "ok" (as from
# some self-hosted servers and gateways) or with an empty one, and a 204, are errors about JSON, so that a
# retry publishes twice what had been accepted.
# Output seen: 302: error <nil>, events stored 0, requests POST GET
#              200 ok: error "invalid character 'o' looking for beginning of value", events stored 1
#              204: error "unexpected end of JSON input", events stored 1
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export GOWORK=off GOFLAGS=-mod=mod

cat >main.go <<'GO'
package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/pusher/pusher-http-go/v5"
)

func main() {
	var requests []string
	stored := 0
	try := func(answer http.HandlerFunc) error {
		requests, stored = nil, 0
		web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			requests = append(requests, r.Method)
			answer(w, r)
		}))
		defer web.Close()
		client := pusher.Client{
			AppID: "1", Key: "key", Secret: "secret",
			Host: strings.TrimPrefix(web.URL, "http://"), HTTPClient: web.Client(),
		}
		return client.Trigger("private-chat", "receipt", map[string]string{"message": "m-1", "status": "read"})
	}
	err := try(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/moved" {
			if r.Method == http.MethodPost {
				stored++
			}
			fmt.Fprint(w, "{}")
			return
		}
		http.Redirect(w, r, "/moved", http.StatusFound)
	})
	fmt.Printf("302: error %v, events stored %d, requests %s\n", err, stored, strings.Join(requests, " "))
	err = try(func(w http.ResponseWriter, r *http.Request) { stored++; fmt.Fprint(w, "ok") })
	fmt.Printf("200 ok: error %q, events stored %d\n", err, stored)
	err = try(func(w http.ResponseWriter, r *http.Request) { stored++; w.WriteHeader(http.StatusNoContent) })
	fmt.Printf("204: error %q, events stored %d\n", err, stored)
}
GO
go mod init probe 2>/dev/null
timeout 300 go get github.com/pusher/pusher-http-go/v5@v5.1.1 2>/dev/null
timeout 300 go run . | tee out
diff out - <<'E'
302: error <nil>, events stored 0, requests POST GET
200 ok: error "invalid character 'o' looking for beginning of value", events stored 1
204: error "unexpected end of JSON input", events stored 1
E

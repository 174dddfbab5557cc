#!/usr/bin/env bash
# webpush-go sends TTL 0 unless told otherwise: a push for a device that is offline is accepted with 201 and thrown away.
# Version: github.com/SherClockHolmes/webpush-go v1.4.0, with a push service of 20 lines on loopback.
# Expected: a notification whose Options say nothing of its lifetime is kept for the device for a while; npm's web-push, the
# same call in JavaScript, asks for four weeks.
# Seen: Options.TTL is an int that is written to the header as it is. RFC 8030 says that a push service must not keep a
# message with "TTL: 0": it is delivered at once or not at all. The answer is 201 with a message address either way, so
# "you have a new message" reaches phones that are awake and is lost for all others, without an error or a status.
# Output seen: default: status 201, error <nil>, TTL "0", waiting for the device: 0
#              TTL 3600: status 201, error <nil>, TTL "3600", waiting for the device: 1
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export GOWORK=off GOFLAGS=-mod=mod

cat >main.go <<'GO'
package main

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"

	webpush "github.com/SherClockHolmes/webpush-go"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func main() {
	ttl, waiting := "", 0
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if ttl = r.Header.Get("TTL"); ttl != "0" {
			waiting++ // the device is offline
		}
		w.Header().Set("Location", "/message/1")
		w.WriteHeader(http.StatusCreated)
	}))
	defer service.Close()

	device, auth := must(ecdh.P256().GenerateKey(rand.Reader)), make([]byte, 16)
	must(rand.Read(auth))
	subscription := &webpush.Subscription{Endpoint: service.URL, Keys: webpush.Keys{
		P256dh: base64.RawURLEncoding.EncodeToString(device.PublicKey().Bytes()),
		Auth:   base64.RawURLEncoding.EncodeToString(auth),
	}}
	private, public, err := webpush.GenerateVAPIDKeys()
	if err != nil {
		panic(err)
	}
	send := func(name string, options webpush.Options) {
		options.Subscriber, options.VAPIDPrivateKey, options.VAPIDPublicKey = "app@example.org", private, public
		waiting = 0
		answer, err := webpush.SendNotification([]byte(`{"message":"m-1"}`), subscription, &options)
		fmt.Printf("%s: status %d, error %v, TTL %q, waiting for the device: %d\n", name, answer.StatusCode, err, ttl, waiting)
		answer.Body.Close()
	}
	send("default", webpush.Options{})
	send("TTL 3600", webpush.Options{TTL: 3600})
}
GO
go mod init probe 2>/dev/null
timeout 300 go get github.com/SherClockHolmes/webpush-go@v1.4.0 2>/dev/null
timeout 300 go run . | tee out
diff out - <<'E'
default: status 201, error <nil>, TTL "0", waiting for the device: 0
TTL 3600: status 201, error <nil>, TTL "3600", waiting for the device: 1
E

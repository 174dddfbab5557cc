#!/usr/bin/env bash
# resty sends an empty body on its second try, if the body was an io.Reader, and calls the answer to that a success.
# Versions: github.com/go-resty/resty/v2 v2.17.2; beside it github.com/PuerkitoBio/rehttp v1.4.0.
# Expected: a retry repeats the request. A client that cannot read a body twice keeps a copy, as rehttp does, or does not
# try again.
# Seen: SetBody(reader) is read by the first try; after a 503 the second POST goes out with nothing in it and without an
# error. A server that takes an empty body for "no filter", or for an empty event, answers 200, and the event is
# published without its content. A []byte, a string or a map as body is sent whole each time.
# Output seen: resty, io.Reader: bodies {"status":"read"} | (empty), status 200, error <nil>
#              resty, []byte: bodies {"status":"read"} | {"status":"read"}, status 200, error <nil>
#              rehttp, io.Reader: bodies {"status":"read"} | {"status":"read"}, status 200, error <nil>
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export GOWORK=off GOFLAGS=-mod=mod

cat >main.go <<'GO'
package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/PuerkitoBio/rehttp"
	"github.com/go-resty/resty/v2"
)

func main() {
	var bodies []string
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if len(body) == 0 {
			body = []byte("(empty)")
		}
		if bodies = append(bodies, string(body)); len(bodies) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer web.Close()
	const event = `{"status":"read"}`
	reader := func() io.Reader { return io.MultiReader(strings.NewReader(event)) } // a pipe, a file, another request's body
	show := func(name string, status int, err error) {
		fmt.Printf("%s: bodies %s, status %d, error %v\n", name, strings.Join(bodies, " | "), status, err)
		bodies = nil
	}

	client := resty.New().SetRetryCount(2).SetRetryWaitTime(time.Millisecond)
	client.AddRetryCondition(func(r *resty.Response, _ error) bool { return r.StatusCode() >= 500 })
	answer, err := client.R().SetBody(reader()).Post(web.URL)
	show("resty, io.Reader", answer.StatusCode(), err)
	answer, err = client.R().SetBody([]byte(event)).Post(web.URL)
	show("resty, []byte", answer.StatusCode(), err)

	retry := rehttp.RetryAll(rehttp.RetryMaxRetries(2), rehttp.RetryStatuses(http.StatusServiceUnavailable))
	transport := rehttp.NewTransport(nil, retry, rehttp.ConstDelay(time.Millisecond))
	plain, err := (&http.Client{Transport: transport}).Post(web.URL, "application/json", reader())
	show("rehttp, io.Reader", plain.StatusCode, err)
}
GO
go mod init probe 2>/dev/null
timeout 300 go get github.com/go-resty/resty/v2@v2.17.2 github.com/PuerkitoBio/rehttp@v1.4.0 2>/dev/null
timeout 300 go run . | tee out
diff out - <<'E'
resty, io.Reader: bodies {"status":"read"} | (empty), status 200, error <nil>
resty, []byte: bodies {"status":"read"} | {"status":"read"}, status 200, error <nil>
rehttp, io.Reader: bodies {"status":"read"} | {"status":"read"}, status 200, error <nil>
E

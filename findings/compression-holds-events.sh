#!/usr/bin/env bash
# Two compressing middlewares hold back server-sent events, and the response's head with them, although Flush was called.
# Versions: github.com/NYTimes/gziphandler v1.1.1, github.com/CAFxX/httpcompression v0.0.8; beside them
# github.com/klauspost/compress v1.20.4 (gzhttp).
# Expected: a handler that calls Flush after an event has that event sent, compressed or not.
# Seen: both decide about compression once 512 or 200 bytes have been written, and until then their Flush does nothing:
# with "Accept-Encoding: gzip", which every browser sends, not even the status and the headers arrive, so EventSource
# stays "connecting" until enough receipts have come together or the handler ends. Without that header all is well, which
# is how a test by curl passes. gzhttp sends the event at once.
# Output seen: gziphandler first event within 1 s: gzip accepted false, not accepted true
#              httpcompression first event within 1 s: gzip accepted false, not accepted true
#              gzhttp first event within 1 s: gzip accepted true, not accepted true
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export GOWORK=off GOFLAGS=-mod=mod

cat >main.go <<'GO'
package main

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/CAFxX/httpcompression"
	"github.com/NYTimes/gziphandler"
	"github.com/klauspost/compress/gzhttp"
)

func events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	fmt.Fprint(w, "data: read m-1\n\n")
	w.(http.Flusher).Flush()
	select {
	case <-r.Context().Done():
	case <-time.After(3 * time.Second):
	}
}

// prompt tells whether the first byte of the first event comes within 1 s.
func prompt(h http.Handler, encoding string) bool {
	web := httptest.NewServer(h)
	defer web.Close()
	request, err := http.NewRequest("GET", web.URL, nil)
	if err != nil {
		panic(err)
	}
	request.Header.Set("Accept-Encoding", encoding)
	began := time.Now()
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		panic(err)
	}
	defer response.Body.Close()
	body := io.Reader(response.Body)
	if response.Header.Get("Content-Encoding") == "gzip" {
		if body, err = gzip.NewReader(body); err != nil {
			panic(err)
		}
	}
	if _, err := io.ReadFull(body, make([]byte, 1)); err != nil {
		panic(err)
	}
	return time.Since(began) < time.Second
}

func main() {
	compress, err := httpcompression.DefaultAdapter()
	if err != nil {
		panic(err)
	}
	plain := http.HandlerFunc(events)
	for _, m := range []struct {
		name    string
		handler http.Handler
	}{
		{"gziphandler", gziphandler.GzipHandler(plain)},
		{"httpcompression", compress(plain)},
		{"gzhttp", gzhttp.GzipHandler(plain)},
	} {
		fmt.Printf("%s first event within 1 s: gzip accepted %v, not accepted %v\n",
			m.name, prompt(m.handler, "gzip"), prompt(m.handler, "identity"))
	}
}
GO
go mod init probe 2>/dev/null
timeout 300 go get github.com/NYTimes/gziphandler@v1.1.1 github.com/CAFxX/httpcompression@v0.0.8 github.com/klauspost/compress@v1.20.4 2>/dev/null
timeout 300 go run . | tee out
diff out - <<'E'
gziphandler first event within 1 s: gzip accepted false, not accepted true
httpcompression first event within 1 s: gzip accepted false, not accepted true
gzhttp first event within 1 s: gzip accepted true, not accepted true
E

package browser

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// certificate is the one of all HTTPS servers here, made for one run. Chromium is told to trust its
// key.
var certificate = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	text, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(text)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{text}, PrivateKey: key, Leaf: leaf}
})

// certifiedKey is the certificate's key, as Chromium wants to be told.
func certifiedKey() string {
	sum := sha256.Sum256(certificate().Leaf.RawSubjectPublicKeyInfo)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// newDistant serves a handler by HTTPS at the end of a line with this round trip, and returns its
// URL. Each request takes a new connection: a round trip for TCP, another for TLS, and its own.
func newDistant(t *testing.T, handler http.Handler, roundTrip time.Duration) (url string) {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate()}}
	server.Config.SetKeepAlivesEnabled(false)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // browsers end connections that they opened to spare
	server.Config.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
		return context.WithValue(ctx, openedKey{}, time.Now())
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	line, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var open sync.WaitGroup
	open.Go(func() {
		for {
			client, err := line.Accept()
			if err != nil {
				return // the test has ended
			}
			open.Go(func() { carry(client, server.Listener.Addr().String(), roundTrip) })
		}
	})
	t.Cleanup(func() {
		line.Close()
		server.CloseClientConnections()
		open.Wait()
	})
	return "https://" + line.Addr().String()
}

type openedKey struct{}

// sinceOpened returns for how long a request's connection has been open: 2.5 round trips, if it was
// opened for the request.
func sinceOpened(r *http.Request) time.Duration {
	return time.Since(r.Context().Value(openedKey{}).(time.Time))
}

// carry joins a client to a server by a line with this round trip, until the server ends.
func carry(client net.Conn, server string, roundTrip time.Duration) {
	defer client.Close()
	far, err := net.Dial("tcp", server)
	if err != nil {
		return
	}
	defer far.Close()
	var there sync.WaitGroup
	there.Go(func() { late(far, client, roundTrip, roundTrip/2) }) // the kernel took no time for TCP's round trip
	late(client, far, 0, roundTrip/2)
	client.Close()
	there.Wait()
}

// late passes on what it reads after a delay, and then the end. Nothing sets out in the first time.
func late(to, from net.Conn, first, delay time.Duration) {
	type piece struct {
		due  time.Time
		data []byte
	}
	pieces := make(chan piece, 1000)
	go func() {
		defer close(pieces)
		for start := time.Now().Add(first); ; {
			data := make([]byte, 32<<10)
			n, err := from.Read(data)
			if now := time.Now(); now.After(start) {
				start = now
			}
			pieces <- piece{start.Add(delay), data[:n]}
			if err != nil {
				return
			}
		}
	}()
	for p := range pieces {
		time.Sleep(time.Until(p.due))
		to.Write(p.data)
	}
	to.(*net.TCPConn).CloseWrite()
}

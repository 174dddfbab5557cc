package demo

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
)

// grace is how long requests may take to finish when the server stops.
const grace = 5 * time.Second

// Serve listens on the address, calls started with the server's URL, and then serves requests and
// runs the relay until ctx ends. It then takes no new requests, waits for the open ones, and stops
// the relay last, so that nothing is lost.
func Serve(ctx context.Context, addr string, handler http.Handler, relay func(context.Context) error, started func(url string)) error {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	server := newServer(handler)

	relayCtx, stopRelay := context.WithCancel(context.WithoutCancel(ctx))
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var running sync.WaitGroup
	var relayErr, serveErr error
	running.Go(func() {
		defer stop()
		relayErr = relay(relayCtx)
	})
	running.Go(func() {
		defer stop()
		serveErr = server.Serve(listener)
	})
	started("http://" + listener.Addr().String())

	<-ctx.Done()
	graceCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	shutdownErr := server.Shutdown(graceCtx)
	stopRelay()
	running.Wait()
	if errors.Is(serveErr, http.ErrServerClosed) {
		serveErr = nil
	}
	return errors.Join(serveErr, shutdownErr, relayErr)
}

// newServer returns a server with deadlines. Without them a client that does not read its answer
// would keep it in the server's memory. WebSockets have deadlines of their own.
func newServer(handler http.Handler) *http.Server {
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
	}
	hangUpOnSilent(server)
	return server
}

// hangUpOnSilent makes a server that stops close connections on which no request has come yet.
// Browsers open such connections in advance, and Shutdown would wait 5 s for each.
func hangUpOnSilent(server *http.Server) {
	var silent sync.Map
	server.ConnState = func(conn net.Conn, state http.ConnState) {
		if state == http.StateNew {
			silent.Store(conn, nil)
		} else {
			silent.Delete(conn)
		}
	}
	server.RegisterOnShutdown(func() {
		silent.Range(func(conn, _ any) bool {
			_ = conn.(net.Conn).Close()
			return true
		})
	})
}

// Package pushertest is a Pusher Channels server for tests and local work, in
// the manner of net/http/httptest. It is not for production: it keeps all in
// memory, knows one app, and is meant for loopback addresses only.
//
// In a test, NewServer listens on 127.0.0.1. What a program publishes there is
// checked as hosted Pusher checks it (signature, clock, sizes, names), recorded,
// and delivered to clients, which connect in the process:
//
//	srv := pushertest.NewServer(t)
//	publisher := pusher.Client{AppID: srv.AppID, Key: srv.Key, Secret: srv.Secret, Host: srv.Host()}
//	tab := srv.Dial(t).Subscribe("private-room")
//
//	publisher.Trigger("private-room", "greeting", map[string]string{"say": "hello"})
//
//	tab.Next(t.Context())       // the greeting
//	tab.Drain(t.Context())      // nothing more, and no sleep to find out
//	srv.Events()                // what was published
//
// # Failures
//
// Script tells what befalls the next calls of the HTTP API: the first gets a
// 429, the second breaks after its events were accepted, the third goes well.
//
//	srv.Script(
//		pushertest.RetryAfter(http.StatusTooManyRequests, 2*time.Second),
//		pushertest.Accepted(pushertest.Cut),
//	)
//
// FaultFunc chooses by request instead, and a Fault of one's own is a function.
// Disconnect ends the clients' connections.
//
// # Fake time
//
// Inside a testing/synctest bubble make the server with New, which has no
// listener, and let the program under test call it by RoundTrip:
//
//	srv, err := pushertest.New(nil)
//	client := &http.Client{Transport: srv}
//
// Dial works there as everywhere. Close the server before the bubble ends.
//
// # Browsers
//
// New, and a WebSocket library, make a server for pusher-js. With
// github.com/coder/websocket it takes this:
//
//	type socket struct{ *websocket.Conn }
//
//	func (s socket) Read(ctx context.Context) ([]byte, error) {
//		_, message, err := s.Conn.Read(ctx)
//		return message, err
//	}
//
//	func (s socket) Write(ctx context.Context, message []byte) error {
//		return s.Conn.Write(ctx, websocket.MessageText, message)
//	}
//
//	mux.Handle("/apps/", srv)
//	mux.HandleFunc("GET /app/{key}", func(w http.ResponseWriter, r *http.Request) {
//		ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true}) // from any origin
//		if err != nil {
//			return
//		}
//		defer ws.CloseNow()
//		if end := srv.ServeConn(r.Context(), socket{ws}, r.PathValue("key")); end != nil {
//			ws.Close(websocket.StatusCode(end.Code), end.Reason)
//		}
//	})
//
// and in the page
//
//	new Pusher("pushertest-key", {cluster: "local", wsHost: "127.0.0.1", wsPort: 8080,
//		forceTLS: false, enabledTransports: ["ws"]})
//
// # What is missing
//
// Webhooks, watchlists, subscription counts as events, and the pings with which
// hosted Pusher looks for dead connections. A batch is accepted as a whole or
// not at all.
package pushertest

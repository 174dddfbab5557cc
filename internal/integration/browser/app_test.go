package browser

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/pusher/pusher-http-go/v5"

	"github.com/msgdelivery/delivery/pusheradapter/pushertest"
)

// pusherApp is an app that uses Pusher by pusher-http-go, with a pushertest server for Pusher,
// which browsers can reach.
type pusherApp struct {
	*pusher.Client
	t      *testing.T
	node   *node
	server *pushertest.Server
	http   *httptest.Server
}

func newPusherApp(t *testing.T, node *node) *pusherApp {
	t.Helper()
	server, err := pushertest.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	a := &pusherApp{t: t, node: node, server: server}
	mux := http.NewServeMux()
	mux.Handle("/apps/", server)
	mux.HandleFunc("GET /app/{key}", a.serveSocket)
	mux.HandleFunc("POST /auth/channel", a.authorizeChannel)
	mux.HandleFunc("POST /auth/user", a.authenticateUser)
	a.http = httptest.NewServer(mux)
	a.Client = &pusher.Client{
		AppID: server.AppID, Key: server.Key, Secret: server.Secret, Host: a.http.Listener.Addr().String(), HTTPClient: a.http.Client(),
	}
	t.Cleanup(func() {
		server.Close()
		a.http.Close()
	})
	return a
}

// connect connects a client of pusher-js, which is whom the app takes the user for.
func (a *pusherApp) connect(name, user string) (c *jsClient, socketID string) {
	a.t.Helper()
	c = a.open(name, user, a.Key, nil)
	return c, c.connected()
}

// open makes a client of pusher-js, with options besides those that it needs.
func (a *pusherApp) open(name, user, key string, more map[string]any) *jsClient {
	c := &jsClient{a.t, a.node, a.t.Name() + " " + name}
	params := map[string]string{"user": user}
	options := map[string]any{
		"cluster": "unused", "wsHost": "127.0.0.1", "wsPort": a.http.Listener.Addr().(*net.TCPAddr).Port,
		"forceTLS": false, "enabledTransports": []string{"ws"},
		"channelAuthorization": map[string]any{"endpoint": a.http.URL + "/auth/channel", "params": params},
		"userAuthentication":   map[string]any{"endpoint": a.http.URL + "/auth/user", "params": params},
	}
	for option, value := range more {
		options[option] = value
	}
	c.do("connect", key, options)
	a.t.Cleanup(func() { c.do("disconnect") })
	return c
}

// connected waits until the client is connected, again if it was before, and returns its socket id.
func (c *jsClient) connected() (socketID string) {
	c.t.Helper()
	var established struct {
		SocketID string `json:"socket_id"`
	}
	c.next("connection", "connected").into(c.t, &established)
	return established.SocketID
}

// subscribe subscribes to a channel and waits until that is done.
func (c *jsClient) subscribe(channel string) heard {
	c.t.Helper()
	c.do("subscribe", channel)
	return c.next(channel, "pusher:subscription_succeeded")
}

func (a *pusherApp) serveSocket(w http.ResponseWriter, r *http.Request) {
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true}) // from pages of any origin, as Pusher does
	if err != nil {
		return
	}
	defer ws.CloseNow()
	if end := a.server.ServeConn(r.Context(), socket{ws}, r.PathValue("key")); end != nil {
		ws.Close(websocket.StatusCode(end.Code), end.Reason)
	}
}

// socket is a WebSocket as pushertest wants it.
type socket struct{ *websocket.Conn }

func (s socket) Read(ctx context.Context) ([]byte, error) {
	_, message, err := s.Conn.Read(ctx)
	return message, err
}

func (s socket) Write(ctx context.Context, message []byte) error {
	return s.Conn.Write(ctx, websocket.MessageText, message)
}

// authorizeChannel lets everyone into every channel whose name doesn't say otherwise.
func (a *pusherApp) authorizeChannel(w http.ResponseWriter, r *http.Request) {
	form, err := io.ReadAll(r.Body)
	values, _ := url.ParseQuery(string(form))
	channel := values.Get("channel_name")
	var answer []byte
	switch {
	case strings.Contains(channel, "forbidden"):
		http.Error(w, "no", http.StatusForbidden)
		return
	case strings.Contains(channel, "forged"):
		answer = fmt.Appendf(nil, `{"auth":"%s:%064d","channel_data":"{\"user_id\":\"root\"}"}`, a.Key, 0)
	case strings.HasPrefix(channel, "presence-"):
		user := values.Get("user")
		answer, err = a.AuthorizePresenceChannel(form, pusher.MemberData{UserID: user, UserInfo: map[string]string{"name": strings.ToUpper(user)}})
	default:
		answer, err = a.AuthorizePrivateChannel(form)
	}
	a.answer(w, answer, err)
}

// authenticateUser signs everyone in but nobody.
func (a *pusherApp) authenticateUser(w http.ResponseWriter, r *http.Request) {
	form, err := io.ReadAll(r.Body)
	values, _ := url.ParseQuery(string(form))
	user := values.Get("user")
	if user == "nobody" {
		http.Error(w, "no", http.StatusForbidden)
		return
	}
	var answer []byte
	if err == nil {
		answer, err = a.AuthenticateUser(form, map[string]any{"id": user})
	}
	a.answer(w, answer, err)
}

func (a *pusherApp) answer(w http.ResponseWriter, answer []byte, err error) {
	if err != nil {
		a.t.Error(err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(answer)
}

// must fails the test if a call of the app's failed.
func (a *pusherApp) must(err error) {
	a.t.Helper()
	if err != nil {
		a.t.Fatal(err)
	}
}

// publish publishes an event of the name, without data, and with a socket excluded if it is not "".
func (a *pusherApp) publish(channel, event, except string) {
	a.t.Helper()
	var params pusher.TriggerParams
	if except != "" {
		params.SocketID = &except
	}
	_, err := a.TriggerWithParams(channel, event, map[string]any{}, params)
	a.must(err)
}

// terminate ends a user's connections, by a call that pusher-http-go doesn't know.
func (a *pusherApp) terminate(user string) {
	a.t.Helper()
	path := "/apps/" + a.AppID + "/users/" + user + "/terminate_connections"
	query := "auth_key=" + a.Key + "&auth_timestamp=" + strconv.FormatInt(time.Now().Unix(), 10) + "&auth_version=1.0"
	mac := hmac.New(sha256.New, []byte(a.Secret))
	mac.Write([]byte("POST\n" + path + "\n" + query))
	query += "&auth_signature=" + hex.EncodeToString(mac.Sum(nil))
	answer, err := a.http.Client().Post(a.http.URL+path+"?"+query, "application/json", nil)
	a.must(err)
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		a.t.Fatalf("terminating %s: status %d", user, answer.StatusCode)
	}
}

// signedIn returns the user that the session's cookie names, "" without one.
func signedIn(r *http.Request) (string, error) {
	session, err := r.Cookie("session")
	if err != nil {
		return "", nil
	}
	return session.Value, nil
}

// background runs a part of an app until the test has ended.
func background(t *testing.T, run func(context.Context)) {
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { run(ctx) })
	t.Cleanup(func() {
		stop()
		running.Wait()
	})
}

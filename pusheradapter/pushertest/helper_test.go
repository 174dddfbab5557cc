package pushertest_test

import (
	"context"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/msgdelivery/delivery/pusheradapter/pushertest"
	"github.com/pusher/pusher-http-go/v5"
)

// world is a server and a program that publishes, in a bubble of fake time
// with no network.
type world struct {
	*testing.T
	srv *pushertest.Server
	app *pusher.Client
}

func inBubble(t *testing.T, rule string, f func(w world)) {
	t.Run(rule, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			srv, err := pushertest.New(nil)
			if err != nil {
				t.Fatal(err)
			}
			defer srv.Close()
			f(world{t, srv, publisher(srv, &http.Client{Transport: srv})})
		})
	})
}

func publisher(srv *pushertest.Server, client *http.Client) *pusher.Client {
	host := srv.Host()
	if host == "" {
		host = "pusher.test"
	}
	return &pusher.Client{AppID: srv.AppID, Key: srv.Key, Secret: srv.Secret, Host: host, HTTPClient: client}
}

func (w world) dial() *pushertest.Client { return w.srv.Dial(w) }

func (w world) publish(channel, name string, data any) {
	w.Helper()
	if err := w.app.Trigger(channel, name, data); err != nil {
		w.Fatal(err)
	}
}

// wantNames checks that a client has received these messages and no others.
func (w world) wantNames(c *pushertest.Client, want ...string) {
	w.Helper()
	var got []string
	for _, m := range c.Drain(w.Context()) {
		got = append(got, m.Name)
	}
	if !slices.Equal(got, want) {
		w.Errorf("client received %q, want %q", got, want)
	}
}

// wantStatus checks an error of pusher-http-go, which tells the status in its text.
func (w world) wantStatus(err error, want string) {
	w.Helper()
	if err == nil || !strings.Contains(err.Error(), "Status Code: "+want) {
		w.Errorf("error %v, want status %s", err, want)
	}
}

// stuckConn is a client that connects and then neither says nor takes anything.
type stuckConn struct{ pushertest.Conn }

func (stuckConn) Read(ctx context.Context) ([]byte, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (stuckConn) Write(ctx context.Context, _ []byte) error {
	<-ctx.Done()
	return ctx.Err()
}

// slowConn is a client that subscribes to the channel public and then takes no message.
type slowConn struct {
	stuckConn
	asked      bool
	subscribed chan struct{}
}

func (c *slowConn) Read(ctx context.Context) ([]byte, error) {
	if !c.asked {
		c.asked = true
		return []byte(`{"event":"pusher:subscribe","data":{"channel":"public"}}`), nil
	}
	close(c.subscribed)
	return c.stuckConn.Read(ctx)
}

// publishRaw publishes on any channel: pusher-http-go wants a key for encrypted ones.
func (w world) publishRaw(channel, name string) {
	w.Helper()
	body := fmt.Sprintf(`{"name":%q,"channel":%q,"data":"d"}`, name, channel)
	if status := call(w, "POST", "events", body); status != 200 {
		w.Fatalf("publishing on %s: status %d", channel, status)
	}
}

func terminate(w world, userID string) int {
	return call(w, "POST", "users/"+userID+"/terminate_connections", "")
}

// call makes a signed call that pusher-http-go has no method for.
func call(w world, method, path, body string) int {
	w.Helper()
	path = "/apps/" + w.srv.AppID + "/" + path
	query := fmt.Sprintf("auth_key=%s&auth_timestamp=%d&auth_version=1.0", w.srv.Key, time.Now().Unix())
	if body != "" {
		query += fmt.Sprintf("&body_md5=%x", md5.Sum([]byte(body)))
	}
	query += "&auth_signature=" + mac(w.srv.Secret, method+"\n"+path+"\n"+query)
	r, err := http.NewRequestWithContext(w.Context(), method, "http://pusher.test"+path+"?"+query, strings.NewReader(body))
	if err != nil {
		w.Fatal(err)
	}
	answer, err := w.srv.RoundTrip(r)
	if err != nil {
		w.Fatal(err)
	}
	return answer.StatusCode
}

// authorize signs any channel data, as an endpoint would that does not check it.
func authorize(srv *pushertest.Server, socketID, channel string, data []byte) []byte {
	auth := srv.Key + ":" + mac(srv.Secret, socketID+":"+channel+":"+string(data))
	answer, err := json.Marshal(pushertest.Authorization{Auth: auth, ChannelData: string(data)})
	if err != nil {
		panic(err)
	}
	return answer
}

func mac(secret, text string) string {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(text))
	return hex.EncodeToString(h.Sum(nil))
}

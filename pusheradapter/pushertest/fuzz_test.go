package pushertest

import (
	"context"
	"errors"
	"strings"
	"testing"
)

func FuzzChannelName(f *testing.F) {
	for _, name := range []string{"", "a", "private-a_=@,.;B9", "a b", "a\n", "ä", "#server-to-user-ä b", "#server-to-user-", strings.Repeat("a", 165),
		"#server-to-user-" + strings.Repeat("a", 200)} {
		f.Add(name)
	}
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-=@,.;"
	f.Fuzz(func(t *testing.T, name string) {
		id, ofUser := strings.CutPrefix(name, "#server-to-user-")
		valid := name != "" && len(name) <= 164 && strings.Trim(name, letters) == ""
		for _, r := range name { // Trim looks at the ends only
			valid = valid && strings.ContainsRune(letters, r)
		}
		if ofUser {
			valid = id != "" && len(id) < 200
		}
		if err := checkChannelName(name); (err == nil) != valid {
			t.Errorf("checkChannelName(%q) = %v, want it valid: %t", name, err, valid)
		}
	})
}

// listConn says what is in the list and then leaves.
type listConn struct {
	messages []string
	heard    []string
}

func (c *listConn) Read(context.Context) ([]byte, error) {
	if len(c.messages) == 0 {
		return nil, errors.New("gone")
	}
	message := c.messages[0]
	c.messages = c.messages[1:]
	return []byte(message), nil
}

func (c *listConn) Write(_ context.Context, message []byte) error {
	c.heard = append(c.heard, string(message))
	return nil
}

// The server answers the next ping after anything that a client says, or has ended the connection
// for a reason. It forgets the client when it leaves.
func FuzzMessages(f *testing.F) {
	for _, message := range []string{
		``, `null`, `7`, `{"event":"pusher:subscribe","data":{"channel":"presence-cache-x","auth":"a","channel_data":"{}"}}`,
		`{"event":"pusher:subscribe","data":{"channel":"cache-x"}}`, `{"event":"pusher:subscribe","data":"{"}`,
		`{"event":"pusher:unsubscribe","data":null}`, `{"event":"pusher:signin","data":{"auth":"","user_data":"{}"}}`,
		`{"event":"client-x","channel":"private-x","data":[1,{}]}`, `{"event":"pusher:pong"}`,
	} {
		f.Add(message)
	}
	f.Fuzz(func(t *testing.T, message string) {
		s, err := New(nil)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		c := &listConn{messages: []string{message, `{"event":"pusher:ping"}`}}
		end := s.ServeConn(t.Context(), c, s.Key)
		pong := strings.Contains(c.heard[len(c.heard)-1], "pusher:pong")
		if pong == (end != nil) {
			t.Errorf("last heard %q, connection ended with %v", c.heard[len(c.heard)-1], end)
		}
		if len(s.conns)+len(s.channels) != 0 {
			t.Errorf("%d connections and %d channels are left", len(s.conns), len(s.channels))
		}
	})
}

package pushertest

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// cacheTTL is how long a cache channel keeps its last event.
const cacheTTL = 30 * time.Minute

// channel exists while it has subscribers.
type channel struct {
	subscribers map[*conn]struct{}
	members     map[string]*member // by user id; on presence channels only
}

// member is a user on a presence channel, with any number of connections.
type member struct {
	info  json.RawMessage
	conns int
}

// cached is the last event of a cache channel.
type cached struct {
	message []byte
	until   time.Time
}

func (ch *channel) userIDs() []string { return slices.Sorted(maps.Keys(ch.members)) }

// deliver sends a message to the channel's subscribers but one. The caller holds s.mu, as do those
// below.
func (s *Server) deliver(name string, message []byte, except string) {
	if ch := s.channels[name]; ch != nil {
		for c := range ch.subscribers {
			if c.id != except {
				s.send(c, message)
			}
		}
	}
}

// subscription is the data of pusher:subscribe and pusher:unsubscribe.
type subscription struct {
	Channel     string `json:"channel"`
	Auth        string `json:"auth"`
	ChannelData string `json:"channel_data"`
}

// presenceUser is what the channel_data of a presence channel holds.
type presenceUser struct {
	ID   userID          `json:"user_id"`
	Info json.RawMessage `json:"user_info,omitempty"`
}

// userID is a string, or a number to those who sign with numbers.
type userID string

func (id *userID) UnmarshalJSON(b []byte) error {
	if b[0] == '"' {
		return json.Unmarshal(b, (*string)(id))
	}
	var n json.Number
	err := json.Unmarshal(b, &n)
	*id = userID(n)
	return err
}

// authorize says as whom c may subscribe to a presence channel, or that it may not subscribe at
// all.
func (s *Server) authorize(c *conn, sub subscription) (user presenceUser, err error) {
	if err := checkChannelName(sub.Channel); err != nil {
		return user, err
	}
	if _, ok := c.channels[sub.Channel]; ok {
		return user, errors.New("already subscribed")
	}
	if len(c.channels) >= MaxSubscriptions {
		return user, fmt.Errorf("too many subscriptions (%d)", MaxSubscriptions)
	}
	if id, ok := strings.CutPrefix(sub.Channel, userChannelPrefix); ok && id != c.user {
		return user, errors.New("not signed in as this user")
	}
	if !needsAuth(sub.Channel) {
		return user, nil
	}
	if !isPresence(sub.Channel) {
		if !equal(sub.Auth, s.socketAuth(c.id, sub.Channel)) {
			return user, errors.New("invalid signature of socket_id:channel")
		}
		return user, nil
	}
	if !equal(sub.Auth, s.socketAuth(c.id, sub.Channel, sub.ChannelData)) {
		return user, errors.New("invalid signature of socket_id:channel:channel_data")
	}
	if json.Unmarshal([]byte(sub.ChannelData), &user) != nil || user.ID == "" {
		return user, errors.New("channel_data has no user_id")
	}
	ch := s.channels[sub.Channel]
	switch id := string(user.ID); {
	case len(id) > MaxUserID:
		return user, fmt.Errorf("user_id too long (%d > %d)", len(id), MaxUserID)
	case len(sub.ChannelData) > MaxMember:
		return user, fmt.Errorf("channel_data too large (%d > %d)", len(sub.ChannelData), MaxMember)
	case ch != nil && len(ch.members) >= MaxMembers && ch.members[id] == nil:
		return user, fmt.Errorf("presence channel full (%d members)", MaxMembers)
	}
	return user, nil
}

func (s *Server) subscribe(c *conn, sub subscription) {
	name := sub.Channel
	user, err := s.authorize(c, sub)
	if err != nil {
		s.send(c, frame{Event: "pusher:subscription_error", Channel: name, Data: toJSONString(map[string]any{
			"type": "AuthError", "error": err.Error(), "status": 401,
		})}.encode())
		return
	}
	ch := s.channels[name]
	if ch == nil {
		ch = &channel{map[*conn]struct{}{}, map[string]*member{}}
		s.channels[name] = ch
	}
	ch.subscribers[c] = struct{}{}
	c.channels[name] = string(user.ID)
	newcomer := isPresence(name) && ch.join(user)

	s.send(c, frame{Event: "pusher_internal:subscription_succeeded", Channel: name, Data: ch.welcome(name, &s.profile)}.encode())
	if isCache(name) {
		last, ok := s.cache[name]
		if !ok || time.Now().After(last.until) {
			last.message = frame{Event: "pusher:cache_miss", Channel: name}.encode()
		}
		s.send(c, last.message)
	}
	if newcomer {
		s.deliver(name, frame{Event: "pusher_internal:member_added", Channel: name, Data: toJSONString(user)}.encode(), c.id)
	}
}

// join counts a user's connection and says whether it is the first.
func (ch *channel) join(user presenceUser) bool {
	m := ch.members[string(user.ID)]
	if m == nil {
		m = &member{info: user.Info}
		ch.members[string(user.ID)] = m
	}
	m.conns++
	return m.conns == 1
}

// welcome is what a new subscriber is told about the channel.
func (ch *channel) welcome(name string, p *Profile) json.RawMessage {
	if !isPresence(name) {
		return toJSONString(struct{}{})
	}
	hash := map[string]json.RawMessage{}
	for id, m := range ch.members {
		if m.info != nil || !p.infoNeeded {
			hash[id] = m.info
		}
	}
	return toJSONString(map[string]any{"presence": map[string]any{
		"ids": ch.userIDs(), "hash": hash, "count": len(ch.members),
	}})
}

func (s *Server) unsubscribe(c *conn, name string) {
	id, ok := c.channels[name]
	if !ok {
		return
	}
	ch := s.channels[name]
	delete(c.channels, name)
	delete(ch.subscribers, c)
	if len(ch.subscribers) == 0 {
		delete(s.channels, name)
	}
	m := ch.members[id]
	if m == nil {
		return
	}
	if m.conns--; m.conns == 0 {
		delete(ch.members, id)
		s.deliver(name, frame{Event: "pusher_internal:member_removed", Channel: name,
			Data: toJSONString(map[string]string{"user_id": id})}.encode(), "")
	}
}

package pushertest

import (
	"encoding/json"
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
	members     map[string]*member // by user id; presence channels only
}

// member is a user on a presence channel, with any number of connections.
type member struct {
	info  json.RawMessage
	conns int
}

// cached is the last event of a cache channel.
type cached struct {
	frame []byte
	until time.Time
}

func (ch *channel) userIDs() []string { return slices.Sorted(maps.Keys(ch.members)) }

// deliver sends a frame to a channel's subscribers but one, and keeps it if
// that is what the channel is for. The caller holds s.mu.
func (s *Server) deliver(name string, f frame, except string) {
	f.Channel = name
	message := f.encode()
	if isCache(name) && !strings.HasPrefix(f.Event, "client-") && !strings.HasPrefix(f.Event, "pusher_internal:") {
		s.cache[name] = cached{message, time.Now().Add(cacheTTL)}
	}
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

// presenceData is what channel_data holds. User ids may be numbers.
type presenceData struct {
	UserID   userID          `json:"user_id"`
	UserInfo json.RawMessage `json:"user_info,omitempty"`
}

type userID string

func (id *userID) UnmarshalJSON(b []byte) error {
	var n json.Number
	if json.Unmarshal(b, &n) == nil && b[0] != '"' {
		*id = userID(n)
		return nil
	}
	return json.Unmarshal(b, (*string)(id))
}

// authorized says why c may not subscribe, and as whom it does on a presence channel.
func (s *Server) authorized(c *conn, sub subscription) (who presenceData, err error) {
	if err := checkChannelName(sub.Channel); err != nil {
		return who, err
	}
	if id, ok := strings.CutPrefix(sub.Channel, userChannelPrefix); ok {
		if id != c.user {
			return who, fmt.Errorf("not signed in as this user")
		}
		return who, nil
	}
	if !needsAuth(sub.Channel) {
		return who, nil
	}
	signed := []string{c.id, sub.Channel}
	if isPresence(sub.Channel) {
		signed = append(signed, sub.ChannelData)
	}
	if !equal(sub.Auth, s.socketAuth(signed...)) {
		return who, fmt.Errorf("invalid signature")
	}
	if !isPresence(sub.Channel) {
		return who, nil
	}
	ch := s.channels[sub.Channel]
	switch err := json.Unmarshal([]byte(sub.ChannelData), &who); {
	case err != nil || who.UserID == "":
		return who, fmt.Errorf("channel_data has no user_id")
	case len(who.UserID) > MaxUserID:
		return who, fmt.Errorf("user_id too long (%d > %d)", len(who.UserID), MaxUserID)
	case len(sub.ChannelData) > MaxMember:
		return who, fmt.Errorf("channel_data too large (%d > %d)", len(sub.ChannelData), MaxMember)
	case ch != nil && len(ch.members) == MaxMembers && ch.members[string(who.UserID)] == nil:
		return who, fmt.Errorf("presence channel is full (%d members)", MaxMembers)
	}
	return who, nil
}

// subscribe adds c to a channel and tells it so. The caller holds s.mu.
func (s *Server) subscribe(c *conn, sub subscription) {
	if _, twice := c.channels[sub.Channel]; twice {
		s.sendError(c, 0, "Existing subscription to this channel")
		return
	}
	who, err := s.authorized(c, sub)
	if err != nil {
		s.send(c, frame{
			Event:   "pusher:subscription_error",
			Channel: sub.Channel,
			Data:    inString(map[string]any{"type": "AuthError", "error": err.Error(), "status": 401}),
		}.encode())
		return
	}
	ch := s.channels[sub.Channel]
	if ch == nil {
		ch = &channel{subscribers: map[*conn]struct{}{}, members: map[string]*member{}}
		s.channels[sub.Channel] = ch
	}
	id := string(who.UserID)
	m := ch.members[id]
	if isPresence(sub.Channel) && m == nil {
		s.deliver(sub.Channel, frame{Event: "pusher_internal:member_added", Data: inString(who)}, c.id)
		m = &member{info: who.UserInfo}
		ch.members[id] = m
	}
	if m != nil {
		m.conns++
	}
	ch.subscribers[c] = struct{}{}
	c.channels[sub.Channel] = id
	s.send(c, frame{Event: "pusher_internal:subscription_succeeded", Channel: sub.Channel, Data: ch.hello(sub.Channel)}.encode())
	if isCache(sub.Channel) {
		if last, ok := s.cache[sub.Channel]; ok && time.Now().Before(last.until) {
			s.send(c, last.frame)
		} else {
			s.send(c, frame{Event: "pusher:cache_miss", Channel: sub.Channel}.encode())
		}
	}
}

// hello is what a new subscriber gets to know.
func (ch *channel) hello(name string) json.RawMessage {
	if !isPresence(name) {
		return inString(struct{}{})
	}
	hash := map[string]json.RawMessage{}
	for id, m := range ch.members {
		hash[id] = m.info
	}
	return inString(map[string]any{"presence": map[string]any{
		"ids": ch.userIDs(), "hash": hash, "count": len(hash),
	}})
}

// unsubscribe removes c from a channel. The caller holds s.mu.
func (s *Server) unsubscribe(c *conn, name string) {
	id, subscribed := c.channels[name]
	if !subscribed {
		return
	}
	ch := s.channels[name]
	delete(c.channels, name)
	delete(ch.subscribers, c)
	if len(ch.subscribers) == 0 {
		delete(s.channels, name)
	}
	if m := ch.members[id]; m != nil {
		if m.conns--; m.conns == 0 {
			delete(ch.members, id)
			s.deliver(name, frame{
				Event: "pusher_internal:member_removed",
				Data:  inString(map[string]string{"user_id": id}),
			}, "")
		}
	}
}

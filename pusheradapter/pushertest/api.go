package pushertest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"time"
)

// maxBody bounds a request, in bytes. A full batch needs 10 % of it, or 67 % if every byte is
// escaped.
const maxBody = 1 << 20

// refusal is an error the HTTP API answers with a status.
type refusal struct {
	status int
	reason string
}

func (r *refusal) Error() string { return r.reason }

func refuse(status int, format string, args ...any) error {
	return &refusal{status, fmt.Sprintf(format, args...)}
}

func badRequest(format string, args ...any) error {
	return refuse(http.StatusBadRequest, format, args...)
}

// ServeHTTP is the HTTP API, for paths that begin with /apps/.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	request, fault := s.arrived(r)
	if request == nil {
		http.Error(w, "server closed", http.StatusServiceUnavailable)
		return
	}
	defer s.active.Done()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()

	// The body is read before any fault, as net/http notices only then that a caller left.
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, "Request body too large or cut short", http.StatusRequestEntityTooLarge)
		s.answered(request, http.StatusRequestEntityTooLarge)
		return
	}
	r = r.WithContext(ctx)
	r.Body = io.NopCloser(bytes.NewReader(body))

	if s.profile.tooLarge(r, body) {
		http.Error(w, "Payload too large.", http.StatusRequestEntityTooLarge)
		s.answered(request, http.StatusRequestEntityTooLarge)
		return
	}
	answer := httptest.NewRecorder()
	accept := func(w http.ResponseWriter, r *http.Request) { s.api(w, r, body, request.Number) }
	if fault == nil {
		accept(answer, r)
	} else {
		fault(answer, r, accept)
	}
	s.answered(request, answer.Code)
	replay(answer, w)
}

func (s *Server) api(w http.ResponseWriter, r *http.Request, body []byte, number int) {
	answer, err := s.route(r, body, number)
	if refused := (*refusal)(nil); errors.As(err, &refused) {
		if !s.profile.hidden {
			http.Error(w, refused.reason, refused.status)
			return
		}
		answer = map[string]any{"error": refused.reason, "code": refused.status}
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(answer)
}

// route does what a request asks for. Its error is always a *refusal.
func (s *Server) route(r *http.Request, body []byte, number int) (any, error) {
	call, ok := strings.CutPrefix(r.URL.Path, "/apps/"+s.AppID+"/")
	if !ok {
		return nil, refuse(http.StatusNotFound, "App not found")
	}
	if err := s.verify(r, body); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	query, words := r.URL.Query(), strings.Split(call, "/")
	switch {
	case r.Method == "POST" && call == "events":
		return s.once(r, func() (any, error) { return s.postEvents(body, number) })
	case r.Method == "POST" && call == "batch_events":
		return s.once(r, func() (any, error) { return s.postBatch(body, number) })
	case r.Method == "POST" && len(words) == 3 && words[0] == "users" && words[2] == "terminate_connections":
		return s.terminate(words[1])
	case r.Method == "GET" && call == "channels":
		return s.getChannels(query.Get("filter_by_prefix"), query.Get("info"))
	case r.Method == "GET" && len(words) == 2 && words[0] == "channels":
		return s.getChannel(words[1], query.Get("info"))
	case r.Method == "GET" && len(words) == 3 && words[0] == "channels" && words[2] == "users":
		return s.getUsers(words[1])
	}
	return nil, refuse(http.StatusNotFound, "Not found")
}

// once publishes what a request asks for, or answers as before if the profile has keys and the
// request has one that was accepted already.
func (s *Server) once(r *http.Request, publish func() (any, error)) (any, error) {
	key := r.Header.Get("X-Idempotency-Key")
	if answer, again := s.repeats[key]; again {
		return answer, nil
	}
	answer, err := publish()
	if err == nil && key != "" && s.profile.idempotency {
		s.repeats[key] = answer
	}
	return answer, err
}

// trigger is an event as a program publishes it. In a batch there is no Channels.
type trigger struct {
	Name     string   `json:"name"`
	Channel  string   `json:"channel"`
	Channels []string `json:"channels"`
	Data     *string  `json:"data"`
	SocketID *string  `json:"socket_id"`
	Info     string   `json:"info"`
}

// check refuses what hosted Pusher refuses, and makes Channels the only list.
func (t *trigger) check(p *Profile) error {
	badRequest := func(format string, args ...any) error { return refuse(p.invalidStatus(), format, args...) }
	if t.Channel != "" {
		t.Channels = append(t.Channels, t.Channel)
	}
	switch {
	case t.Name == "":
		return badRequest("Missing event name")
	case len(t.Name) > MaxEventName:
		return badRequest("Event name too long (%d > %d)", len(t.Name), MaxEventName)
	case len(t.Channels) == 0:
		return badRequest("Missing channel")
	case len(t.Channels) > MaxChannels:
		return badRequest("Too many channels (%d > %d)", len(t.Channels), MaxChannels)
	case t.Data == nil:
		return badRequest("Missing data")
	case len(*t.Data) > p.maxData():
		return refuse(http.StatusRequestEntityTooLarge,
			"The data content of this event exceeds the allowed maximum (%d bytes)", p.maxData())
	case t.SocketID != nil && !socketIDPattern.MatchString(*t.SocketID):
		return badRequest("Invalid socket id")
	}
	for _, channel := range t.Channels {
		if err := p.checkName(channel); err != nil {
			return badRequest("%v", err)
		}
	}
	return nil
}

// publish records an event and delivers it. The caller holds s.mu, as do those below.
func (s *Server) publish(t *trigger, number int) {
	e := Event{Request: number, Time: time.Now(), Name: t.Name, Channels: t.Channels, Data: *t.Data}
	if t.SocketID != nil {
		e.SocketID = *t.SocketID
	}
	for _, name := range t.Channels {
		message := frame{Event: t.Name, Channel: name, Data: toJSON(*t.Data)}.encode()
		s.deliver(name, message, e.SocketID)
		if isCache(name) {
			s.cache[name] = cached{message, e.Time.Add(cacheTTL)}
		}
	}
	s.record(e)
}

func (s *Server) postEvents(body []byte, number int) (any, error) {
	var t trigger
	if json.Unmarshal(body, &t) != nil {
		return nil, badRequest("Invalid JSON: expected an event")
	}
	if err := t.check(&s.profile); err != nil {
		return nil, err
	}
	s.publish(&t, number)
	if t.Info == "" {
		return struct{}{}, nil
	}
	infos := map[string]channelInfo{}
	for _, name := range t.Channels {
		infos[name] = s.info(name, t.Info)
	}
	return map[string]any{"channels": infos}, nil
}

// postBatch accepts all events or none.
func (s *Server) postBatch(body []byte, number int) (any, error) {
	var call struct {
		Batch []trigger `json:"batch"`
	}
	if json.Unmarshal(body, &call) != nil {
		return nil, badRequest("Invalid JSON: expected a batch of events")
	}
	if n := len(call.Batch); n > s.profile.maxBatch() {
		return nil, badRequest("Batch too large (%d > %d)", n, s.profile.maxBatch())
	}
	for i := range call.Batch {
		if call.Batch[i].Channels != nil {
			return nil, badRequest("An event of a batch has one channel")
		}
		if err := call.Batch[i].check(&s.profile); err != nil {
			return nil, err
		}
	}
	infos, asked := []channelInfo{}, false
	for _, t := range call.Batch {
		s.publish(&t, number)
		infos = append(infos, s.info(t.Channel, t.Info))
		asked = asked || t.Info != ""
	}
	if !asked {
		return struct{}{}, nil
	}
	return map[string]any{"batch": infos}, nil
}

// channelInfo holds the attributes that were asked for.
type channelInfo struct {
	Occupied          *bool `json:"occupied,omitempty"`
	UserCount         *int  `json:"user_count,omitempty"`
	SubscriptionCount *int  `json:"subscription_count,omitempty"`
}

func asksFor(attributes, name string) bool {
	return slices.Contains(strings.Split(attributes, ","), name)
}

func (s *Server) info(name, attributes string) (info channelInfo) {
	users, subscribers := 0, 0
	if ch := s.channels[name]; ch != nil {
		users, subscribers = len(ch.members), len(ch.subscribers)
	}
	if asksFor(attributes, "user_count") && isPresence(name) {
		info.UserCount = &users
	}
	if asksFor(attributes, "subscription_count") {
		info.SubscriptionCount = &subscribers
	}
	return info
}

func (s *Server) getChannels(prefix, attributes string) (any, error) {
	if asksFor(attributes, "user_count") && !isPresence(prefix) {
		return nil, badRequest("user_count needs a filter_by_prefix that begins with presence-")
	}
	infos := map[string]channelInfo{}
	for name := range s.channels {
		if strings.HasPrefix(name, prefix) {
			infos[name] = s.info(name, attributes)
		}
	}
	return map[string]any{"channels": infos}, nil
}

func (s *Server) getChannel(name, attributes string) (any, error) {
	if err := checkChannelName(name); err != nil {
		return nil, badRequest("%v", err)
	}
	if asksFor(attributes, "user_count") && !isPresence(name) {
		return nil, badRequest("user_count is for presence channels only")
	}
	info, occupied := s.info(name, attributes), s.channels[name] != nil
	info.Occupied = &occupied
	return info, nil
}

func (s *Server) getUsers(name string) (any, error) {
	if !isPresence(name) {
		return nil, badRequest("Users can be listed for presence channels only")
	}
	users := []map[string]string{}
	if ch := s.channels[name]; ch != nil {
		for _, id := range ch.userIDs() {
			users = append(users, map[string]string{"id": id})
		}
	}
	return map[string]any{"users": users}, nil
}

// terminate ends the connections on which a user has signed in.
func (s *Server) terminate(userID string) (any, error) {
	for _, c := range s.conns {
		if c.user == userID {
			s.end(c, &CloseError{closeUnauthorized, "connections of this user were terminated"})
		}
	}
	return struct{}{}, nil
}

package main

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"html/template"
	"log/slog"
	"net/http"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliveryjs"
	"github.com/msgdelivery/delivery/examples/internal/demo"
	"github.com/msgdelivery/delivery/pusheradapter"
	"github.com/msgdelivery/delivery/sqlstore"
)

// The tutorial has one conversation, whose events are published on one public channel.
const (
	conversation = "tutorial"
	channel      = "a_channel"
)

//go:embed web
var web embed.FS

var pages = template.Must(template.ParseFS(web, "web/*.html"))

// object is the form of a message in the tutorial's answers and events.
type object struct {
	ID      string `json:"id"`
	Name    string `json:"name"` // of the sender
	Message string `json:"message"`
	Status  string `json:"status"` // "Sent" or "Delivered"
}

func show(m delivery.Message) object { return object{m.ID, m.Sender, m.Body, word(m.Status)} }

// word returns the tutorial's word for a status.
func word(status delivery.Status) string {
	if status.Reaches(delivery.Delivered) {
		return "Delivered"
	}
	return "Sent"
}

type server struct {
	tracker  *delivery.Tracker
	texts    texts
	accounts *demo.Accounts
	pusher   *demo.Pusher
	pusherJS string
}

func build(db *demo.DB, pusher *demo.Pusher, flags demo.Flags) (http.Handler, func(context.Context) error, error) {
	store, err := sqlstore.New(db.DB, db.Dialect)
	if err != nil {
		return nil, nil, err
	}
	s := &server{accounts: demo.NewAccounts(db, "tutorial_session", flags.HTTPS), pusher: pusher, pusherJS: flags.PusherJS}
	notifier, err := pusheradapter.New(pusher.Config, &pusheradapter.Options{Transport: pusher.Transport, Encode: s.encode})
	if err != nil {
		return nil, nil, err
	}
	// There is no rule: everyone who is signed in may read and mark everything, as in the tutorial.
	s.tracker, err = delivery.New(store, notifier, &delivery.Options{OpenConversations: true})
	if err != nil {
		return nil, nil, err
	}
	return s.handler(), s.tracker.Run, nil
}

// encode makes the tutorial's events. Unlike the library's, they contain the message itself.
func (s *server) encode(ctx context.Context, event delivery.Event) ([]pusheradapter.Trigger, error) {
	name := map[delivery.Kind]string{delivery.MessageSent: "an_event", delivery.StatusChanged: "delivered_message"}[event.Kind]
	objects, err := s.objects(ctx, event)
	if err != nil {
		return nil, err
	}
	var triggers []pusheradapter.Trigger
	for _, o := range objects {
		data, err := json.Marshal(o)
		if err != nil {
			return nil, err
		}
		triggers = append(triggers, pusheradapter.Trigger{Channel: channel, Name: name, Data: data, Except: event.Except})
	}
	return triggers, nil
}

func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.index)
	mux.HandleFunc("GET /login/{$}", s.showLogin)
	mux.HandleFunc("POST /login/{$}", s.signIn)
	mux.HandleFunc("GET /logout/{$}", s.signOutHere)
	mux.HandleFunc("POST /logout/{$}", s.signOut)
	mux.HandleFunc("POST /conversation", s.signedIn(s.send))
	mux.HandleFunc("GET /conversations", s.signedIn(s.list))
	mux.HandleFunc("GET /conversations/{$}", s.signedIn(s.list))
	mux.HandleFunc("POST /conversations/{id}/delivered", s.signedIn(s.delivered))
	mux.Handle("GET /app/{key}", s.pusher.Sockets(s.accounts)) // the channel is public, as in the tutorial
	mux.Handle("GET /delivery/", http.StripPrefix("/delivery", deliveryjs.Handler()))
	mux.Handle("GET /web/", http.FileServerFS(web))
	if s.pusherJS != "" {
		mux.HandleFunc("GET /pusher.js", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, s.pusherJS) })
	}
	return demo.Guard(s.pusher, http.NewCrossOriginProtection().Handler(limit(s.accounts.Load(mux))))
}

// limit caps the size of a request's body at a message in a form, where each byte may take three.
func limit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, 3*delivery.MaxBody+1<<10)
		next.ServeHTTP(w, r)
	})
}

// signedIn passes the user to a handler, and answers 401 if nobody is signed in.
func (s *server) signedIn(next func(w http.ResponseWriter, r *http.Request, user string)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		user, err := s.accounts.Identify(r)
		if err == nil && user == "" {
			http.Error(w, "sign in first", http.StatusUnauthorized)
			return
		}
		if err != nil {
			fail(w, err)
			return
		}
		if err := readForm(r); err != nil {
			fail(w, badForm{err})
			return
		}
		next(w, r, user)
	}
}

// readForm reads a form of either kind.
func readForm(r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return err
	}
	err := r.ParseMultipartForm(delivery.MaxBody) // #nosec G120 -- limit caps the body
	if errors.Is(err, http.ErrNotMultipart) {
		return nil
	}
	return err
}

func (s *server) send(w http.ResponseWriter, r *http.Request, user string) {
	if !r.PostForm.Has("message") { // nor in JSON
		fail(w, badForm{errors.New("tutorial: message is missing")})
		return
	}
	body := r.PostForm.Get("message")
	if len(body) > delivery.MaxBody {
		fail(w, &http.MaxBytesError{Limit: delivery.MaxBody})
		return
	}
	m, err := s.tracker.Send(r.Context(), delivery.Draft{Conversation: conversation, Sender: user, Body: body, Audience: delivery.Audience{Open: true}})
	if err != nil {
		fail(w, err)
		return
	}
	answer(w, show(m))
}

func (s *server) list(w http.ResponseWriter, r *http.Request, _ string) {
	all := []object{}
	query := delivery.Query{Conversation: conversation, Limit: delivery.MaxBatch}
	for more := true; more; {
		page, err := s.tracker.Messages(r.Context(), query)
		if err != nil {
			fail(w, err)
			return
		}
		for _, m := range page.Messages {
			all = append(all, show(m))
			query.After = m.Seq
			if m.Status == delivery.Sent { // who asks is about to mark it
				s.texts.put(m.ID, m.Body)
			}
		}
		more = page.More
	}
	answer(w, all)
}

func (s *server) delivered(w http.ResponseWriter, r *http.Request, user string) {
	actor := delivery.Actor{User: user, Socket: r.PostForm.Get("socket_id")}
	text := "ok"
	_, err := s.tracker.MarkDelivered(r.Context(), actor, r.PathValue("id"))
	if errors.Is(err, delivery.ErrOwnMessage) {
		text, err = "Awaiting Delivery", nil
	}
	if err != nil {
		fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte(text))
}

func (s *server) index(w http.ResponseWriter, r *http.Request) {
	user, err := s.accounts.Identify(r)
	if err != nil {
		fail(w, err)
		return
	}
	if user == "" {
		http.Redirect(w, r, "/login/?next=/", http.StatusFound)
		return
	}
	render(w, http.StatusOK, "index.html", map[string]any{"User": user, "Key": s.pusher.Config.Key, "Origin": s.pusher.Origin, "PusherJS": s.pusherJS != ""})
}

// badForm is the error for a request whose form cannot be decoded.
type badForm struct{ error }

func (b badForm) Unwrap() error { return b.error }

// fail answers with the status for an error, and without its details.
func fail(w http.ResponseWriter, err error) {
	var tooLarge *http.MaxBytesError
	var invalid *delivery.InvalidError
	var bad badForm
	switch {
	case errors.As(err, &tooLarge):
		http.Error(w, "too large", http.StatusRequestEntityTooLarge)
	case errors.As(err, &bad):
		http.Error(w, "not a form, or without its field", http.StatusBadRequest)
	case errors.As(err, &invalid):
		http.Error(w, invalid.Field+" "+invalid.Reason, http.StatusBadRequest)
	case errors.Is(err, delivery.ErrNotFound):
		http.Error(w, "no such message", http.StatusNotFound)
	default:
		slog.Error("tutorial: request failed", "error", err)
		http.Error(w, "something went wrong", http.StatusInternalServerError)
	}
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

func render(w http.ResponseWriter, status int, page string, data any) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	if err := pages.ExecuteTemplate(w, page, data); err != nil {
		slog.Error("tutorial: rendering", "page", page, "error", err)
	}
}

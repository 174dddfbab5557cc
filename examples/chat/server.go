package main

import (
	"embed"
	"encoding/json"
	"errors"
	"html/template"
	"io"
	"log/slog"
	"net/http"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliveryhttp"
	"github.com/msgdelivery/delivery/deliveryjs"
	"github.com/msgdelivery/delivery/examples/internal/demo"
	"github.com/msgdelivery/delivery/inspector"
	"github.com/msgdelivery/delivery/pusheradapter"
	"github.com/msgdelivery/delivery/sqlstore"
)

//go:embed web/*.html
var templates embed.FS

//go:embed web/*.js web/*.css web/*.svg
var assets embed.FS

var pages = template.Must(template.ParseFS(templates, "web/*.html"))

// server is the chat.
type server struct {
	db       *demo.DB
	tracker  *delivery.Tracker
	api      *deliveryhttp.Handler // the library's routes
	auth     http.Handler          // the library's endpoint that lets browsers into channels
	inspect  http.Handler          // the library's pages for operators
	accounts *demo.Accounts
	settings demo.Settings
	pusher   *demo.Pusher
	pusherJS string
}

// newServer wires the library up: a store in the app's database, a notifier that reaches browsers
// through Pusher, the tracker that uses both, two handlers for the routes that pages call, and one
// with pages for operators.
func newServer(db *demo.DB, pusher *demo.Pusher, pusherJS string, https bool) (*server, error) {
	store, err := sqlstore.New(db.DB, db.Dialect)
	if err != nil {
		return nil, err
	}
	notifier, err := pusheradapter.New(pusher.Config, &pusheradapter.Options{Transport: pusher.Transport})
	if err != nil {
		return nil, err
	}
	recorder := inspector.NewRecorder()
	tracker, err := delivery.New(store, notifier, &delivery.Options{Authorize: authorize, Observer: recorder.Observer(nil)})
	if err != nil {
		return nil, err
	}
	accounts := demo.NewAccounts(db, "chat_session", https)
	s := &server{db: db, tracker: tracker, accounts: accounts, settings: demo.NewSettings(db), pusher: pusher, pusherJS: pusherJS}
	if s.api, err = deliveryhttp.New(tracker, accounts.Identify, &deliveryhttp.Options{Audience: s.audience, Hide: s.hide}); err != nil {
		return nil, err
	}
	if s.auth, err = notifier.AuthHandler(tracker, accounts.Identify, nil); err != nil {
		return nil, err
	}
	if s.inspect, err = inspector.New(tracker, operators(accounts), &inspector.Options{Recorder: recorder, Actions: true}); err != nil {
		return nil, err
	}
	return s, nil
}

// handler returns the chat's routes.
func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.showChat)
	mux.HandleFunc("GET /login", s.showLogin)
	mux.HandleFunc("POST /login", s.signIn)
	mux.HandleFunc("POST /logout", s.signOut)
	mux.HandleFunc("POST /settings", s.saveSettings)
	mux.Handle("/api/", http.StripPrefix("/api", s.api))
	mux.Handle("POST /pusher/auth", s.auth)
	mux.Handle("/inspect/", http.StripPrefix("/inspect", s.inspect))
	mux.Handle("GET /app/{key}", s.pusher.Sockets(s.accounts))
	mux.HandleFunc("GET /healthz", s.health)
	mux.Handle("GET /delivery/", http.StripPrefix("/delivery", deliveryjs.Handler()))
	mux.HandleFunc("GET /web/{file}", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFileFS(w, r, assets, "web/"+r.PathValue("file")) // #nosec G703 -- an embed.FS knows no "..", and all in it is public
	})
	if s.pusherJS != "" {
		mux.HandleFunc("GET /pusher.js", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, s.pusherJS) })
	}
	return demo.Guard(s.pusher, http.NewCrossOriginProtection().Handler(s.accounts.Load(mux)))
}

// showChat shows the page, or redirects to the sign-in.
func (s *server) showChat(w http.ResponseWriter, r *http.Request) {
	user, err := s.accounts.Identify(r)
	if err != nil {
		s.fail(w, err)
		return
	}
	if user == "" {
		http.Redirect(w, r, "/login", http.StatusSeeOther)
		return
	}
	hides, err := s.hidesReads(r.Context(), user)
	if err != nil {
		s.fail(w, err)
		return
	}
	config, err := json.Marshal(map[string]any{
		"user":          user,
		"hideReads":     hides,
		"conversations": roomsOf(user),
		"pusher":        map[string]string{"key": s.pusher.Config.Key, "origin": s.pusher.Origin},
	})
	if err != nil {
		s.fail(w, err)
		return
	}
	s.render(w, http.StatusOK, "index.html", map[string]any{"User": user, "Config": string(config), "PusherJS": s.pusherJS != ""})
}

func (s *server) showLogin(w http.ResponseWriter, r *http.Request) {
	s.render(w, http.StatusOK, "login.html", nil)
}

func (s *server) signIn(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 4<<10)
	user := r.PostFormValue("username")
	ok, err := s.accounts.SignIn(r, user, r.PostFormValue("password"))
	if errors.Is(err, demo.ErrTooMany) {
		w.Header().Set("Retry-After", "60")
		s.render(w, http.StatusTooManyRequests, "login.html", map[string]string{"Username": user, "Problem": "Too many wrong passwords. Wait for a minute."})
		return
	}
	if err != nil {
		s.fail(w, err)
		return
	}
	if !ok {
		s.render(w, http.StatusUnauthorized, "login.html", map[string]string{"Username": user, "Problem": "This is not the name and password of a user."})
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (s *server) signOut(w http.ResponseWriter, r *http.Request) {
	if err := s.accounts.SignOut(r); err != nil {
		s.fail(w, err)
		return
	}
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}

// health says whether the database answers. Users who are signed in also learn how many events wait
// in the outbox; counting them is too expensive to let strangers ask for it. A process is healthy
// even if events wait, because they are kept in the database.
func (s *server) health(w http.ResponseWriter, r *http.Request) {
	user, err := s.accounts.Identify(r)
	if err == nil {
		err = s.db.PingContext(r.Context())
	}
	if err != nil {
		slog.Error("chat: health", "error", err)
		http.Error(w, "the database does not answer", http.StatusServiceUnavailable)
		return
	}
	if user == "" {
		_, _ = io.WriteString(w, "ok\n")
		return
	}
	backlog, err := s.tracker.Backlog(r.Context())
	if err != nil {
		slog.Error("chat: health", "error", err)
		http.Error(w, "the database does not answer", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{
		"waiting":        backlog.Waiting,
		"oldest_seconds": backlog.Oldest.Seconds(),
		"dead_letters":   backlog.Dead,
		"breaker":        backlog.Breaker.String(),
	})
}

func (s *server) render(w http.ResponseWriter, status int, page string, data any) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store") // or Back would show a room after its user signed out
	w.WriteHeader(status)
	if err := pages.ExecuteTemplate(w, page, data); err != nil {
		slog.Error("chat: rendering", "page", page, "error", err)
	}
}

func (s *server) fail(w http.ResponseWriter, err error) {
	slog.Error("chat: request failed", "error", err)
	http.Error(w, "Something went wrong here. Try again.", http.StatusInternalServerError)
}

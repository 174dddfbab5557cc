package demo

import (
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/alexedwards/scs/v2"
	"golang.org/x/crypto/bcrypt"
)

// Users are the names of those who can sign in.
var Users = []string{"alice", "bob", "carol"}

// Password is everybody's.
const Password = "password"

// hashes are bcrypt's of [Password], made with a salt for each user.
var hashes = map[string]string{
	"alice": "$2a$10$d43q.5DmG3irGaiv7ySXruxMybzKHvZXQAvQMgHX9X8RWM043yNfS",
	"bob":   "$2a$10$RLFL1Y2REl4E1lrcyQXA7.3mA0SgDDGX736lT9scyG/M.A.Xts122",
	"carol": "$2a$10$84o.MGZhUuCWOFRGwDKOzOFh4Z4w7QzgoGrh8Il4rPSyD9xbRjXeC",
}

// Accounts knows who is signed in. A cookie names the session, and the database keeps it, so that
// users stay signed in when the server restarts.
type Accounts struct {
	sessions *scs.SessionManager
	attempts attempts
	hashing  chan struct{} // as long as the number of passwords that are compared at a time
}

// ErrTooMany means that there were too many wrong passwords in the last minute.
var ErrTooMany = errors.New("demo: too many failed attempts to sign in")

// NewAccounts returns accounts whose sessions are kept in the database, and named by a cookie of
// this name. A browser sends a secure cookie over HTTPS only.
func NewAccounts(db *DB, cookie string, secure bool) *Accounts {
	s := scs.New()
	s.Store = newSessionStore(db)
	s.Codec = sessionCodec{}
	s.HashTokenInStore = true // who reads the database can't sign in with what is there
	s.Lifetime = 7 * 24 * time.Hour
	s.Cookie.Name = cookie
	s.Cookie.HttpOnly = true
	s.Cookie.SameSite = http.SameSiteLaxMode
	s.Cookie.Secure = secure
	s.ErrorFunc = func(w http.ResponseWriter, r *http.Request, err error) {
		if r.Context().Err() == nil { // a browser that left is no trouble
			slog.Error("demo: loading or saving a session failed", "error", err)
		}
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
	}
	return &Accounts{sessions: s, hashing: make(chan struct{}, 2)}
}

// Load wraps a handler. The other methods work in requests that came through it.
func (a *Accounts) Load(next http.Handler) http.Handler { return a.sessions.LoadAndSave(next) }

// Identify returns the user who makes a request, or "" if nobody is signed in. It is the function
// that the library's handlers take.
func (a *Accounts) Identify(r *http.Request) (user string, err error) {
	return a.sessions.GetString(r.Context(), "user"), nil
}

// SignIn signs a user in if the password is right. After [maxAttempts] wrong passwords in a minute,
// for one user from one address, it returns [ErrTooMany] whatever the password. Two passwords are
// compared at a time, because a comparison keeps a processor busy.
func (a *Accounts) SignIn(r *http.Request, user, password string) (ok bool, err error) {
	hash, known := hashes[user]
	name := user
	if !known {
		hash, name = hashes[Users[0]], "" // takes as long, so that time does not tell who exists
	}
	address, _, _ := net.SplitHostPort(r.RemoteAddr)
	right := false
	count, ok := a.attempts.begin(address+" "+name, time.Now())
	if !ok {
		return false, ErrTooMany
	}
	defer func() { count(right) }()
	select {
	case a.hashing <- struct{}{}:
		defer func() { <-a.hashing }()
	case <-r.Context().Done():
		return false, r.Context().Err()
	}
	if bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)) != nil || !known {
		return false, nil
	}
	right = true
	if err := a.sessions.RenewToken(r.Context()); err != nil {
		return false, err
	}
	a.sessions.Put(r.Context(), "user", user)
	return true, nil
}

// SignOut ends the session.
func (a *Accounts) SignOut(r *http.Request) error { return a.sessions.Destroy(r.Context()) }

package main

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/msgdelivery/delivery/examples/internal/demo"
)

func (s *server) showLogin(w http.ResponseWriter, r *http.Request) {
	render(w, http.StatusOK, "login.html", nil)
}

func (s *server) signIn(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		fail(w, badForm{err})
		return
	}
	ok, err := s.accounts.SignIn(r, r.PostForm.Get("username"), r.PostForm.Get("password"))
	switch {
	case errors.Is(err, demo.ErrTooMany):
		w.Header().Set("Retry-After", "60")
		render(w, http.StatusTooManyRequests, "login.html", "Too many wrong passwords. Wait for a minute.")
	case err != nil:
		fail(w, err)
	case !ok:
		render(w, http.StatusUnauthorized, "login.html", "This is not the name and password of a user.")
	default:
		http.Redirect(w, r, local(r.Form.Get("next")), http.StatusFound) // #nosec G710 -- local keeps it on this site
	}
}

// signOutHere serves the tutorial's link to /logout/. A page of another site could make a browser
// follow that link unnoticed, so the request is refused if a POST like it would be.
func (s *server) signOutHere(w http.ResponseWriter, r *http.Request) {
	post := r.Clone(r.Context())
	post.Method = http.MethodPost
	if http.NewCrossOriginProtection().Check(post) != nil || strings.Contains(r.Header.Get("Sec-Purpose"), "prefetch") {
		http.Error(w, "sign out from the page", http.StatusForbidden)
		return
	}
	s.signOut(w, r)
}

func (s *server) signOut(w http.ResponseWriter, r *http.Request) {
	if err := s.accounts.SignOut(r); err != nil {
		fail(w, err)
		return
	}
	http.Redirect(w, r, "/login/", http.StatusFound)
}

// local returns the page to go to after signing in, which is never on another site.
func local(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.Contains(next, "\\") {
		return "/"
	}
	return next
}

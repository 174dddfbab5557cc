package pushertest

import (
	"crypto/hmac"
	"crypto/md5" // #nosec G501 -- Pusher's protocol asks for it
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxSkew is how far auth_timestamp may be from the server's clock.
const maxSkew = 600 * time.Second

func sign(secret, text string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(text))
	return hex.EncodeToString(mac.Sum(nil))
}

// socketAuth is what an auth endpoint answers: the key and the signature of the parts, which are
// the socket id and what it may do.
func (s *Server) socketAuth(parts ...string) string {
	return s.Key + ":" + sign(s.Secret, strings.Join(parts, ":"))
}

func equal(a, b string) bool { return hmac.Equal([]byte(a), []byte(b)) }

// signedText is the text a caller of the HTTP API signs: every parameter but the signature, keys in
// lower case and sorted, values not escaped.
func signedText(method, path string, query url.Values) string {
	var params []string
	for key, values := range query {
		if key = strings.ToLower(key); key != "auth_signature" {
			params = append(params, key+"="+strings.Join(values, ","))
		}
	}
	slices.Sort(params)
	return method + "\n" + path + "\n" + strings.Join(params, "&")
}

// verify checks that a call of the HTTP API was signed with the secret, for this body, less than
// ten minutes ago.
func (s *Server) verify(r *http.Request, body []byte) error {
	q := r.URL.Query()
	sum := md5.Sum(body) // #nosec G401 -- Pusher's protocol asks for it, under an HMAC of SHA-256
	at, err := strconv.ParseInt(q.Get("auth_timestamp"), 10, 64)
	switch {
	case q.Get("auth_key") != s.Key:
		return refuse(http.StatusUnauthorized, "Unknown auth_key")
	case q.Get("auth_version") != "1.0":
		return refuse(http.StatusUnauthorized, "Invalid auth_version: expected 1.0")
	case err != nil:
		return refuse(http.StatusUnauthorized, "Invalid auth_timestamp")
	case time.Since(time.Unix(at, 0)).Abs() > maxSkew:
		return refuse(http.StatusUnauthorized, "Timestamp expired: not within 600s of the server's clock")
	case len(body) > 0 && q.Get("body_md5") != hex.EncodeToString(sum[:]):
		return refuse(http.StatusUnauthorized, "Invalid body_md5")
	case !equal(q.Get("auth_signature"), sign(s.Secret, signedText(r.Method, r.URL.EscapedPath(), q))):
		return refuse(http.StatusUnauthorized, "Invalid signature")
	}
	return nil
}

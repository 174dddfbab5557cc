package pusheradapter

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"unicode"

	"github.com/pusher/pusher-http-go/v5"
)

// Config says which Pusher app to speak to and where. [ParseURL] makes one from a URL. The key and
// the secret are left out when a Config is formatted by package fmt or encoded as JSON.
type Config struct {
	AppID string // letters, digits, "_" and "-"

	// Key is the app's public key, which browsers hold too. It may consist of letters, digits
	// and "._~-".
	Key string `json:"-"`

	// Secret signs the app's calls and the permissions to enter channels. It may consist of
	// printable ASCII without spaces.
	Secret string `json:"-"`

	// Host is the host of the HTTP API, as "host" or "host:port". Cluster is a cluster of hosted
	// Pusher, such as "eu", and means the host "api-eu.pusher.com". Exactly one of the two must be
	// set.
	Host, Cluster string

	// Scheme is "https" or "http". Defaults to "http" for a loopback Host, and to "https" for any
	// other.
	Scheme string
}

// ConfigError says which field of a [Config], or which argument, is not acceptable, and why.
// It never quotes the value.
type ConfigError struct {
	Field  string // as it is called in Go, or "URL"
	Reason string // completes a sentence that begins with Field: "is empty"
}

func (e *ConfigError) Error() string { return "pusheradapter: " + e.Field + " " + e.Reason }

// ParseURL makes a [Config] from a URL of the form
//
//	https://KEY:SECRET@HOST:PORT/apps/APPID
//
// The port is optional. The URL's scheme becomes [Config.Scheme], so a URL with http:// means plain
// HTTP, whatever its host. Every error is a [*ConfigError].
func ParseURL(rawURL string) (Config, error) {
	u, err := url.Parse(rawURL)
	if err != nil { // not to be shown: it quotes the URL, secret and all
		return Config{}, &ConfigError{"URL", "is not a valid URL"}
	}
	secret, hasSecret := u.User.Password()
	appID, isApp := strings.CutPrefix(u.Path, "/apps/")
	switch {
	case rawURL == "":
		return Config{}, &ConfigError{"URL", "is empty: is PUSHER_URL set?"}
	case u.Scheme != "http" && u.Scheme != "https":
		return Config{}, &ConfigError{"URL", "does not begin with http:// or https://"}
	case !hasSecret:
		return Config{}, &ConfigError{"URL", "has no KEY:SECRET@ before the host"}
	case u.Host == "":
		return Config{}, &ConfigError{"URL", "has no host"}
	case !isApp:
		return Config{}, &ConfigError{"URL", "has a path that is not /apps/APPID"}
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return Config{}, &ConfigError{"URL", "has something after the app id"}
	}
	config := Config{AppID: appID, Key: u.User.Username(), Secret: secret, Host: u.Host, Scheme: u.Scheme}
	if err := config.validate(); err != nil {
		return Config{}, err
	}
	return config, nil
}

// validate refuses all that pusher-http-go would send unescaped, crash on, or guess at.
func (c Config) validate() error {
	switch {
	case c.AppID == "":
		return &ConfigError{"AppID", "is empty"}
	case !consistsOf(c.AppID, "_-"):
		return &ConfigError{"AppID", "has a character other than letters, digits, _ and -"}
	case c.Key == "":
		return &ConfigError{"Key", "is empty"}
	case !consistsOf(c.Key, "._~-"):
		return &ConfigError{"Key", "has a character other than letters, digits and ._~- (a line break at its end, perhaps)"}
	case c.Secret == "":
		return &ConfigError{"Secret", "is empty"}
	case strings.ContainsFunc(c.Secret, func(r rune) bool { return r <= ' ' || r > '~' }):
		return &ConfigError{"Secret", "has a character that is not printable ASCII (a line break at its end, perhaps)"}
	case c.Host == "" && c.Cluster == "":
		return &ConfigError{"Host", "and Cluster are both empty"}
	case c.Host != "" && c.Cluster != "":
		return &ConfigError{"Host", "and Cluster are both set"}
	case c.Host != "" && !validHost(c.Host):
		return &ConfigError{"Host", `is not of the form "host" or "host:port"`}
	case !consistsOf(c.Cluster, "-"):
		return &ConfigError{"Cluster", "has a character other than letters, digits and -"}
	case c.Scheme != "" && c.Scheme != "http" && c.Scheme != "https":
		return &ConfigError{"Scheme", "is not http or https"}
	}
	return nil
}

// Format implements [fmt.Formatter]. It prints no secret, whatever the verb.
func (c Config) Format(state fmt.State, _ rune) {
	scheme := "http"
	if c.secure() {
		scheme = "https"
	}
	io.WriteString(state, scheme+"://"+c.host()+"/apps/"+c.AppID)
}

func (c Config) host() string {
	if c.Host != "" {
		return c.Host
	}
	return "api-" + c.Cluster + ".pusher.com"
}

func (c Config) secure() bool {
	if c.Scheme != "" {
		return c.Scheme == "https"
	}
	return !isLoopback(c.host())
}

// client returns the config as pusher-http-go wants it. Its HTTPClient is missing: each call
// brings its own.
func (c Config) client() pusher.Client {
	return pusher.Client{AppID: c.AppID, Key: c.Key, Secret: c.Secret, Host: c.host(), Secure: c.secure()}
}

// sign returns what Pusher expects as the signature of a text that a client is to present.
func (c Config) sign(text string) string {
	mac := hmac.New(sha256.New, []byte(c.Secret))
	mac.Write([]byte(text))
	return c.Key + ":" + hex.EncodeToString(mac.Sum(nil))
}

// consistsOf reports whether s has only ASCII letters, digits and the other characters.
func consistsOf(s, others string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		alphanumeric := r <= unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r))
		return !alphanumeric && !strings.ContainsRune(others, r)
	})
}

func validHost(host string) bool {
	u, err := url.Parse("https://" + host)
	if err != nil || u.Host != host || u.Hostname() == "" {
		return false
	}
	if strings.Contains(u.Hostname(), ":") && host[0] != '[' || strings.HasSuffix(host, ":") {
		return false
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	return u.Port() == "" || err == nil && port > 0
}

func isLoopback(host string) bool {
	name := (&url.URL{Host: host}).Hostname()
	return strings.EqualFold(name, "localhost") || net.ParseIP(name).IsLoopback()
}

package pusheradapter_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/msgdelivery/delivery/pusheradapter"
)

func TestParseURL(t *testing.T) {
	tests := []struct {
		name, url string
		want      pusheradapter.Config
		prints    string
	}{
		{
			"a hosted app", "https://key:secret@api-eu.pusher.com/apps/1001",
			pusheradapter.Config{AppID: "1001", Key: "key", Secret: "secret", Host: "api-eu.pusher.com", Scheme: "https"},
			"https://api-eu.pusher.com/apps/1001",
		},
		{
			"a local server", "http://app-key:s3cret@127.0.0.1:6001/apps/app_1",
			pusheradapter.Config{AppID: "app_1", Key: "app-key", Secret: "s3cret", Host: "127.0.0.1:6001", Scheme: "http"},
			"http://127.0.0.1:6001/apps/app_1",
		},
		{
			"https on a loopback address", "https://k:s@[::1]:6001/apps/1",
			pusheradapter.Config{AppID: "1", Key: "k", Secret: "s", Host: "[::1]:6001", Scheme: "https"},
			"https://[::1]:6001/apps/1",
		},
		{
			"plain http to a distant host, which the URL asks for", "http://k:s@push.example.com/apps/1",
			pusheradapter.Config{AppID: "1", Key: "k", Secret: "s", Host: "push.example.com", Scheme: "http"},
			"http://push.example.com/apps/1",
		},
		{
			"an escaped secret", "https://k:a%2Fb%40c@example.com/apps/1",
			pusheradapter.Config{AppID: "1", Key: "k", Secret: "a/b@c", Host: "example.com", Scheme: "https"},
			"https://example.com/apps/1",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := pusheradapter.ParseURL(test.url)
			if err != nil || got != test.want {
				t.Fatalf("parsed %#v, %v", got == test.want, err)
			}
			if text := fmt.Sprint(got); text != test.prints {
				t.Errorf("prints %q, want %q", text, test.prints)
			}
		})
	}
}

func TestParseURLRefusesWithoutQuoting(t *testing.T) {
	tests := []struct{ name, url string }{
		{"nothing", ""},
		{"another scheme", "ftp://topkey:topsecret@example.com/apps/1"},
		{"no scheme", "topkey:topsecret@example.com/apps/1"},
		{"no host", "https://topkey:topsecret@/apps/1"},
		{"no key and secret", "https://example.com/apps/topsecret"},
		{"no secret", "https://topkey@example.com/apps/1"},
		{"an empty secret", "https://topkey:@example.com/apps/1"},
		{"an empty key", "https://:topsecret@example.com/apps/1"},
		{"no path", "https://topkey:topsecret@example.com"},
		{"another path", "https://topkey:topsecret@example.com/app/1"},
		{"no app id", "https://topkey:topsecret@example.com/apps/"},
		{"more path", "https://topkey:topsecret@example.com/apps/1/events"},
		{"a slash at the end", "https://topkey:topsecret@example.com/apps/1/"},
		{"a query", "https://topkey:topsecret@example.com/apps/1?cluster=eu"},
		{"an empty query", "https://topkey:topsecret@example.com/apps/1?"},
		{"a fragment", "https://topkey:topsecret@example.com/apps/1#x"},
		{"a line break at the end", "https://topkey:topsecret@example.com/apps/1\n"},
		{"a space in front", " https://topkey:topsecret@example.com/apps/1"},
		{"a bad port", "https://topkey:topsecret@example.com:x/apps/1"},
		{"a port too high", "https://topkey:topsecret@example.com:65536/apps/1"},
		{"port 0", "https://topkey:topsecret@example.com:0/apps/1"},
		{"a colon without a port", "https://topkey:topsecret@example.com:/apps/1"},
		{"a bad escape", "https://topkey:topsecret%zz@example.com/apps/1"},
		{"an escaped slash in the app id", "https://topkey:topsecret@example.com/apps/1%2F..%2F2"},
		{"an ampersand in the key", "https://topkey&x:topsecret@example.com/apps/1"},
		{"an escaped line break in the secret", "https://topkey:topsecret%0A@example.com/apps/1"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			config, err := pusheradapter.ParseURL(test.url)
			var typed *pusheradapter.ConfigError
			if !errors.As(err, &typed) {
				t.Fatalf("parsed %v, %v; want a ConfigError", config, err)
			}
			if config != (pusheradapter.Config{}) {
				t.Errorf("an error, and %v", config)
			}
			if strings.Contains(err.Error(), "top") {
				t.Errorf("quotes a secret: %v", err)
			}
		})
	}
}

func TestParseURLOfNothingAsksForTheVariable(t *testing.T) {
	const want = "pusheradapter: URL is empty: is PUSHER_URL set?"
	if _, err := pusheradapter.ParseURL(""); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestNewRefusesABadConfig(t *testing.T) {
	good := pusheradapter.Config{AppID: "1", Key: "topkey", Secret: "topsecret", Host: "example.com"}
	if _, err := pusheradapter.New(good, nil); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, field string
		spoil       func(*pusheradapter.Config)
	}{
		{"no app id", "AppID", func(c *pusheradapter.Config) { c.AppID = "" }},
		{"an app id that climbs", "AppID", func(c *pusheradapter.Config) { c.AppID = "1/../2" }},
		{"an app id that isn't ASCII", "AppID", func(c *pusheradapter.Config) { c.AppID = "１" }},
		{"no key", "Key", func(c *pusheradapter.Config) { c.Key = "" }},
		{"a key with a line break", "Key", func(c *pusheradapter.Config) { c.Key += "\n" }},
		{"a key with a carriage return", "Key", func(c *pusheradapter.Config) { c.Key += "\r" }},
		{"a key with an ampersand", "Key", func(c *pusheradapter.Config) { c.Key += "&x=1" }},
		{"a key with a hash", "Key", func(c *pusheradapter.Config) { c.Key += "#" }},
		{"a key with a percent sign", "Key", func(c *pusheradapter.Config) { c.Key += "%41" }},
		{"a key with a colon", "Key", func(c *pusheradapter.Config) { c.Key += ":x" }},
		{"no secret", "Secret", func(c *pusheradapter.Config) { c.Secret = "" }},
		{"a secret with a line break", "Secret", func(c *pusheradapter.Config) { c.Secret += "\n" }},
		{"a secret with a space", "Secret", func(c *pusheradapter.Config) { c.Secret = " " + c.Secret }},
		{"a secret with NUL", "Secret", func(c *pusheradapter.Config) { c.Secret += "\x00" }},
		{"neither host nor cluster", "Host", func(c *pusheradapter.Config) { c.Host = "" }},
		{"both host and cluster", "Host", func(c *pusheradapter.Config) { c.Cluster = "eu" }},
		{"a host with a scheme", "Host", func(c *pusheradapter.Config) { c.Host = "https://example.com" }},
		{"a host with a path", "Host", func(c *pusheradapter.Config) { c.Host = "example.com/x" }},
		{"a host with a slash", "Host", func(c *pusheradapter.Config) { c.Host = "example.com/" }},
		{"a host with a query", "Host", func(c *pusheradapter.Config) { c.Host = "example.com?x" }},
		{"a host with credentials", "Host", func(c *pusheradapter.Config) { c.Host = "a:b@example.com" }},
		{"a host with a space", "Host", func(c *pusheradapter.Config) { c.Host = "example .com" }},
		{"a host with a line break", "Host", func(c *pusheradapter.Config) { c.Host = "example.com\n" }},
		{"a host that is only a port", "Host", func(c *pusheradapter.Config) { c.Host = ":6001" }},
		{"a bare IPv6 address", "Host", func(c *pusheradapter.Config) { c.Host = "::1" }},
		{"a cluster that is a host", "Cluster", func(c *pusheradapter.Config) { c.Host, c.Cluster = "", "eu.example.com" }},
		{"a cluster with a slash", "Cluster", func(c *pusheradapter.Config) { c.Host, c.Cluster = "", "eu/" }},
		{"another scheme", "Scheme", func(c *pusheradapter.Config) { c.Scheme = "ws" }},
		{"a scheme in capitals", "Scheme", func(c *pusheradapter.Config) { c.Scheme = "HTTPS" }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			config := good
			test.spoil(&config)
			_, err := pusheradapter.New(config, nil)
			var typed *pusheradapter.ConfigError
			if !errors.As(err, &typed) || typed.Field != test.field {
				t.Fatalf("got %v, want a ConfigError for %s", err, test.field)
			}
			if strings.Contains(err.Error(), "top") {
				t.Errorf("quotes a secret: %v", err)
			}
		})
	}
	for name, opts := range map[string]pusheradapter.Options{"a negative timeout": {Timeout: -1}, "a negative number of calls": {Calls: -1}} {
		t.Run(name, func(t *testing.T) {
			var typed *pusheradapter.ConfigError
			if _, err := pusheradapter.New(good, &opts); !errors.As(err, &typed) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestTLSIsLeftOutForLoopbackOnly(t *testing.T) {
	for host, want := range map[string]string{
		"localhost":        "http",
		"LOCALHOST:80":     "http",
		"127.0.0.1:6001":   "http",
		"127.9.9.9":        "http",
		"[::1]:6001":       "http",
		"example.com":      "https",
		"10.0.0.1":         "https",
		"localhost.evil":   "https",
		"127.0.0.1.nip.io": "https",
		"0.0.0.0:6001":     "https",
	} {
		config := pusheradapter.Config{AppID: "1", Key: "k", Secret: "s", Host: host}
		if got := fmt.Sprint(config); got != want+"://"+host+"/apps/1" {
			t.Errorf("%s: %s, want %s", host, got, want)
		}
	}
	cluster := pusheradapter.Config{AppID: "1", Key: "k", Secret: "s", Cluster: "eu"}
	if got := fmt.Sprint(cluster); got != "https://api-eu.pusher.com/apps/1" {
		t.Errorf("cluster: %s", got)
	}
}

func TestCallsGoWhereTheConfigSays(t *testing.T) {
	for want, config := range map[string]pusheradapter.Config{
		"https://api-eu.pusher.com/apps/1/events":  {AppID: "1", Cluster: "eu"},
		"https://example.com:8443/apps/a-b/events": {AppID: "a-b", Host: "example.com:8443"},
		"http://example.com/apps/1/events":         {AppID: "1", Host: "example.com", Scheme: "http"},
		"http://127.0.0.1:6001/apps/1/events":      {AppID: "1", Host: "127.0.0.1:6001"},
		"https://localhost/apps/1/events":          {AppID: "1", Host: "localhost", Scheme: "https"},
	} {
		config.Key, config.Secret = "k", "s"
		var got string
		transport := roundTripper(func(r *http.Request) (*http.Response, error) {
			got, _, _ = strings.Cut(r.URL.String(), "?")
			return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
		})
		notifier, err := pusheradapter.New(config, &pusheradapter.Options{Transport: transport})
		if err != nil {
			t.Fatal(err)
		}
		if err := notifier.Notify(t.Context(), newEvents(1)); err != nil || got != want {
			t.Errorf("called %s, %v; want %s", got, err, want)
		}
	}
}

func FuzzParseURL(f *testing.F) {
	for _, seed := range []string{"example.com/apps/1", "127.0.0.1:6001/apps/1", "[::1]/apps/a", "/apps/1", "a%zz/apps/1", "example.com/apps/1?x", ":0/apps/1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, rest string) {
		config, err := pusheradapter.ParseURL("https://topkey:topsecret@" + rest)
		if text := fmt.Sprint(config, err); strings.Contains(text, "top") && !strings.Contains(rest, "top") {
			t.Errorf("%q: prints %s", rest, text)
		}
		if err != nil {
			return
		}
		again, err := pusheradapter.ParseURL("https://topkey:topsecret@" + strings.TrimPrefix(fmt.Sprint(config), "https://"))
		if err != nil || again.Host != config.Host || again.AppID != config.AppID {
			t.Errorf("%q: comes back as %v, %v", rest, again, err)
		}
	})
}

func TestNoVerbPrintsASecret(t *testing.T) {
	config := pusheradapter.Config{AppID: "1", Key: "topkey", Secret: "topsecret", Host: "example.com"}
	notifier, err := pusheradapter.New(config, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, value := range []any{config, &config, notifier, []any{config}, struct{ C pusheradapter.Config }{config}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
			if text := fmt.Sprintf(verb, value); strings.Contains(text, "top") || strings.Contains(text, fmt.Sprintf("%x", "top")) {
				t.Errorf("%s of %T prints %s", verb, value, text)
			}
		}
		if text, err := json.Marshal(value); err != nil || strings.Contains(string(text), "top") {
			t.Errorf("JSON of %T is %s, %v", value, text, err)
		}
	}
}

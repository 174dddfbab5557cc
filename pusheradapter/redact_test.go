package pusheradapter_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"

	"github.com/msgdelivery/delivery/pusheradapter"
)

func TestNothingListens(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	config := pusheradapter.Config{AppID: "1", Key: "topkey", Secret: "topsecret", Host: listener.Addr().String()}
	notifier, err := pusheradapter.New(config, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = notifier.Notify(t.Context(), newEvents(1))
	if !isPlain(err) || !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("got %v", err)
	}
	if found := leak(err, "topkey", "topsecret", "auth_signature", "body_md5"); found != nil {
		t.Errorf("tells too much: %v", found)
	}
}

func TestNoErrorTellsASecret(t *testing.T) {
	tests := map[string]func(*http.Request) error{
		"an error with the URL": func(r *http.Request) error { return fmt.Errorf("cannot post to %v", r.URL) },
		"a url.Error": func(r *http.Request) error {
			return &url.Error{Op: "Post", URL: r.URL.String(), Err: io.ErrUnexpectedEOF}
		},
		"a url.Error inside": func(r *http.Request) error {
			return fmt.Errorf("proxy: %w", &url.Error{Op: "Post", URL: r.URL.String(), Err: io.EOF})
		},
		"a url.Error in a url.Error":       func(r *http.Request) error { return &url.Error{Err: &url.Error{URL: r.URL.String(), Err: io.EOF}} },
		"a url.Error among others":         func(r *http.Request) error { return errors.Join(io.EOF, &url.Error{URL: r.URL.String(), Err: io.EOF}) },
		"a url.Error without a cause":      func(r *http.Request) error { return fmt.Errorf("%w %w", errors.New(r.URL.String()), io.EOF) },
		"the query escaped":                func(r *http.Request) error { return errors.New(url.QueryEscape(r.URL.RawQuery)) },
		"the query parsed":                 func(r *http.Request) error { return fmt.Errorf("%v", r.URL.Query()) },
		"the deadline, with the URL":       func(r *http.Request) error { return fmt.Errorf("%v: %w", r.URL, context.DeadlineExceeded) },
		"the end, with the key":            func(r *http.Request) error { return fmt.Errorf("%v: %w", "topkey", context.Canceled) },
		"the secret, wherever it had been": func(*http.Request) error { return errors.New("topsecret") },
	}
	for name, fail := range tests {
		t.Run(name, func(t *testing.T) {
			var signature string
			transport := roundTripper(func(r *http.Request) (*http.Response, error) {
				signature = r.URL.Query().Get("auth_signature")
				return nil, fail(r)
			})
			config := pusheradapter.Config{AppID: "1", Key: "topkey", Secret: "topsecret", Host: "example.com"}
			notifier, err := pusheradapter.New(config, &pusheradapter.Options{Transport: transport})
			if err != nil {
				t.Fatal(err)
			}
			err = notifier.Notify(t.Context(), newEvents(1))
			if !isPlain(err) || len(signature) != 64 {
				t.Fatalf("got %v, signature %q", err, signature)
			}
			if found := leak(err, signature, "topkey", "topsecret"); found != nil {
				t.Errorf("tells too much: %v", found)
			}
			if strings.Contains(name, "deadline") && !errors.Is(err, context.DeadlineExceeded) || strings.Contains(name, "end") && !errors.Is(err, context.Canceled) {
				t.Errorf("forgets what it was: %v", err)
			}
		})
	}
}

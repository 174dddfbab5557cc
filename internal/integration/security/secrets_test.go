package security

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/pusher/pusher-http-go/v5"
)

// canary stands in every body that is sent.
const canary = "canary-9f1c"

// secrets are what no log and no error may hold.
func (a *app) secrets() []string {
	return append([]string{canary, a.pusher.Key, a.pusher.Secret, "auth_signature", "auth_key", "body_md5", "pass-7e2d"}, sessionTokens()...)
}

func sessionTokens() (tokens []string) {
	for token := range sessions {
		tokens = append(tokens, token)
	}
	return tokens
}

// told returns the secrets that a text tells, and where.
func told(text string, secrets []string) (leaks []string) {
	for line := range strings.Lines(text) {
		for _, secret := range secrets {
			for _, form := range []string{secret, url.QueryEscape(secret)} {
				if strings.Contains(line, form) {
					leaks = append(leaks, fmt.Sprintf("%s in: %s", secret, line))
				}
			}
		}
	}
	return leaks
}

func TestNoFailureTellsASecret(t *testing.T) {
	engines.Each(t, func(t *testing.T, e engines.Engine) {
		a := newApp(t, e, options{})
		before := slog.Default()
		slog.SetDefault(slog.New(slog.NewTextHandler(&a.log, nil))) // and with it package log
		defer slog.SetDefault(before)
		for name, fail := range failures {
			t.Run(name, func(t *testing.T) {
				from := len(a.log.String())
				fail(t, a)
				log := a.log.String()[from:]
				if log == "" {
					t.Error("it went well, or unseen")
				}
				for _, leak := range told(log, a.secrets()) {
					t.Error(leak)
				}
				t.Logf("%.300s", log)
			})
		}
	})
}

func TestTheScanFindsWhatANaiveNotifierTells(t *testing.T) {
	a := newApp(t, engines.All[0], options{})
	client := pusher.Client{AppID: a.pusher.AppID, Key: a.pusher.Key, Secret: a.pusher.Secret, Host: closedPort(t), HTTPClient: &http.Client{}}
	o := a.options
	o.notifier = delivery.NotifierFunc(func(_ context.Context, events []delivery.Event) error {
		if err := client.Trigger("private-room", "message", events[0]); err != nil {
			return fmt.Errorf("telling of %+v: %w", events[0].Updates, err)
		}
		return nil
	})
	a.with(t, o)
	a.send(t)
	leaks := strings.Join(told(a.log.String(), a.secrets()), "")
	for _, secret := range []string{canary, a.pusher.Key, "auth_signature", "body_md5"} {
		if !strings.Contains(leaks, secret+" in:") {
			t.Errorf("%s was told and not found", secret)
		}
	}
}

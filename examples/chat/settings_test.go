package main

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/msgdelivery/delivery/examples/internal/demo"
)

func TestHidingReads(t *testing.T) {
	db, err := demo.OpenDB(t.Context(), filepath.Join(t.TempDir(), "chat.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	url := serve(t, db, "")
	alice, bob := signedIn(t, url, "alice"), signedIn(t, url, "bob")
	hides := func(hide bool) content { return object(map[string]any{"hide_reads": hide}) }
	send := func(t *testing.T, id string) {
		t.Helper()
		if status, body := alice.post("/api/messages", object(map[string]any{"id": id, "conversation": "everyone", "body": "hello"})); status != http.StatusCreated {
			t.Fatalf("sending: status %d: %s", status, body)
		}
	}
	read := func(id string) (status int, body string) {
		return bob.post("/api/marks", object(map[string]any{"message": id, "status": "read"}))
	}
	shown := func(t *testing.T, id, want string) {
		t.Helper()
		if status, body := alice.get("/api/receipts?message=" + id); status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("alice sees %d %s, want %s", status, body, want)
		}
	}

	send(t, "before")
	t.Run("what a user hides is shown as delivered, the user's own badge counts it as read, and the page knows the setting", func(t *testing.T) {
		if status, body := bob.post("/settings", hides(true)); status != http.StatusOK || body != `{"hide_reads":true}`+"\n" {
			t.Fatalf("%d %s", status, body)
		}
		if status, body := read("before"); status != http.StatusOK || !strings.Contains(body, `"status":"read"`) {
			t.Errorf("bob sees %d %s", status, body)
		}
		shown(t, "before", `"recipient":"bob","status":"delivered"`)
		if _, body := bob.get("/api/unread?conversation=everyone"); !strings.Contains(body, `"count":0`) {
			t.Errorf("bob has unread %s", body)
		}
		if _, page := bob.get("/"); !strings.Contains(page, `&#34;hideReads&#34;:true`) {
			t.Error("bob's page does not know")
		}
	})
	t.Run("a message that is sent meanwhile says why it shows no more, for good", func(t *testing.T) {
		send(t, "meanwhile")
		read("meanwhile")
		shown(t, "meanwhile", `"reason":"capped"`)
		bob.post("/settings", hides(false))
		read("meanwhile")
		shown(t, "meanwhile", `"reason":"capped"`)
	})
	t.Run("who hides nothing again is seen to read", func(t *testing.T) {
		send(t, "after")
		read("after")
		shown(t, "after", `"recipient":"bob","status":"read"`)
	})
	t.Run("the setting is the user's own, and is set by the user's pages alone", func(t *testing.T) {
		for _, c := range []struct {
			who    browser
			body   content
			header []string
			want   int
		}{
			{newBrowser(t, url), hides(true), nil, http.StatusUnauthorized},
			{bob, hides(true), []string{"Delivery-User", "alice"}, http.StatusConflict},
			{bob, hides(true), []string{"Sec-Fetch-Site", "cross-site"}, http.StatusForbidden},
			{bob, object(map[string]any{}), nil, http.StatusBadRequest},
			{bob, content{"application/json", "yes"}, nil, http.StatusBadRequest},
			{bob, object(map[string]any{"hide_reads": true, "more": strings.Repeat("x", 2000)}), nil, http.StatusBadRequest},
		} {
			if status, body := c.who.post("/settings", c.body, c.header...); status != c.want {
				t.Errorf("%s %q: status %d, want %d: %s", c.body.text[:min(40, len(c.body.text))], c.header, status, c.want, body)
			}
		}
		for _, who := range []browser{alice, bob} {
			if _, page := who.get("/"); !strings.Contains(page, `&#34;hideReads&#34;:false`) {
				t.Error("somebody hides reads")
			}
		}
	})
	t.Run("if the setting cannot be read, nothing is marked and nothing sent", func(t *testing.T) {
		send(t, "dark")
		if _, err := db.ExecContext(t.Context(), "DROP TABLE demo_hiding_reads"); err != nil {
			t.Fatal(err)
		}
		if status, body := read("dark"); status != http.StatusInternalServerError {
			t.Errorf("marking: %d %s", status, body)
		}
		if status, body := alice.post("/api/messages", object(map[string]any{"id": "lost", "conversation": "everyone", "body": "hello"})); status != http.StatusInternalServerError {
			t.Errorf("sending: %d %s", status, body)
		}
		if status, body := bob.post("/settings", hides(true)); status != http.StatusInternalServerError {
			t.Errorf("setting: %d %s", status, body)
		}
		shown(t, "dark", `"recipient":"bob","status":"sent"`)
	})
}

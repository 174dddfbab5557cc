package browser

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	_ "modernc.org/sqlite"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliverytest"
	"github.com/msgdelivery/delivery/sqlstore"
)

func TestPageStartsOverWhenTheServerWasRestored(t *testing.T) {
	t.Parallel()
	chat := runExample(t, "chat")
	alice, bob := openChat(t, chat, "alice"), openChat(t, chat, "bob")
	for _, p := range []*tab{alice, bob} {
		p.pardon("net::ERR_", "console: \"To be tried again")
		p.choose(direct)
	}
	alice.write("in the backup")
	alice.waitTicks("in the backup", "read")
	backup := t.TempDir()
	chat.kill()
	copyFiles(t, filepath.Dir(chat.database()), backup)
	chat.restart()

	alice.write("lost")
	alice.waitTicks("lost", "read")
	chat.kill()
	copyFiles(t, backup, filepath.Dir(chat.database()))
	db, err := sql.Open("sqlite", chat.database())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := sqlstore.Restored(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	want := []shown{{"in the backup", "read"}}
	for i := range 6 { // more versions than "lost" had
		text := fmt.Sprint("new ", i)
		sendTo(t, db, delivery.Draft{Conversation: direct, Sender: "alice", Body: text, Audience: delivery.Audience{Recipients: []string{"bob"}}})
		want = append(want, shown{text, "read"})
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	chat.restart()

	alice.waitTicks("new 5", "read")
	for _, p := range []*tab{alice, bob} {
		p.wait(`!watch.message('lost')`)
		p.waitBadge(direct, "")
	}
	if got := shownBy(alice); !slices.Equal(got, want) {
		t.Errorf("alice's page shows %q, want %q", got, want)
	}
	alice.shoot("restored")
}

// sendTo sends a message while no server runs.
func sendTo(t *testing.T, db *sql.DB, draft delivery.Draft) {
	t.Helper()
	store, err := sqlstore.New(db, sqlstore.SQLite)
	if err != nil {
		t.Fatal(err)
	}
	tracker, err := delivery.New(store, new(deliverytest.Recorder), &delivery.Options{OpenConversations: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tracker.Send(t.Context(), draft); err != nil {
		t.Fatal(err)
	}
}

// copyFiles makes the files of one directory those of another.
func copyFiles(t *testing.T, from, to string) {
	t.Helper()
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

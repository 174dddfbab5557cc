package pusheradapter

import (
	"errors"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/msgdelivery/delivery"
)

func TestChannelNamesAreEscapedReversibly(t *testing.T) {
	for conversation, want := range map[string]string{
		"c1":                           "private-conv-c1",
		"C1":                           "private-conv-C1",
		"team:42":                      "private-conv-team=3A42",
		"a=b":                          "private-conv-a=3Db",
		"a b/c":                        "private-conv-a=20b=2Fc",
		"-_@,.;":                       "private-conv--_@=2C.=3B",
		"é":                            "private-conv-=C3=A9",
		"encrypted-x":                  "private-conv-encrypted-x",
		"\n":                           "private-conv-=0A",
		"private-conv-c1":              "private-conv-private-conv-c1",
		strings.Repeat("x", 128):       "private-conv-" + strings.Repeat("x", 128),
		strings.Repeat("/", 50):        "private-conv-" + strings.Repeat("=2F", 50),
		`room:{"user_id":"victim`:      "private-conv-room=3A=7B=22user_id=22=3A=22victim",
		strings.Repeat("x", 127) + ":": "private-conv-" + strings.Repeat("x", 127) + "=3A",
	} {
		got, err := PrivateChannel(conversation)
		if err != nil || got != want {
			t.Errorf("%q: channel %q, %v; want %q", conversation, got, err, want)
		}
		if back, ok := ParseChannel(got); !ok || back != conversation {
			t.Errorf("%q: comes back as %q, %v", conversation, back, ok)
		}
		presence := "presence-" + strings.TrimPrefix(got, "private-")
		if back, ok := ParseChannel(presence); len(presence) <= MaxChannel && (!ok || back != conversation) {
			t.Errorf("%q: comes back from its presence channel as %q, %v", conversation, back, ok)
		}
	}
}

func TestAChannelNameMayBeAsLongAsPusherTakes(t *testing.T) {
	at := (MaxChannel - len("private-conv-")) % 3 // a slash takes 3 characters
	id := strings.Repeat("x", at) + strings.Repeat("/", (MaxChannel-len("private-conv-"))/3)
	if name, err := PrivateChannel(id); err != nil || len(name) != MaxChannel {
		t.Errorf("a name of %d characters: %v", len(name), err)
	}
	var invalid *delivery.InvalidError
	if name, err := PrivateChannel(id + "x"); !errors.As(err, &invalid) || name != "" {
		t.Errorf("one more: %q, %v", name, err)
	}
}

func TestConversationsWithoutAChannelName(t *testing.T) {
	for name, conversation := range map[string]string{
		"empty":                   "",
		"one byte too long":       strings.Repeat("x", 129),
		"too long once escaped":   strings.Repeat("/", 51),
		"12 escapes in 128 bytes": strings.Repeat("/", 12) + strings.Repeat("x", 116),
		"NUL":                     "a\x00b",
		"not UTF-8":               "a\xffb",
	} {
		var invalid *delivery.InvalidError
		if channel, err := PrivateChannel(conversation); !errors.As(err, &invalid) || invalid.Field != "conversation" {
			t.Errorf("%s: channel %q, %v", name, channel, err)
		}
	}
}

func TestUsersHaveChannelsOfTheirOwn(t *testing.T) {
	for user, want := range map[string]string{
		"bob":                   "private-user-bob",
		"bob@example.com":       "private-user-bob@example.com",
		"a:b":                   "private-user-a=3Ab",
		"encrypted-x":           "private-user-encrypted-x",
		strings.Repeat("/", 50): "private-user-" + strings.Repeat("=2F", 50),
	} {
		got, err := UserChannel(user)
		if err != nil || got != want {
			t.Errorf("%q: channel %q, %v; want %q", user, got, err, want)
		}
		if back, ok := parseUser(got); !ok || back != user {
			t.Errorf("%q: comes back as %q, %v", user, back, ok)
		}
		if conversation, ok := ParseChannel(got); ok {
			t.Errorf("%q: is taken for the channel of the conversation %q", user, conversation)
		}
	}
	for name, user := range map[string]string{"empty": "", "too long once escaped": strings.Repeat("/", 51), "NUL": "a\x00b"} {
		var invalid *delivery.InvalidError
		if channel, err := UserChannel(user); !errors.As(err, &invalid) || invalid.Field != "user" {
			t.Errorf("%s: channel %q, %v", name, channel, err)
		}
	}
}

func TestChannelsThatAreNoConversations(t *testing.T) {
	for _, channel := range []string{
		"",
		"private-conv-",
		"presence-conv-",
		"private-conv",
		"conv-c1",
		"Private-conv-c1",
		"private-encrypted-c1",
		"private-cache-c1",
		"private-other-c1",
		"public-conv-c1",
		"private-conv-a b",
		"private-conv-a:b",
		"private-conv-a\n",
		"private-conv-a\x00",
		"private-conv-é",
		"private-conv-a=",    // an escape cut off
		"private-conv-a=3",   // and again
		"private-conv-a=3a",  // lower case
		"private-conv-a=GG",  // not hex
		"private-conv-a=+3",  // what strconv would take
		"private-conv-=41",   // a second spelling of "A"
		"private-conv-=2D",   // and of "-"
		"private-conv-a=00",  // NUL
		"private-conv-a=FF",  // not UTF-8
		"private-conv-=C3",   // half a character
		"private-conv-a=3A=", // an escape cut off after a good one
		"private-conv-" + strings.Repeat("x", 129),
		"private-conv-" + strings.Repeat("=2F", 51),
		`presence-conv-room:{"user_id":"victim"}`,
	} {
		if conversation, ok := ParseChannel(channel); ok {
			t.Errorf("%q is taken for the conversation %q", channel, conversation)
		}
	}
}

func FuzzChannel(f *testing.F) {
	for _, seed := range []string{"c1", "team:42", "é=", "private-conv-c1", "private-conv-a=3Ab", "private-user-a=3Ab", "presence-conv-x", "a\x00"} {
		f.Add(seed)
	}
	allowed := regexp.MustCompile(`\Aprivate-conv-[A-Za-z0-9_\-=@,.;]+\z`)
	f.Fuzz(func(t *testing.T, s string) {
		// As the id of a conversation.
		if channel, err := PrivateChannel(s); err == nil {
			if !allowed.MatchString(channel) || len(channel) > 164 {
				t.Fatalf("channel %q", channel)
			}
			if back, ok := ParseChannel(channel); !ok || back != s {
				t.Fatalf("%q comes back as %q, %v", s, back, ok)
			}
		} else if len(s) > 0 && len(s) <= 50 && utf8.ValidString(s) && !strings.Contains(s, "\x00") {
			t.Fatalf("%q has no channel: %v", s, err)
		}
		// As the name of a channel: there is only one spelling.
		if user, ok := parseUser(s); ok {
			if channel, err := UserChannel(user); err != nil || channel != s {
				t.Fatalf("%q is parsed as %q's, whose channel is %q, %v", s, user, channel, err)
			}
		}
		if conversation, ok := ParseChannel(s); ok {
			channel, err := PrivateChannel(conversation)
			if err != nil && len(s) < 164 || err == nil && strings.TrimPrefix(channel, "private-") != strings.TrimPrefix(strings.TrimPrefix(s, "private-"), "presence-") {
				t.Fatalf("%q is parsed as %q, whose channel is %q, %v", s, conversation, channel, err)
			}
		}
	})
}

func FuzzSocketID(f *testing.F) {
	socketIDs := regexp.MustCompile(`\A[0-9]{1,20}\.[0-9]{1,20}\z`)
	for _, seed := range []string{"1.1", "123.456", "", ".", "1.", ".1", "1.1\n", "1.1.1", "-1.1", "１.1", strings.Repeat("1", 20) + ".1", strings.Repeat("1", 21) + ".1", "1.1:x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want := socketIDs.MatchString(s)
		if got := validSocketID(s); got != want {
			t.Errorf("%q: %v, want %v", s, got, want)
		}
		if id := (&Trigger{Except: s}).socketID(); (id != nil) != want || want && *id != s {
			t.Errorf("%q is sent as %v", s, id)
		}
	})
}

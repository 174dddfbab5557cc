package pusheradapter

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/msgdelivery/delivery"
)

// MaxChannel is how many characters Pusher allows in the name of a channel, prefix included.
const MaxChannel = 164

// The channels of conversations and users. The part in the middle keeps their names apart, and out
// of Pusher's reserved prefixes: a conversation "encrypted-x" must not become an encrypted channel.
const (
	privatePrefix  = "private-conv-"
	presencePrefix = "presence-conv-"
	userPrefix     = "private-user-"
)

// PrivateChannel returns the name of a conversation's private channel: "private-conv-" and the
// escaped id of the conversation. Letters, digits, '-', '_', '@' and '.' are not escaped. Every
// other byte is escaped as "=" and two upper-case hex digits, so that "team:42" becomes
// "private-conv-team=3A42".
//
// The error is a [*delivery.InvalidError] if the name would exceed [MaxChannel], or if the id is
// not valid. Every id of up to 50 bytes fits, and so does one of 128 bytes if at most 11 of them
// are escaped. If an id does not fit, the [Notifier] refuses messages to that conversation at the
// time they are sent ([Notifier.CheckConversation]).
func PrivateChannel(conversation string) (string, error) {
	return channelName(privatePrefix, "conversation", conversation)
}

// UserChannel returns the name of a user's own private channel, "private-user-" and the user's id,
// escaped and limited as by [PrivateChannel]. See [Options.AuthorsOnly].
func UserChannel(user string) (string, error) {
	return channelName(userPrefix, "user", user)
}

const hexDigits = "0123456789ABCDEF"

// channelName returns the prefix and the id, escaped.
func channelName(prefix, field, id string) (string, error) {
	if !validID(id) {
		return "", &delivery.InvalidError{Field: field, Reason: "is not an id"}
	}
	var name strings.Builder
	name.Grow(len(prefix) + len(id))
	name.WriteString(prefix)
	for _, b := range []byte(id) {
		if plain(b) {
			name.WriteByte(b)
		} else {
			name.Write([]byte{'=', hexDigits[b>>4], hexDigits[b&0xF]})
		}
	}
	if name.Len() > MaxChannel {
		reason := fmt.Sprintf("makes a channel name of %d characters, and Pusher allows %d", name.Len(), MaxChannel)
		if prefix == userPrefix {
			reason += "; users have channels of their own for AuthorsOnly and for private marks"
		}
		return "", &delivery.InvalidError{Field: field, Reason: reason}
	}
	return name.String(), nil
}

// ParseChannel is the inverse of [PrivateChannel]. It also accepts the presence channel of the
// same conversation, "presence-conv-" and the escaped id, for apps that show who is there. It
// reports false for every other name, other spellings of these two included.
func ParseChannel(channel string) (conversation string, ok bool) {
	if id, ok := parseName(privatePrefix, channel); ok {
		return id, true
	}
	return parseName(presencePrefix, channel)
}

// parseUser is the inverse of [UserChannel].
func parseUser(channel string) (user string, ok bool) { return parseName(userPrefix, channel) }

// parseName is the inverse of channelName.
func parseName(prefix, channel string) (id string, ok bool) {
	escaped, ok := strings.CutPrefix(channel, prefix)
	if !ok || len(channel) > MaxChannel {
		return "", false
	}
	var bytes []byte
	for i := 0; i < len(escaped); i++ {
		b := escaped[i]
		if b == '=' && i+2 < len(escaped) {
			b, ok = unescape(escaped[i+1], escaped[i+2])
			i += 2
		} else {
			ok = plain(b)
		}
		if !ok {
			return "", false
		}
		bytes = append(bytes, b)
	}
	id = string(bytes)
	if !validID(id) {
		return "", false
	}
	return id, true
}

// unescape returns the byte of two upper-case hex digits, if it is one that needs the escape.
func unescape(high, low byte) (b byte, ok bool) {
	h, l := strings.IndexByte(hexDigits, high), strings.IndexByte(hexDigits, low)
	if h < 0 || l < 0 {
		return 0, false
	}
	b = byte(h<<4 | l) // #nosec G115 -- both are below 16
	return b, !plain(b)
}

// validID reports whether id is one that the core lets in.
func validID(id string) bool {
	return id != "" && len(id) <= delivery.MaxID && utf8.ValidString(id) && strings.IndexByte(id, 0) < 0
}

// plain reports whether a byte of an id stands for itself in a channel name: Pusher's charset
// without the "=" that escapes, and without the "," and ";" that Sockudo up to 5.0.1 refuses.
// Clients that do not encode what they post to the auth endpoint lose a ";" as well.
func plain(b byte) bool {
	return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9' || strings.IndexByte("-_@.", b) >= 0
}

// validChannel reports whether Pusher allows the name at all.
func validChannel(channel string) bool {
	return channel != "" && len(channel) <= MaxChannel && consistsOf(channel, "-_=@,.;")
}

// isEncrypted reports whether pusher-http-go and browsers would encrypt what goes there.
func isEncrypted(channel string) bool { return strings.HasPrefix(channel, "private-encrypted-") }

// validName reports whether an event may have the name.
func validName(name string) bool {
	return name != "" && len(name) <= 200 && utf8.ValidString(name) && !strings.ContainsFunc(name, isControl) &&
		!strings.HasPrefix(name, "pusher:") && !strings.HasPrefix(name, "pusher_internal:")
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// validSocketID reports whether s has the form of a Pusher socket id: two numbers of up to 20
// digits, which pusher-http-go does not limit, and a dot between them. That it exists, or whose it
// is, nobody can tell: such an id is a hint, never an identity.
func validSocketID(s string) bool {
	first, second, _ := strings.Cut(s, ".")
	return isNumber(first) && isNumber(second)
}

func isNumber(s string) bool { return s != "" && len(s) <= 20 && strings.Trim(s, "0123456789") == "" }

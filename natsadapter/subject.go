package natsadapter

import (
	"strings"

	"github.com/msgdelivery/delivery"
)

const hexDigits = "0123456789ABCDEF"

// Token returns an id as one token of a subject. Letters, digits, "-" and "_" are not escaped.
// Every other byte is escaped as "=" and two upper-case hex digits, so that "team.42" becomes
// "team=2E42". Different ids have different tokens. A token contains no dot and no wildcard, so the
// subject made from one id never matches that of another.
func Token(id string) string {
	var token strings.Builder
	for _, b := range []byte(id) {
		if plain(b) {
			token.WriteByte(b)
		} else {
			token.Write([]byte{'=', hexDigits[b>>4], hexDigits[b&0xF]})
		}
	}
	return token.String()
}

func plain(b byte) bool {
	return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9' || b == '-' || b == '_'
}

// maxSubject is how many bytes a subject or a prefix of one has at most. With a token of
// [delivery.MaxID] escaped bytes it still fits into a line of the protocol, which the server limits
// to 4,096 bytes.
const maxSubject = 1024

// checkSubject refuses what is no subject to publish on.
func checkSubject(field, subject string) error {
	if len(subject) > maxSubject {
		return &delivery.InvalidError{Field: field, Reason: "is longer than 1024 bytes"}
	}
	for token := range strings.SplitSeq(subject, ".") {
		if token == "" {
			return &delivery.InvalidError{Field: field, Reason: "has an empty token"}
		}
	}
	for _, b := range []byte(subject) {
		if b <= ' ' || b == 0x7f || b == '*' || b == '>' {
			return &delivery.InvalidError{Field: field, Reason: "has a space, a control character or a wildcard"}
		}
	}
	return nil
}

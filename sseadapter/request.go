package sseadapter

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/msgdelivery/delivery"
)

// topic is one conversation of a stream.
type topic struct {
	conversation string
	heard        bool // the user may hear it
	said         bool // the client said up to where it knows the conversation
	known        bool // reach is set
	reach        reach
}

// parse reads the conversations of a request, and up to where its client knows them: from the
// header Last-Event-ID, which an EventSource sends when it connects again, or else from the query.
// It reports false if the conversations are malformed. A malformed id counts as none.
func parse(r *http.Request) (topics []topic, epoch int64, ok bool) {
	query := r.URL.Query()
	names := query["conversation"]
	if len(names) == 0 || len(names) > MaxConversations {
		return nil, 0, false
	}
	seen := make(map[string]bool, len(names))
	for _, name := range names {
		if name == "" || len(name) > delivery.MaxID || seen[name] {
			return nil, 0, false
		}
		seen[name] = true
		topics = append(topics, topic{conversation: name})
	}
	for _, id := range []string{r.Header.Get("Last-Event-ID"), query.Get("since")} {
		if epoch, ok := parseID(id, topics); ok {
			return topics, epoch, true
		}
	}
	return topics, 0, true
}

// parseID sets how far the topics are known, by the form that appendID writes. It reports false,
// and sets nothing, for any other.
func parseID(id string, topics []topic) (epoch int64, ok bool) {
	parts := strings.Split(id, ".")
	if len(parts) != len(topics)+1 {
		return 0, false
	}
	if epoch, ok = parseNumber(parts[0]); !ok {
		return 0, false
	}
	versions := make([]int64, len(topics))
	for i, part := range parts[1:] {
		versions[i] = -1
		if part == "" {
			continue
		}
		if versions[i], ok = parseNumber(part); !ok {
			return 0, false
		}
	}
	for i, version := range versions {
		if version >= 0 {
			topics[i].said, topics[i].known, topics[i].reach.to = true, true, version
		}
	}
	return epoch, true
}

// parseNumber parses a number as strconv formats it: no other spelling.
func parseNumber(s string) (int64, bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && strconv.FormatInt(n, 10) == s
}

// appendID appends the id of an event: the epoch, and the version up to which the stream has told
// each conversation, in the order of the request.
func appendID(b []byte, epoch int64, topics []topic) []byte {
	b = strconv.AppendInt(b, epoch, 10)
	for i := range topics {
		b = append(b, '.')
		if topics[i].known {
			b = strconv.AppendInt(b, topics[i].reach.to, 10)
		}
	}
	return b
}

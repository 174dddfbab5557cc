package deliveryhttp

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/msgdelivery/delivery"
)

// maxRequest is the size of the largest request that can be right, with every byte of a full body
// written as an escape of six bytes; and the same holds for a full batch of the longest ids.
const maxRequest = 6*delivery.MaxBody + 8<<10

// fields are what a request may hold, each with a pointer to where its value goes. None has to be
// there: whoever needs to know looks for nil. A request with any other field is refused, and so is
// one that holds the same twice: whoever sent it means something that would not happen. In a query
// a list is a field that is there several times.
type fields map[string]any

// decodeBody reads a request's JSON object into the fields. A refusal names the field, and quotes
// nothing.
func (f fields) decodeBody(r *http.Request) error {
	if mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || mediaType != "application/json" {
		return notJSON
	}
	if r.ContentLength > maxRequest {
		return tooLarge
	}
	text, err := io.ReadAll(r.Body)
	if err != nil {
		if tooMuch := new(http.MaxBytesError); errors.As(err, &tooMuch) {
			return tooLarge
		}
		return &delivery.InvalidError{Field: "request", Reason: "could not be read whole"}
	}
	if err := f.decodeJSON(text); err != nil {
		return err
	}
	return f.decodeSocket(r.Header)
}

// decodeSocket reads the socket from where clients such as Laravel Echo send it by themselves, if
// the body has none.
func (f fields) decodeSocket(header http.Header) error {
	socket, ok := f["socket"].(*string)
	sockets := header.Values("X-Socket-ID")
	if !ok || *socket != "" || len(sockets) == 0 {
		return nil
	}
	if len(sockets) > 1 {
		return &delivery.InvalidError{Field: "X-Socket-ID", Reason: "is there twice"}
	}
	*socket = sockets[0]
	return nil
}

func (f fields) decodeJSON(text []byte) error {
	switch {
	case !utf8.Valid(text):
		return &delivery.InvalidError{Field: "request", Reason: "is not valid UTF-8"}
	case !json.Valid(text):
		return &delivery.InvalidError{Field: "request", Reason: "is not valid JSON"}
	case hasLoneSurrogate(text):
		return &delivery.InvalidError{Field: "request", Reason: "holds half of a surrogate pair"}
	}
	d := json.NewDecoder(bytes.NewReader(text))
	if start, _ := d.Token(); start != json.Delim('{') {
		return &delivery.InvalidError{Field: "request", Reason: "is not a JSON object"}
	}
	seen := make(map[string]bool, len(f))
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return err
		}
		name := token.(string)
		if err := f.check(name, seen); err != nil {
			return err
		}
		if err := d.Decode(f[name]); err != nil {
			return f.mistyped(name)
		}
	}
	return nil
}

// decodeQuery reads a request's query into the fields.
func (f fields) decodeQuery(r *http.Request) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return &delivery.InvalidError{Field: "query", Reason: "is not well-formed"}
	}
	seen := make(map[string]bool, len(f))
	for _, name := range slices.Sorted(maps.Keys(query)) {
		for _, value := range query[name] {
			if list, ok := f[name].(*[]string); ok {
				*list = append(*list, value)
				continue
			}
			if err := f.check(name, seen); err != nil {
				return err
			}
			switch to := f[name].(type) {
			case *string:
				*to = value
			case *int64:
				*to, err = strconv.ParseInt(value, 10, 64)
			case *int:
				*to, err = strconv.Atoi(value)
			case *bool:
				if *to = value == "true"; !*to && value != "false" {
					return f.mistyped(name)
				}
			case *delivery.Status:
				err = to.UnmarshalText([]byte(value))
			}
			if err != nil {
				return f.mistyped(name)
			}
		}
	}
	return nil
}

// check refuses a name that is not a field's, or that was seen before.
func (f fields) check(name string, seen map[string]bool) error {
	if _, ok := f[name]; !ok {
		known := strings.Join(slices.Sorted(maps.Keys(f)), ", ")
		return &delivery.InvalidError{Field: "request", Reason: "has a field other than " + known}
	}
	if seen[name] {
		return &delivery.InvalidError{Field: name, Reason: "is there twice"}
	}
	seen[name] = true
	return nil
}

func (f fields) mistyped(name string) error {
	reason := "is not a string"
	switch f[name].(type) {
	case *int, *int64:
		reason = "is not a whole number, or too large a one"
	case *[]string:
		reason = "is not a list of strings"
	case *bool:
		reason = "is not true or false"
	case *delivery.Status:
		reason = "is not sent, delivered or read"
	}
	return &delivery.InvalidError{Field: name, Reason: reason}
}

// hasLoneSurrogate reports whether valid JSON holds an escape that stands for no character.
// Package json reads all of them as the same one, and so would take two ids for one.
func hasLoneSurrogate(text []byte) bool {
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			continue
		}
		i++ // at what is escaped
		r, ok := escaped(text[i:])
		if !ok {
			continue
		}
		i += 4
		if !utf16.IsSurrogate(r) {
			continue
		}
		if i+2 >= len(text) || text[i+1] != '\\' {
			return true
		}
		low, ok := escaped(text[i+2:])
		if !ok || utf16.DecodeRune(r, low) == utf8.RuneError {
			return true
		}
		i += 6
	}
	return false
}

// escaped returns the code unit of an escape like uD83D, without its backslash.
func escaped(text []byte) (rune, bool) {
	if len(text) < 5 || text[0] != 'u' {
		return 0, false
	}
	unit, err := strconv.ParseUint(string(text[1:5]), 16, 16)
	return rune(unit), err == nil
}

package pusheradapter

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
)

// maxAuthBody is how long the body of an authorization request may be.
const maxAuthBody = 8 << 10

// authRequest is what a client asks the auth endpoint for.
type authRequest struct {
	user    string
	socket  string
	channel string
	signIn  bool // there is no channel
}

// readAuthRequest returns what the request's body asks for, or a *refusal. A field that is there
// twice is refused, since two parsers might pick different ones, and the query counts for nothing.
func readAuthRequest(r *http.Request) (request authRequest, err error) {
	fields, err := readFields(r)
	if _, end := io.Copy(io.Discard, r.Body); end != nil {
		err = end // identify may have met it before
	}
	var tooLong *http.MaxBytesError
	var refused *refusal
	switch {
	case errors.As(err, &tooLong):
		return request, tooLarge
	case errors.As(err, &refused):
		return request, err
	case err != nil:
		return request, invalid("the body is not well-formed")
	}
	sockets, channels := fields["socket_id"], fields["channel_name"]
	if len(sockets) == 0 {
		sockets = r.Header.Values("X-Socket-ID")
	}
	switch {
	case len(sockets) == 0:
		return request, invalid("there is no socket_id")
	case len(sockets) > 1:
		return request, invalid("there is more than one socket_id")
	case !validSocketID(sockets[0]):
		return request, invalid("socket_id has not the form of a socket id")
	case len(channels) > 1:
		return request, invalid("there is more than one channel_name")
	case len(channels) == 0:
		return authRequest{socket: sockets[0], signIn: true}, nil
	}
	return authRequest{socket: sockets[0], channel: channels[0]}, nil
}

// readFields returns the fields of the request's body.
func readFields(r *http.Request) (map[string][]string, error) {
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return nil, unsupportedBody
	}
	switch mediaType {
	case "application/x-www-form-urlencoded":
		err := r.ParseForm()
		return r.PostForm, err
	case "multipart/form-data":
		if err := r.ParseMultipartForm(maxAuthBody); err != nil { // #nosec G120 -- ServeHTTP has limited the body
			return nil, err
		}
		return r.MultipartForm.Value, nil
	case "application/json":
		text, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		return readJSONFields(text)
	}
	return nil, unsupportedBody
}

// readJSONFields returns the fields of a JSON object that are strings. [json.Unmarshal] would take
// the last of several with the same name.
func readJSONFields(text []byte) (map[string][]string, error) {
	malformed := errors.New("not a JSON object")
	d := json.NewDecoder(bytes.NewReader(text))
	if start, _ := d.Token(); start != json.Delim('{') || !json.Valid(text) {
		return nil, malformed
	}
	fields := map[string][]string{}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, malformed
		}
		var value any
		if err := d.Decode(&value); err != nil {
			return nil, malformed
		}
		switch text, isText := value.(string); {
		case isText:
			fields[name.(string)] = append(fields[name.(string)], text)
		case name == "socket_id" || name == "channel_name":
			return nil, invalid(name.(string) + " is not a string")
		}
	}
	return fields, nil
}

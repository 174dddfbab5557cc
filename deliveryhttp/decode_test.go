package deliveryhttp

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/msgdelivery/delivery"
)

// input has a field of every type there is.
type input struct {
	Text   string          `json:"text"`
	Maybe  *string         `json:"maybe"`
	Number int             `json:"number"`
	Long   int64           `json:"long"`
	List   []string        `json:"list"`
	Status delivery.Status `json:"status"`
}

func (in *input) fields() fields {
	return fields{"text": &in.Text, "maybe": &in.Maybe, "number": &in.Number, "long": &in.Long, "list": &in.List, "status": &in.Status}
}

// mustBlame checks that an error is one that names a field, and quotes nothing of what was sent.
func mustBlame(t *testing.T, err error, sent string) {
	t.Helper()
	var fault *delivery.InvalidError
	if !errors.As(err, &fault) || fault.Field == "" || fault.Reason == "" {
		t.Fatalf("got %v", err)
	}
	for _, word := range strings.FieldsFunc(sent, func(r rune) bool { return r < '0' || r > '9' }) {
		if len(word) > 3 && strings.Contains(err.Error(), word) {
			t.Errorf("%v quotes %q", err, word)
		}
	}
}

// FuzzDecodeJSON checks that what is read is what encoding/json reads in it, and nothing else
// passes.
func FuzzDecodeJSON(f *testing.F) {
	for _, seed := range []string{
		`{}`, ` {"text": "a"} `, `{"text": "a", "text": "b"}`, `{"Text": "a"}`, `{"text": null}`, `{"maybe": ""}`, `{"maybe": null}`,
		`{"number": 1e2}`, `{"number": -0}`, `{"number": 1.0}`, `{"long": 9223372036854775807}`, `{"long": 9223372036854775808}`,
		`{"list": ["a", null]}`, `{"list": {}}`, `{"status": "read"}`, `{"status": 3}`, `{"status": ""}`, `{} {}`, `[]`, `null`, `"`, ``,
		`{"text": "\ud83d\ude00"}`, `{"text": "\ud83d"}`, `{"text": "\\ud83d"}`, `{"text": "\ud83d\n"}`, `{"text": "\udfff\ud800"}`, "{\"text\": \"\xff\"}",
		`{"text": "\u0000"}`, `{"te\u0078t": "a", "text": "b"}`, `{"text": {"text": 1}}`, "\ufeff{}", `{"text": "\uD83D\uD83D\uDE00"}`,
		`{"list": [` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var got, want input
		if err := got.fields().decodeJSON(text); err != nil {
			mustBlame(t, err, string(text))
			return
		}
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatalf("took %q, where encoding/json says %v", text, err)
		}
		again, err := json.Marshal(struct{ Got, Want string }{dump(got), dump(want)})
		if err != nil || dump(got) != dump(want) {
			t.Fatalf("%q: read %s, %v", text, again, err)
		}
		for _, s := range append(got.List, got.Text) {
			if !utf8.ValidString(s) || strings.Contains(s, "\ufffd") && !strings.Contains(strings.ToLower(string(text)), `\ufffd`) && !strings.Contains(string(text), "\ufffd") {
				t.Errorf("%q: a character was replaced in %q", text, s)
			}
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal(text, &members); err != nil {
			t.Fatal(err)
		}
		for name := range members {
			if _, ok := got.fields()[name]; !ok {
				t.Errorf("took %q with a field %q", text, name)
			}
		}
	})
}

func dump(in input) string {
	maybe := "nil"
	if in.Maybe != nil {
		maybe = strconv.Quote(*in.Maybe)
	}
	var list []string
	for _, s := range in.List {
		list = append(list, strconv.Quote(s))
	}
	return strings.Join([]string{
		strconv.Quote(in.Text), maybe, strconv.Itoa(in.Number), strconv.FormatInt(in.Long, 10),
		strings.Join(list, ","), strconv.FormatBool(in.List == nil), in.Status.String(),
	}, " ")
}

// FuzzDecodeQuery checks that what is read is what stood there, once each, and nothing else passes.
func FuzzDecodeQuery(f *testing.F) {
	for _, seed := range []string{
		"", "text=a", "text=a&text=b", "text", "text=%2e%2e", "text=a+b", "text=%ff", "text=%", "a;b", "number=1", "number=+1", "number=%2B1",
		"number=1_000", "number=0x1", "number=", "long=-9223372036854775808", "long=9223372036854775808", "&&", "=", "Text=a", "text=a&number=2&long=3",
		"text&text&number=x&long=y&a=b",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		decode := func() (in input, err error) {
			r := &http.Request{URL: &url.URL{RawQuery: query}}
			return in, fields{"text": &in.Text, "number": &in.Number, "long": &in.Long}.decodeQuery(r)
		}
		in, err := decode()
		if err != nil {
			mustBlame(t, err, query)
			if _, again := decode(); again == nil || again.Error() != err.Error() {
				t.Errorf("%q: %v, and then %v", query, err, again)
			}
			return
		}
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatalf("took %q, where net/url says %v", query, err)
		}
		for name, list := range values {
			got, ok := map[string]string{"text": in.Text, "number": strconv.Itoa(in.Number), "long": strconv.FormatInt(in.Long, 10)}[name]
			if !ok || len(list) != 1 {
				t.Fatalf("took %q with %q %d times", query, name, len(list))
			}
			if want := list[0]; name == "text" && got != want || name != "text" && got != plain(want) {
				t.Errorf("%q: read %q as %q", query, want, got)
			}
		}
	})
}

// plain is a number as Go writes it: without a plus sign, leading zeros or a negative zero.
func plain(number string) string {
	negative := strings.HasPrefix(number, "-")
	number = strings.TrimLeft(strings.TrimLeft(number, "+-"), "0")
	switch {
	case number == "":
		return "0"
	case negative:
		return "-" + number
	}
	return number
}

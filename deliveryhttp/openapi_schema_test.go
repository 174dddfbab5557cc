package deliveryhttp_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliveryhttp"
)

// schema is the part of a schema that the file uses.
type schema struct {
	Ref         string `json:"$ref"`
	Type        string
	Format      string
	Description string
	Properties  map[string]*schema
	Required    []string
	Items       *schema
	Enum        []string
	AllOf       []*schema
	Closed      *bool `json:"additionalProperties"`
}

type content map[string]struct{ Schema *schema }

type response struct {
	Ref         string `json:"$ref"`
	Description string
	Content     content
}

type parameter struct {
	Ref      string `json:"$ref"`
	Name, In string
	Required bool
	Schema   *schema
}

type operation struct {
	OperationID string
	Summary     string
	Parameters  []parameter
	RequestBody struct {
		Required bool
		Content  content
	}
	Responses map[string]response
}

type description struct {
	OpenAPI    string
	Paths      map[string]map[string]*operation
	Components struct {
		Schemas    map[string]*schema
		Parameters map[string]parameter
		Responses  map[string]response
	}
}

// described returns openapi.json.
func described(t *testing.T) *description {
	t.Helper()
	var d description
	if err := json.Unmarshal([]byte(deliveryhttp.OpenAPI), &d); err != nil {
		t.Fatal(err)
	}
	return &d
}

// schema follows references.
func (d *description) schema(t *testing.T, s *schema) *schema {
	t.Helper()
	if s == nil || s.Ref == "" {
		return s
	}
	found := d.Components.Schemas[strings.TrimPrefix(s.Ref, "#/components/schemas/")]
	if found == nil {
		t.Fatalf("openapi.json refers to %s, which is not in it", s.Ref)
	}
	return found
}

// operations returns what can be done, as "POST /messages".
func (d *description) operations() map[string]*operation {
	all := make(map[string]*operation)
	for path, methods := range d.Paths {
		for method, o := range methods {
			all[strings.ToUpper(method)+" "+path] = o
		}
	}
	return all
}

// fits checks that a value is what the schema says, with no member that it does not name.
func (d *description) fits(t *testing.T, where string, s *schema, value any) {
	t.Helper()
	s = d.schema(t, s)
	if s == nil {
		t.Errorf("openapi.json has no schema for %s", where)
		return
	}
	is := ""
	switch v := value.(type) {
	case map[string]any:
		is = "object"
		for name, member := range v {
			if s.Properties[name] == nil {
				t.Errorf("openapi.json lacks %s in %s: add it", name, where)
				continue
			}
			d.fits(t, where+" "+name, s.Properties[name], member)
		}
		for _, name := range s.Required {
			if _, there := v[name]; !there {
				t.Errorf("%s lacks %s, which openapi.json requires", where, name)
			}
		}
	case []any:
		is = "array"
		for _, item := range v {
			d.fits(t, where+"[]", s.Items, item)
		}
	case string:
		if is = "string"; s.Enum != nil && !slices.Contains(s.Enum, v) {
			t.Errorf("%s is %q, which openapi.json does not list", where, v)
		}
	case bool:
		is = "boolean"
	case float64:
		is = "integer"
	}
	if is != s.Type {
		t.Errorf("%s is of the type %q, and openapi.json calls it %q", where, is, s.Type)
	}
}

// typeOf names what a schema allows.
func typeOf(s, from *schema) string {
	switch {
	case s.Format == "date-time":
		return "time"
	case strings.HasSuffix(from.Ref, "/Status"):
		return "status"
	}
	return s.Type
}

// typeIn names what package json makes of a type.
func typeIn(t reflect.Type, options string) string {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return "time"
	case t == reflect.TypeFor[delivery.Status]():
		return "status"
	case t.Kind() == reflect.Pointer:
		return typeIn(t.Elem(), options)
	case strings.Contains(options, "string"), t.Kind() == reflect.String:
		return "string"
	case t.Kind() == reflect.Bool:
		return "boolean"
	case t.Kind() == reflect.Slice:
		return "array"
	case t.ConvertibleTo(reflect.TypeFor[int64]()):
		return "integer"
	}
	return "object"
}

package main

import (
	"io"
	"strings"
	"testing"
)

func TestReport(t *testing.T) {
	const begin = `{"Action":"start","Package":"p"}
{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:7: said by A\n"}
`
	const passed = begin + `{"Action":"pass","Package":"p","Test":"TestA","Elapsed":0.1}
{"Action":"run","Package":"p","Test":"TestB"}
{"Action":"output","Package":"p","Test":"TestB","Output":"    b_test.go:7: said by B\n"}
`
	for _, c := range []struct {
		name, input string
		ok          bool
		want, hide  string // in the output, not in it
	}{
		{
			name:  "tests that pass are counted and their output is hidden",
			input: passed + `{"Action":"pass","Package":"p","Test":"TestB"}` + "\n" + `{"Action":"pass","Package":"p","Elapsed":1.5}` + "\n",
			ok:    true, want: "2 tests    1.5 s", hide: "said by",
		},
		{
			name:  "a test that fails shows its output, and not that of others",
			input: passed + `{"Action":"fail","Package":"p","Test":"TestB"}` + "\n" + `{"Action":"fail","Package":"p"}` + "\n",
			want:  "said by B", hide: "said by A",
		},
		{
			name:  "a test that is skipped is no success, though the package passed",
			input: passed + `{"Action":"skip","Package":"p","Test":"TestB"}` + "\n" + `{"Action":"pass","Package":"p"}` + "\n",
			want:  "said by B", hide: "ok",
		},
		{
			name:  "a package without tests is no failure",
			input: `{"Action":"start","Package":"p"}` + "\n" + `{"Action":"skip","Package":"p"}` + "\n",
			ok:    true, want: "0 tests",
		},
		{
			name:  "a test that never ended, because of a panic, shows its output",
			input: begin + `{"Action":"output","Package":"p","Output":"exit status 2\n"}` + "\n" + `{"Action":"fail","Package":"p"}` + "\n",
			want:  "said by A", hide: "RUN",
		},
		{name: "a package that never ended is no success", input: begin},
		{
			name: "a build that fails shows the compiler's words",
			input: `{"ImportPath":"p","Action":"build-output","Output":"p.go:1: undefined: x\n"}
{"ImportPath":"p","Action":"build-fail"}
{"Action":"start","Package":"p"}
{"Action":"fail","Package":"p","FailedBuild":"p"}
`,
			want: "undefined: x",
		},
		{name: "what is not JSON passes through", input: "go: no such tool\n", ok: true, want: "no such tool"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out strings.Builder
			_, ok, err := report(strings.NewReader(c.input), &out)
			if err != nil {
				t.Fatal(err)
			}
			if ok != c.ok {
				t.Errorf("ok = %v, want %v", ok, c.ok)
			}
			if !strings.Contains(out.String(), c.want) || c.hide != "" && strings.Contains(out.String(), c.hide) {
				t.Errorf("want %q and no %q in:\n%s", c.want, c.hide, &out)
			}
		})
	}
	end := `{"Action":"pass","Package":"p","Test":"TestB"}` + "\n" + `{"Action":"pass","Package":"p","Elapsed":1.5}` + "\n"
	if n, _, _ := report(strings.NewReader(passed+end+passed+end), io.Discard); n != 4 {
		t.Errorf("%d tests have ended, want 4", n)
	}
}

// Command report reads the output of go test -json from its standard input and prints it for
// people: a line for each package, and what the tests that did not pass have said. It fails if a
// test failed, if one was skipped, for a test that did not run proves nothing, and if no tests or
// fewer than -least ran.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

func main() {
	least := flag.Int("least", 1, "fail if fewer tests have ended")
	flag.Parse()
	tests, ok, err := report(os.Stdin, os.Stdout)
	if tests < *least {
		err = errors.Join(err, fmt.Errorf("%d tests have ended, want at least %d", tests, *least))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
	}
	if !ok || err != nil {
		os.Exit(1)
	}
}

// event is one line of the input; go doc test2json explains it.
type event struct {
	Action, Package, Test, Output string
	Elapsed                       float64 // seconds
}

// suite is the tests of one package, while they run.
type suite struct {
	names  []string          // of tests that have not passed, in the order in which they began; "" is the package itself
	output map[string]string // of each
	tests  int               // that have ended, with subtests
	bad    bool              // one failed or was skipped
}

// report prints the tests of in to out, and tells how many ended and whether all of them passed.
func report(in io.Reader, out io.Writer) (tests int, ok bool, err error) {
	ok = true
	suites := map[string]*suite{}
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF {
			return tests, ok && len(suites) == 0, nil // a package that never ended is a bad one
		} else if err != nil {
			return tests, false, err
		}

		var e event
		switch {
		case json.Unmarshal(line, &e) != nil: // the go command itself complains
			out.Write(line)
			continue
		case e.Package == "": // a build goes wrong
			io.WriteString(out, e.Output)
			continue
		case suites[e.Package] == nil:
			suites[e.Package] = &suite{output: map[string]string{}}
		}

		s := suites[e.Package]
		s.add(e)
		if e.Test == "" && (e.Action == "pass" || e.Action == "fail" || e.Action == "skip") {
			s.print(out, e)
			ok = ok && !s.bad
			tests += s.tests
			delete(suites, e.Package)
		}
	}
}

func (s *suite) add(e event) {
	switch e.Action {
	case "output":
		if strings.HasPrefix(e.Output, "=== ") {
			return // RUN, PAUSE, CONT, NAME
		}
		if _, known := s.output[e.Test]; !known {
			s.names = append(s.names, e.Test)
		}
		s.output[e.Test] += e.Output
	case "pass":
		delete(s.output, e.Test)
	case "fail":
		s.bad = true
	case "skip":
		s.bad = s.bad || e.Test != "" // a skipped package is one without tests
	}
	if e.Test != "" && slices.Contains([]string{"pass", "fail", "skip"}, e.Action) {
		s.tests++
	}
}

// print prints the result of the package, end is its last event.
func (s *suite) print(out io.Writer, end event) {
	verdict := "ok"
	if s.bad {
		verdict = "FAIL"
		for _, name := range s.names {
			io.WriteString(out, s.output[name])
		}
	}
	fmt.Fprintf(out, "%-4s %-70s %5d tests %6.1f s\n", verdict, end.Package, s.tests, end.Elapsed)
}

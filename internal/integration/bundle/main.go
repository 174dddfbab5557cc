// Bundle makes the modules that package deliveryjs serves out of their sources: each complete in
// itself, and without comments and long names.
//
//	go generate ./deliveryjs
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/evanw/esbuild/pkg/api"
)

// modules are the modules that pages import. All others are parts of theirs.
var modules = []string{"delivery.js", "pusher.js", "echo.js", "eventsource.js", "shared.js", "protocol.js"}

func main() {
	for _, name := range modules {
		text, err := bundle(filepath.Join("client", name)) // go generate runs in the package's folder
		if err == nil {
			err = os.WriteFile(filepath.Join("served", name), text, 0o644) // #nosec G306 -- it is public
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "bundle:", err)
			os.Exit(1)
		}
	}
}

// bundle returns a module with all that it imports.
func bundle(file string) ([]byte, error) {
	result := api.Build(api.BuildOptions{
		EntryPoints: []string{file}, Bundle: true, Format: api.FormatESModule, Target: api.ES2022,
		MinifyWhitespace: true, MinifyIdentifiers: true, MinifySyntax: true,
		Banner: map[string]string{"js": "// From github.com/msgdelivery/delivery/deliveryjs/client, MIT licence."},
	})
	var faults []error
	for _, message := range append(result.Errors, result.Warnings...) {
		faults = append(faults, errors.New(message.Text))
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return result.OutputFiles[0].Contents, nil
}

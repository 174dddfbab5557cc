package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

func TestServedModulesAreMadeOfTheSources(t *testing.T) {
	folder := filepath.Join("..", "..", "..", "deliveryjs")
	for _, name := range modules {
		want, err := bundle(filepath.Join(folder, "client", name))
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(folder, "served", name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what the sources make: run go generate ./deliveryjs", name)
		}
	}
}

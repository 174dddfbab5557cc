//go:build race

package engines

var others, Variants []Engine // see the package's documentation

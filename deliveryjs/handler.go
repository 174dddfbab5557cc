package deliveryjs

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"sync"
)

//go:generate go run ../internal/integration/bundle

//go:embed served/*.js
var served embed.FS

// Version returns the version of the modules, which is part of their URLs: 12 hex digits that
// change whenever a module changes.
func Version() string { return load().version }

// Handler returns the handler that serves the modules to GET and HEAD requests. It is safe for
// concurrent use.
//
//	/delivery.js          redirects to /VERSION/delivery.js, with status 302
//	/VERSION/delivery.js  is the module, which browsers keep for a year
//
// So a page names modules without a version, and gets a new version of them at once. The path of
// another version redirects as well. A page that a template makes can save the redirection by
// naming [Version]. Mount the handler under a prefix that is stripped from the path.
func Handler() http.Handler { return load() }

// modules are the modules, made once.
type modules struct {
	version string
	files   map[string]module
}

type module struct {
	plain, zipped []byte
	etag          string
}

var load = sync.OnceValue(func() *modules {
	m := &modules{files: make(map[string]module)}
	all := sha256.New()
	entries, err := fs.ReadDir(served, "served")
	if err != nil {
		panic(err) // it is embedded
	}
	for _, entry := range entries { // in order of their names
		text, err := served.ReadFile(path.Join("served", entry.Name()))
		if err != nil {
			panic(err)
		}
		sum := sha256.Sum256(text)
		_, _ = all.Write(sum[:])
		m.files[entry.Name()] = module{text, compress(text), `"` + hex.EncodeToString(sum[:8]) + `"`}
	}
	m.version = hex.EncodeToString(all.Sum(nil)[:6])
	return m
})

func compress(text []byte) []byte {
	var zipped bytes.Buffer
	w, err := gzip.NewWriterLevel(&zipped, gzip.BestCompression)
	if err == nil {
		_, _ = w.Write(text) // a Buffer takes everything
		err = w.Close()
	}
	if err != nil {
		panic(err)
	}
	return zipped.Bytes()
}

// ServeHTTP implements [http.Handler].
func (m *modules) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
		return
	}
	version, name, versioned := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if !versioned {
		version, name = "", version
	}
	file, ok := m.files[name]
	switch {
	case !ok:
		http.NotFound(w, r)
	case version == m.version:
		file.serve(w, r)
	case versioned:
		m.redirect(w, "../"+m.version+"/"+name)
	default:
		m.redirect(w, m.version+"/"+name)
	}
}

// redirect sends the browser to a path that is relative to its own: the handler does not know the
// prefix that it is mounted under.
func (m *modules) redirect(w http.ResponseWriter, to string) {
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusFound)
}

func (f module) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/javascript; charset=utf-8")
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Vary", "Accept-Encoding")
	h.Set("ETag", f.etag)
	body := f.plain
	if takesGzip(r.Header.Values("Accept-Encoding")) {
		h.Set("Content-Encoding", "gzip")
		h.Set("ETag", strings.TrimSuffix(f.etag, `"`)+`-gzip"`)
		body = f.zipped
	}
	for tag := range strings.SplitSeq(r.Header.Get("If-None-Match"), ",") {
		if strings.TrimPrefix(strings.TrimSpace(tag), "W/") == h.Get("ETag") {
			h.Del("Content-Encoding")
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	_, _ = w.Write(body) // of a HEAD request the server drops it
}

// takesGzip reports whether a client accepts gzip. A client that gives gzip the weight 0 does not.
func takesGzip(accepted []string) bool {
	for _, header := range accepted {
		for each := range strings.SplitSeq(header, ",") {
			coding, params, _ := strings.Cut(each, ";")
			weight := strings.TrimRight(strings.ReplaceAll(params, " ", ""), "0")
			if strings.EqualFold(strings.TrimSpace(coding), "gzip") && weight != "q=" && weight != "q=0." {
				return true
			}
		}
	}
	return false
}

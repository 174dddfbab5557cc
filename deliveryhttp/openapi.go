package deliveryhttp

import (
	_ "embed"
	"net/http"
)

// OpenAPI is the description of the routes in OpenAPI 3.1, as JSON. [Options.OpenAPI] serves it.
//
//go:embed openapi.json
var OpenAPI string

const openAPIPath = "/openapi.json"

// describe answers requests of [OpenAPI], of whoever makes them.
func (h *Handler) describe(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		h.refuse(w, r, methodNotAllowed)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(OpenAPI)) // a client that left
}

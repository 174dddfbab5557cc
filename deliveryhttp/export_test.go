package deliveryhttp

// Routes returns the handler's routes, as "POST /messages", with the status of their answers.
func (h *Handler) Routes() map[string]int {
	routes := make(map[string]int)
	for path, methods := range h.routes {
		for method, e := range methods {
			routes[method+" "+path] = e.status
		}
	}
	return routes
}

// Answers are the types of answers that have no name outside of the package.
var Answers = map[string]any{"BatchResult": result{}, "Problem": problem{}}

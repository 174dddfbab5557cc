package main

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"

	"github.com/msgdelivery/delivery"
)

// hide says what others may not see of a user's marks. If the setting cannot be read, the library
// marks nothing, so that a fault shows nothing that a user hides.
func (s *server) hide(r *http.Request, user string) (delivery.Hide, error) {
	hides, err := s.hidesReads(r.Context(), user)
	if hides {
		return delivery.HideRead, err
	}
	return delivery.HideNothing, err
}

func (s *server) hidesReads(ctx context.Context, user string) (bool, error) {
	hiding, err := s.settings.HidingReads(ctx)
	return slices.Contains(hiding, user), err
}

// saveSettings answers POST /settings: {"hide_reads": true} has others see no more of the user than
// what was delivered. It applies to what the user reads from now on, and for good to the messages
// that are sent as long as it is set.
func (s *server) saveSettings(w http.ResponseWriter, r *http.Request) {
	user, ok := s.api.User(w, r)
	if !ok {
		return
	}
	var settings struct {
		HideReads *bool `json:"hide_reads"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<10)).Decode(&settings); err != nil || settings.HideReads == nil {
		http.Error(w, `want {"hide_reads": true} or {"hide_reads": false}`, http.StatusBadRequest)
		return
	}
	if err := s.settings.HideReads(r.Context(), user, *settings.HideReads); err != nil {
		s.fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(settings)
}

package main

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/examples/internal/demo"
	"github.com/msgdelivery/delivery/inspector"
)

// room is a conversation of the app.
type room struct {
	id      string
	title   string // "" for a direct conversation, which has the other's name
	members []string
}

// rooms are in the order in which the page lists them. It opens the first one that the user is in.
var rooms = []room{
	{id: "direct:alice:bob", members: []string{"alice", "bob"}},
	{id: "everyone", title: "Everyone", members: []string{"alice", "bob", "carol"}},
}

// find returns a room with the user in it.
func find(id, user string) (room, bool) {
	i := slices.IndexFunc(rooms, func(r room) bool { return r.id == id && slices.Contains(r.members, user) })
	if i < 0 {
		return room{}, false
	}
	return rooms[i], true
}

// authorize is the app's rule: members of a room may do everything in it, and nobody else may do
// anything. The library asks it before it shows a conversation or changes something in it.
func authorize(_ context.Context, user string, _ delivery.Action, conversation string) (bool, error) {
	_, ok := find(conversation, user)
	return ok, nil
}

// audience returns the members of a message's room. They are the recipients of a message that is
// sent now, and stay its recipients if somebody joins the room later. Nobody waits until those who
// hide what they read have read it.
func (s *server) audience(ctx context.Context, draft delivery.Draft) (delivery.Audience, error) {
	r, ok := find(draft.Conversation, draft.Sender)
	if !ok {
		return delivery.Audience{}, delivery.ErrForbidden
	}
	hiding, err := s.settings.HidingReads(ctx)
	return delivery.Audience{Recipients: r.members, HideRead: hiding}, err
}

// operators lets carol inspect what the library does, and replay dead letters.
func operators(accounts *demo.Accounts) func(*http.Request) (inspector.Access, error) {
	return func(r *http.Request) (inspector.Access, error) {
		if user, err := accounts.Identify(r); user != "carol" || err != nil {
			return inspector.NoAccess, err
		}
		return inspector.MayAct, nil
	}
}

// pageRoom is the form in which the page gets a room.
type pageRoom struct {
	ID      string   `json:"id"`
	Title   string   `json:"title"`
	Members []string `json:"members"`
}

// roomsOf returns the rooms that a user is in.
func roomsOf(user string) (list []pageRoom) {
	for _, r := range rooms {
		if !slices.Contains(r.members, user) {
			continue
		}
		title := r.title
		if title == "" {
			others := slices.DeleteFunc(slices.Clone(r.members), func(name string) bool { return name == user })
			title = strings.Join(others, ", ")
		}
		list = append(list, pageRoom{r.id, title, r.members})
	}
	return list
}

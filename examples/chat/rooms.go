package main

import (
	"context"
	"slices"
	"strings"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/pusheradapter"
)

// room is a conversation of the app.
type room struct {
	id      string
	title   string // "" for a direct conversation, which has the other's name
	members []string
}

// rooms stand in the order of the page, which opens a user's first.
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

// authorize is the app's rule, which the library asks before it shows a conversation to anyone or
// lets anyone do something in it: the members may do everything.
func authorize(_ context.Context, user string, _ delivery.Action, conversation string) (bool, error) {
	_, ok := find(conversation, user)
	return ok, nil
}

// recipients freezes the members of a room as the recipients of what is sent into it. Who joined
// later would not appear among those a message still has to reach.
func recipients(_ context.Context, sender, conversation string) ([]string, error) {
	r, ok := find(conversation, sender)
	if !ok {
		return nil, delivery.ErrForbidden
	}
	return r.members, nil
}

// pageRoom is a room as the page gets to know it.
type pageRoom struct {
	ID      string   `json:"id"`
	Title   string   `json:"title"`
	Members []string `json:"members"`
	Channel string   `json:"channel"` // where its events are published
}

// roomsOf returns the rooms that a user is in.
func roomsOf(user string) ([]pageRoom, error) {
	var list []pageRoom
	for _, r := range rooms {
		if !slices.Contains(r.members, user) {
			continue
		}
		channel, err := pusheradapter.PrivateChannel(r.id)
		if err != nil {
			return nil, err
		}
		title := r.title
		if title == "" {
			others := slices.DeleteFunc(slices.Clone(r.members), func(name string) bool { return name == user })
			title = strings.Join(others, ", ")
		}
		list = append(list, pageRoom{r.id, title, r.members, channel})
	}
	return list, nil
}

package semantics

import "github.com/msgdelivery/delivery"

// actor is the kind of user that a row is about.
type actor struct {
	name   string
	user   string
	cap    func(a *delivery.Audience, user string) // what the audience of the messages says of the user
	open   bool                                    // the messages are for everyone whom the app's rule lets in, and not for recipients
	before func(w *world, is delivery.Actor, o operation) error
}

var cast = []actor{
	{name: "sender", user: "alice"},
	{name: "recipient", user: "bob"},
	{name: "recipient who read in private before", user: "bob", before: func(w *world, is delivery.Actor, _ operation) error {
		is.Hide = delivery.HideAll
		_, err := w.tracker.Mark(w.ctx, is, delivery.Read, w.of("m1"), w.of("m2"))
		return err
	}},
	{name: "recipient who hides reads", user: "bob", cap: func(a *delivery.Audience, user string) { a.HideRead = []string{user} }},
	{name: "untracked recipient", user: "bob", cap: func(a *delivery.Audience, user string) { a.Untracked = []string{user} }},
	{name: "recipient's second device", user: "bob", before: func(w *world, is delivery.Actor, o operation) error {
		if o.before != nil {
			if err := o.before(w, is); err != nil {
				return err
			}
		}
		is.Socket = "2.2"
		_, err := o.call(w, is)
		return err
	}},
	{name: "recipient who has left", user: "carol", before: func(w *world, _ delivery.Actor, _ operation) error {
		w.members["carol"] = false
		return nil
	}},
	{name: "member who joined later", user: "dave"},
	{name: "stranger", user: "eve"},
	{name: "erased recipient", user: "erin", before: func(w *world, is delivery.Actor, _ operation) error { return w.tracker.Erase(w.ctx, is.User) }},
	{name: "member, open message", user: "bob", open: true},
	{name: "stranger, open message", user: "eve", open: true},
}

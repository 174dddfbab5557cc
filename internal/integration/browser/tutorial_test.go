package browser

import (
	"encoding/json"
	"slices"
	"testing"
)

// openTutorial opens the tutorial's page in a browser of the user's own, signed in and listening.
func openTutorial(t *testing.T, tutorial *program, name string) *tab {
	t.Helper()
	p := newUser(t, name).newTab(tutorial.url)
	p.visit(tutorial.url)
	p.submit(name, "password")
	p.listens("a_channel")
	return p
}

// line is an expression for the line that shows a message on the tutorial's page.
const line = `[...document.querySelectorAll('#messages li')].find((li) => li.querySelector('span').textContent === %s)`

func (p *tab) waitLine(text, name, status string) {
	p.t.Helper()
	p.wait(line+`?.querySelector('b').textContent === %s`, text, name)
	p.wait(line+`?.querySelector('i').textContent === %s`, text, status)
}

// about returns the names of the events that a page got of a message.
func (p *tab) about(text string) (names []string) {
	p.got(func(f frame) bool {
		var object struct{ Message string }
		if f.Channel == "a_channel" && json.Unmarshal([]byte(f.Data), &object) == nil && object.Message == text {
			names = append(names, f.Event)
		}
		return false
	})
	return names
}

func TestTutorial(t *testing.T) {
	eachClient(t, func(t *testing.T, flags ...string) {
		tutorial := runExample(t, "tutorial", flags...)
		alice := openTutorial(t, tutorial, "alice")
		alice.enter("input[name=message]", "is anybody there?")
		alice.waitLine("is anybody there?", "alice", "Sent")
		alice.shoot("sent")

		bob := openTutorial(t, tutorial, "bob") // whose page acknowledges what it finds
		bob.waitLine("is anybody there?", "alice", "Delivered")
		alice.waitLine("is anybody there?", "alice", "Delivered")
		alice.enter("input[name=message]", "<img src=x onerror=alert(1)>") // and what it is told
		alice.waitLine("<img src=x onerror=alert(1)>", "alice", "Delivered")
		bob.waitLine("<img src=x onerror=alert(1)>", "alice", "Delivered")
		bob.enter("input[name=message]", "yes") // whose event comes after those of bob's marks
		bob.waitLine("yes", "bob", "Delivered")
		alice.waitLine("yes", "bob", "Delivered")
		alice.shoot("answered")
		bob.enter("input[name=message]", "good") // whose event comes after that of alice's mark
		alice.waitLine("good", "bob", "Delivered")

		for _, c := range []struct {
			page *tab
			text string
			want []string
		}{
			{alice, "is anybody there?", []string{"an_event", "delivered_message"}},
			{bob, "is anybody there?", nil}, // he came later, and marked it
			{alice, "<img src=x onerror=alert(1)>", []string{"an_event", "delivered_message"}},
			{bob, "<img src=x onerror=alert(1)>", []string{"an_event"}},
			{alice, "yes", []string{"an_event"}},
			{bob, "yes", []string{"an_event", "delivered_message"}},
		} {
			if got := c.page.about(c.text); !slices.Equal(got, c.want) {
				t.Errorf("%s's page was told of %q by %q, want %q", c.page.name, c.text, got, c.want)
			}
		}
	})
}

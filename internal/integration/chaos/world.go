package chaos

import (
	"fmt"
	"strconv"
	"strings"
)

// World is what is there before the harm begins: conversations of equal size, and their users. Ids
// are made so that they tell all there is to know about a message.
type World struct {
	Conversations int
	Messages      int // in each conversation
	Users         int
	Poison        int // more conversations, of one message each, whose events a sink may refuse
}

const poison = "poison"

func conversationID(c int) string   { return fmt.Sprintf("c%d", c) }
func poisonID(c int) string         { return fmt.Sprintf("%s%d", poison, c) }
func messageID(c, m int) string     { return fmt.Sprintf("c%d-%d", c, m) }
func userID(u int) string           { return fmt.Sprintf("u%d", u) }
func (w World) sender(m int) string { return userID(m % w.Users) }

// conversationOf is the conversation of a message, by its id.
func conversationOf(message string) string {
	conversation, _, _ := strings.Cut(message, "-")
	return conversation
}

// isNew reports whether a message was sent during the run, by its id.
func isNew(message string) bool { return strings.Contains(message, "-new-") }

// senderOf is the sender of a message, by its id.
func (w World) senderOf(message string) string {
	if _, sender, ok := strings.Cut(message, "@"); ok {
		return sender
	}
	_, rest, _ := strings.Cut(message, "-")
	m, _ := strconv.Atoi(rest)
	return w.sender(m)
}

// frozen reports whether a message has frozen recipients, who are then all users.
func (w World) frozen(m int) bool { return m%2 == 0 }

func (w World) users() []string {
	users := make([]string, w.Users)
	for u := range users {
		users[u] = userID(u)
	}
	return users
}

// socketOf is the socket of a user on a node: every other user has one.
func socketOf(node, u int) string {
	if u%2 == 0 {
		return ""
	}
	return fmt.Sprintf("%d.%d", node+1, u)
}

package pushertest

import (
	"fmt"
	"regexp"
	"strings"
)

// The limits of hosted Pusher Channels, which the server enforces.
const (
	MaxEventData   = 10_240 // bytes of one event's data; more is answered with 413
	MaxBatch       = 10     // events in one batch_events call
	MaxChannels    = 100    // channels in one events call
	MaxChannelName = 164    // bytes of a channel name, its prefix included
	MaxEventName   = 200    // bytes of an event name
	MaxUserID      = 128    // bytes of a presence member's id
	MaxMembers     = 100    // users on one presence channel
	MaxMember      = 1_024  // bytes of a presence member's channel_data
)

// Limits of this server, so that no client takes much of its memory. A connection takes about 25
// KB, and a subscription about 1 KB.
const (
	MaxConnections   = 1_000 // at a time; more are closed with 4100, after which clients come again
	MaxSubscriptions = 200   // of one connection; more are answered with a subscription_error
)

const userChannelPrefix = "#server-to-user-"

var (
	channelPattern  = regexp.MustCompile(`\A[A-Za-z0-9_\-=@,.;]+\z`)
	socketIDPattern = regexp.MustCompile(`\A\d+\.\d+\z`)
)

// checkChannelName accepts the channels an event may be published on, among them those of signed-in
// users, whose ids may be any 1 to 199 bytes.
func checkChannelName(name string) error {
	rest, ofUser := strings.CutPrefix(name, userChannelPrefix)
	switch {
	case len(name) > MaxChannelName && !ofUser:
		return fmt.Errorf("channel name too long (%d > %d)", len(name), MaxChannelName)
	case ofUser && rest != "" && len(rest) < 200, channelPattern.MatchString(name):
		return nil
	}
	return fmt.Errorf("invalid channel name")
}

func isPresence(channel string) bool { return strings.HasPrefix(channel, "presence-") }

func needsAuth(channel string) bool {
	return strings.HasPrefix(channel, "private-") || isPresence(channel)
}

// takesClientEvents leaves out encrypted channels: no client can encrypt for the others.
func takesClientEvents(channel string) bool {
	return needsAuth(channel) && !strings.HasPrefix(channel, "private-encrypted-")
}

func isCache(channel string) bool {
	for _, prefix := range []string{"private-encrypted-", "private-", "presence-"} {
		if rest, ok := strings.CutPrefix(channel, prefix); ok {
			return strings.HasPrefix(rest, "cache-")
		}
	}
	return strings.HasPrefix(channel, "cache-")
}

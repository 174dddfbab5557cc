// Package pusheradapter tells browsers of message delivery through Pusher Channels, hosted or
// self-hosted. Its [Notifier] is a [delivery.Notifier]:
package pusheradapter

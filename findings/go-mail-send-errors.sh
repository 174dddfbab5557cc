#!/usr/bin/env bash
# go-mail answers an error for a message that was delivered, and calls a refusal for good temporary.
# Version: github.com/wneessen/go-mail v0.8.1, with an SMTP server of 30 lines on loopback.
# Expected: an error of DialAndSend means that the message was not accepted; SendError.IsTemp tells whether the same send may
# succeed later; WithDSN, which asks for delivery receipts, fails where the server offers none.
# Seen: after the server's 250 the client sends RSET; a server that closes then (its limit of one message is reached) makes
# the send an error, and a queue that goes by the error sends the message again. IsTemp is that of the last recipient:
# "550 no such user" before "450 busy" is temporary for ever, and the other way round bob is given up with carol.
# Without DSN at the server WithDSN does nothing and says nothing, so no receipt comes.
# Output seen: stored, then closed: error true, IsDelivered true, stored 1
#              carol 550, bob 450: IsTemp true, stored 0
#              bob 450, carol 550: IsTemp false, stored 0
#              WithDSN, not offered: error false, NOTIFY sent false
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export GOWORK=off GOFLAGS=-mod=mod

cat >main.go <<'GO'
package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/wneessen/go-mail"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// server answers recipients as told, and counts messages.
type server struct {
	replies map[string]string
	closes  bool
	stored  int
	notify  bool
}

func (s *server) serve(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewScanner(conn)
	say := func(text string) { fmt.Fprint(conn, text+"\r\n") }
	say("220 mail.example.org")
	for in.Scan() {
		line := in.Text()
		switch command, _, _ := strings.Cut(strings.ToUpper(line), " "); command {
		case "EHLO":
			say("250 8BITMIME")
		case "RCPT":
			s.notify = s.notify || strings.Contains(line, "NOTIFY")
			_, rest, _ := strings.Cut(line, "<")
			address, _, _ := strings.Cut(rest, ">")
			if reply := s.replies[address]; reply != "" {
				say(reply)
				continue
			}
			say("250 2.1.5 ok")
		case "DATA":
			say("354 go on")
			for in.Scan() && in.Text() != "." {
			}
			s.stored++
			say("250 2.0.0 stored")
			if s.closes {
				return
			}
		case "QUIT":
			say("221 2.0.0 bye")
			return
		default:
			say("250 2.0.0 ok")
		}
	}
}

// send sends one message to a server.
func send(s *server, to ...string) (*mail.Msg, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	defer listener.Close()
	go func() {
		conn, err := listener.Accept()
		check(err)
		s.serve(conn)
	}()
	m := mail.NewMsg()
	check(m.From("alice@example.com"))
	check(m.To(to...))
	m.SetBodyString(mail.TypeTextPlain, "hello")
	port := listener.Addr().(*net.TCPAddr).Port
	client, err := mail.NewClient("127.0.0.1", mail.WithPort(port), mail.WithTLSPolicy(mail.NoTLS), mail.WithDSN())
	check(err)
	return m, client.DialAndSend(m)
}

func main() {
	const bob, carol = "bob@example.org", "carol@example.org"
	s := &server{closes: true}
	m, err := send(s, bob)
	fmt.Printf("stored, then closed: error %v, IsDelivered %v, stored %d\n", err != nil, m.IsDelivered(), s.stored)

	temp := func(err error) bool {
		var send *mail.SendError
		return errors.As(err, &send) && send.IsTemp()
	}
	replies := map[string]string{bob: "450 4.2.1 busy", carol: "550 5.1.1 no such user"}
	s = &server{replies: replies}
	_, err = send(s, carol, bob)
	fmt.Printf("carol 550, bob 450: IsTemp %v, stored %d\n", temp(err), s.stored)
	_, err = send(s, bob, carol)
	fmt.Printf("bob 450, carol 550: IsTemp %v, stored %d\n", temp(err), s.stored)

	s = &server{}
	_, err = send(s, bob)
	fmt.Printf("WithDSN, not offered: error %v, NOTIFY sent %v\n", err != nil, s.notify)
}
GO
go mod init probe 2>/dev/null
timeout 300 go get github.com/wneessen/go-mail@v0.8.1 2>/dev/null
timeout 300 go build -o probe .
timeout 60 ./probe | tee out
diff out - <<'E'
stored, then closed: error true, IsDelivered true, stored 1
carol 550, bob 450: IsTemp true, stored 0
bob 450, carol 550: IsTemp false, stored 0
WithDSN, not offered: error false, NOTIFY sent false
E

package main

import (
	"net"
	"net/textproto"
	"strings"
)

// listen starts a mail server that hands over the lines of each mail that it gets. It ends when the
// listener is closed.
func listen(take func(mail []string)) (net.Listener, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serve(textproto.NewConn(conn), take)
		}
	}()
	return listener, nil
}

// serve answers one client, in the words of RFC 5321.
func serve(conn *textproto.Conn, take func(mail []string)) {
	defer conn.Close()
	conn.PrintfLine("220 sink")
	for {
		line, err := conn.ReadLine()
		if err != nil {
			return
		}
		verb, _, _ := strings.Cut(strings.ToUpper(line), " ")
		switch verb {
		case "DATA":
			conn.PrintfLine("354 go on")
			mail, err := conn.ReadDotLines()
			if err != nil {
				return
			}
			take(mail)
			conn.PrintfLine("250 taken")
		case "QUIT":
			conn.PrintfLine("221 bye")
			return
		default: // EHLO, MAIL, RCPT
			conn.PrintfLine("250 fine")
		}
	}
}

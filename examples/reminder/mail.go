package main

import (
	"context"
	"fmt"
	"mime"
	"net"
	"net/smtp"
	"strings"
	"time"

	"github.com/msgdelivery/delivery"
)

// mailServer is where mails go.
type mailServer struct {
	addr     string
	patience time.Duration // for one mail, from the call to the last answer
}

// addresses are the users'. A real app asks its own table.
var addresses = map[string]string{"bob": "bob@app.example", "carol": "carol@app.example", "dan": "dan@app.example"}

// remind sends one mail. A repeated one has the same Message-ID, by which many mail programs show
// it once. Ids may hold anything, line ends too, so they get into the headers encoded.
func (s mailServer) remind(ctx context.Context, d delivery.Due) error {
	to, ok := addresses[d.Recipient]
	if !ok {
		return fmt.Errorf("%q has no address", d.Recipient)
	}
	subject := fmt.Sprintf("%s wrote to you in %s", d.Message.Sender, d.Message.Conversation)
	return s.send(ctx, to, strings.Join([]string{
		"From: app@app.example", "To: " + to,
		fmt.Sprintf("Message-ID: <%x.%x@app.example>", d.Message.ID, d.Recipient),
		"Subject: " + mime.QEncoding.Encode("utf-8", subject),
		"", "You have not read it yet.", "",
	}, "\r\n"))
}

// send is [smtp.SendMail] with an end: a server that says nothing would hold up all mails. To a
// server elsewhere, a real app calls StartTLS and Auth before Mail.
func (s mailServer) send(ctx context.Context, to, text string) error {
	deadline := time.Now().Add(s.patience)
	dialer := net.Dialer{Deadline: deadline}
	conn, err := dialer.DialContext(ctx, "tcp", s.addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	client, err := smtp.NewClient(conn, s.addr)
	if err != nil {
		return err
	}
	if err := client.Mail("app@app.example"); err != nil {
		return err
	}
	if err := client.Rcpt(to); err != nil {
		return err
	}
	body, err := client.Data()
	if err != nil {
		return err
	}
	if _, err := body.Write([]byte(text)); err != nil {
		return err
	}
	if err := body.Close(); err != nil {
		return err
	}
	client.Quit() // the mail is accepted, whatever the server says now
	return nil
}

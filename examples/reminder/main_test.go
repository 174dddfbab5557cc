package main

import (
	"net"
	"net/mail"
	"strings"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
)

func Example() {
	main()
	// Output:
	// alice sends to bob, carol and dan; carol reads, and dan reads privately
	//   From: app@app.example
	//   To: bob@app.example
	//   Message-ID: <6d31.626f62@app.example>
	//   Subject: alice wrote to you in lunch
	//
	//   You have not read it yet.
}

func TestIDsAddNoHeaders(t *testing.T) {
	const forged = "x\r\nBcc: eve@app.example\r\n\r\nPay here"
	mails := make(chan string, 1)
	sink, err := listen(func(mail []string) { mails <- strings.Join(mail, "\r\n") })
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	server := mailServer{sink.Addr().String(), 10 * time.Second}
	due := delivery.Due{Recipient: "bob", Message: delivery.Header{ID: forged, Sender: forged, Conversation: forged}}
	if err := server.remind(t.Context(), due); err != nil {
		t.Fatal(err)
	}
	got, err := mail.ReadMessage(strings.NewReader(<-mails))
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Header) != 4 || got.Header.Get("Bcc") != "" {
		t.Errorf("the headers are %v", got.Header)
	}
	due.Recipient = forged
	if err := server.remind(t.Context(), due); err == nil || len(mails) > 0 {
		t.Errorf("a mail went to %q", forged)
	}
}

func TestASilentServerEndsAMail(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // whose connections nobody accepts
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	server := mailServer{silent.Addr().String(), 50 * time.Millisecond}
	if err := server.remind(t.Context(), delivery.Due{Recipient: "bob"}); err == nil {
		t.Error("a mail that nobody took was sent")
	}
}

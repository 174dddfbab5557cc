package main

func Example() {
	main()
	// Output:
	// alice sends to bob, carol and dan; carol reads, and dan reads privately
	//   From: app@app.example
	//   To: bob@app.example
	//   Message-ID: <m1.bob@app.example>
	//   Subject: alice wrote to you in lunch
	//
	//   You have not read it yet.
}

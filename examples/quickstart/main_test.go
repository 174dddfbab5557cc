package main

func Example() {
	main()
	// Output:
	// alice sends
	//   event: version 1, sent, delivered to 0 and read by 0 of 2
	// bob reads
	//   event: version 2, sent, delivered to 1 and read by 1 of 2
	// carol reads
	//   event: version 3, read, delivered to 2 and read by 2 of 2
	// alice reads
	//   refused: delivery: a sender may not mark its own message
	// bob: read
	// carol: read
}

package sim_test

import (
	"fmt"

	"postern/sim"
)

func ExampleExchange_Deliver() {
	x, err := sim.New(sim.Options{})
	if err != nil {
		panic(err)
	}
	defer x.Close()
	x.AddMailbox(sim.Person{"Ann", "ann@company.example"})
	items, err := x.Deliver([]byte("From: Clara <clara@customer.example>\r\nTo: ann@company.example\r\nSubject: Hello\r\n\r\nText\r\n"))
	fmt.Println(len(items), items[0].Folder().Name(), err)
	// Output: 1 Inbox <nil>
}

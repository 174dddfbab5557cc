package deliverytest

import (
	"fmt"

	"github.com/msgdelivery/delivery"
)

var verifyCases = []storeCase{
	{"sound counters have no drift, whatever was done", func(p *probe) {
		p.five()
		p.create(open("c", "m6", "alice"), frozen("c", "m7", "alice", "bob", "carol"), frozen("c", "m8", "bob", "alice"))
		p.mark(read("m2", "bob", noon), delivered("m3", "bob", noon), admitted(read("m6", "bob", noon)), admitted(delivered("m6", "dan", noon)), read("m7", "carol", noon))
		p.markUpTo(upTo("m4", delivery.Delivered))
		p.delete("m1", "m6")
		version := p.version("c")
		v := p.verify("c", 0, 100)
		p.same("Verify", v, delivery.Verification{Messages: 8, Last: v.Last})
		p.same("Verify of no conversation", p.verify("d", 0, 100), delivery.Verification{})
		p.same("the version", p.version("c"), version)
	}},
	{"messages are verified in pages", func(p *probe) {
		p.five()
		var seen []string
		for after, more := int64(0), true; more; {
			v := p.verify("c", after, 2)
			if v.Messages > 0 {
				seen = append(seen, fmt.Sprint(v.Messages, " up to ", v.Last))
			}
			after, more = v.Last, v.More
		}
		p.same("the pages", seen, []string{"2 up to 2", "2 up to 4", "1 up to 5"})
	}},
}

func (p *probe) verify(conversation string, after int64, limit int) delivery.Verification {
	p.Helper()
	v, err := p.keeper().Verify(p.ctx, conversation, after, limit)
	p.must("Verify", err)
	return v
}

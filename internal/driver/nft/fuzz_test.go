package nft

import (
	"testing"

	"kube-router/internal/row"
)

// FuzzAnswers reads arbitrary bytes as everything that the kernel may send.
func FuzzAnswers(f *testing.F) {
	b := newBatch(false, 1, nil)
	for _, r := range sample() {
		e := &edit{key: r.Key(), new: r}
		e.check()
		switch r := r.(type) {
		case row.NftSet:
			b.newSet(e)
		case row.NftChain:
			b.newChain(e)
		case row.NftRule:
			b.rule(r.Chain, 0, 7, e.data, e)
		case row.NftElement:
			b.newElement(e)
		}
		f.Add(b.buf[b.start:])
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		_ = split(raw, func(a answer) error {
			_ = a.failure()
			data := a.data[min(4, len(a.data)):]
			set, _ := readSet(data)
			_ = set.String()
			chain, _ := readChain(data)
			_ = chain.Name
			_, rule := readRule(false, data)
			_ = rule.body.String()
			for _, of := range []row.NftSet{heads, slotsMap, peers, ports, spans} {
				s := shapeOf(of)
				e := s.readElement(data)
				s.ranges([]bound{e, e}, func(row.NftElement) {})
			}
			var c Counter
			c.read(data)
			return nil
		})
	})
}

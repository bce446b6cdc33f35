package advert

import (
	"testing"

	"kube-router/internal/model"
)

// FuzzExchange takes communities, cluster ids and the like as no conversion would let them through.
func FuzzExchange(f *testing.F) {
	f.Add("64512:17", "17", "0.0.0.17")
	f.Add("no-export", "", "x")
	f.Add("1:2:3", "4294967296", "::1")
	f.Fuzz(func(t *testing.T, community, server, client string) {
		m := world(nil, with(func(o *model.NodeOptions) { o.Communities, o.RRServer = []string{community}, server }))
		m.Put(node("b", "10.0.0.2", "", with(func(o *model.NodeOptions) { o.RRClient = client })))
		b, _ := Speaker(m)
		if len(b.Exchange.Communities)+len(b.Exchange.Large) > 1 {
			t.Errorf("%q became %v", community, b.Exchange)
		}
		Session(m, "b")
	})
}

//go:build services

package services

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"kube-router/internal/lab"
	"kube-router/internal/lab/podserver"
)

const sizesGroup = "sizes"

// TestSizes sends datagrams that are larger than the MTU through Services, and much by TCP to an endpoint behind a link
// with a smaller one.
func TestSizes(t *testing.T) {
	w, n := shared, 90
	s := w.create(t, newService("sizes", n, "web"))
	clients := map[string]*lab.Host{"a pod on an endpoint's node": w.Pod("client-1"), "a pod elsewhere": w.Pod("client-3"),
		"an endpoint's node": w.Node("n1").Host, "a node without": w.Node("n3").Host, "outside": w.Outside()}
	for name, h := range clients {
		w.both(t, sizesGroup, "datagrams above the MTU from "+name, func(f int) error {
			q := front(clusterIPs(n)[f], 80, "udp")
			q.Size, q.Timeout = 4000, patience
			return w.eventually(20*time.Second, func() error {
				for range 8 { // to each endpoint, and a first one that learns the way doesn't count
					if r := h.Probe(q); !r.OK() {
						return fmt.Errorf("%v", r)
					}
				}
				return nil
			})
		})
	}
	w.delete(t, s)
	w.behindSmallLink(t, clients)
}

// behindSmallLink asks an endpoint outside to which the router between has a way of 1300 bytes, with requests of 200 kB.
func (w *the) behindSmallLink(t *testing.T, clients map[string]*lab.Host) {
	n := 91
	var server *podserver.Server
	if err := w.Outside().Do(func() (err error) {
		server, err = podserver.Listen(podserver.Config{Pod: "default/behind", TCP: []uint16{8099}})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	s := newService("behind", n, "")
	s.Spec.Ports = s.Spec.Ports[:1]
	s.Spec.Ports[0].TargetPort.IntVal = 8099
	w.create(t, s)
	for _, v4 := range []bool{true, false} {
		slice := w.slice(s, v4, []*lab.Host{w.Outside()}, nil)
		slice.Endpoints[0].NodeName = nil
		w.createSlice(t, slice)
		a := slice.Endpoints[0].Addresses[0]
		narrow := narrowRoute(t, w, netip.MustParseAddr(a))
		defer narrow()
	}
	for name, h := range clients {
		if h == w.Outside() {
			continue // it is the endpoint
		}
		w.both(t, sizesGroup, "200 kB by a smaller path MTU from "+name, func(f int) error {
			q := front(clusterIPs(n)[f], 80, "tcp")
			q.Timeout = patience
			if err := w.only(h, q, "behind"); err != nil {
				return err
			}
			q.Path = "/?" + strings.Repeat("x", 200_000)
			direct := q
			direct.To = netip.AddrPortFrom(w.Outside().Addrs()[f], 8099)
			plain, through := h.Probe(direct), h.Probe(q)
			if !plain.OK() || !through.OK() {
				return fmt.Errorf("directly %v, by the Service %v", plain, through)
			}
			if limit := 3*time.Second + 3*plain.Took; through.Took > limit { // a guess at the size costs 7 s, a busy machine costs both
				return fmt.Errorf("took %s, directly %s", through.Took, plain.Took)
			}
			return nil
		})
	}
	w.delete(t, s)
}

// narrowRoute has the router send what is for an address by a way of 1300 bytes, until the function is called.
func narrowRoute(t *testing.T, w *the, a netip.Addr) func() {
	t.Helper()
	v, _ := family(a)
	to := netip.PrefixFrom(a, a.BitLen()).String()
	if err := w.fabric("ip", v, "route", "add", to, "dev", "br-outside", "mtu", "lock", "1300"); err != nil {
		t.Fatal(err)
	}
	return func() { _ = w.fabric("ip", v, "route", "del", to) }
}

package nft

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"

	"kube-router/internal/driver/conntrack"
	"kube-router/internal/intent"
	flows "kube-router/internal/render/conntrack"
	"kube-router/internal/row"
)

// askFrom sends one datagram from a certain port and ends the flow's memory, so that the next one of the
// same port chooses anew.
func (c *cast) askFrom(h *host, f intent.Front, port int) string {
	c.Helper()
	var a answer
	var err error
	h.within(h.ns, func() {
		d := net.Dialer{LocalAddr: &net.UDPAddr{Port: port}}
		var conn net.Conn
		if conn, err = d.Dial("udp", netip.AddrPortFrom(f.Addr, f.Port).String()); err != nil {
			return
		}
		defer conn.Close()
		a, err = talk(conn)
	})
	c.must(err)
	c.forget(f)
	return a.by
}

// forget ends all flows to a front.
func (c *cast) forget(f intent.Front) {
	c.Helper()
	k, err := conntrack.Open(c.world.node)
	c.must(err)
	defer k.Close()
	var list []conntrack.Flow
	c.must(k.Flows(conntrack.Filter{Protocol: f.Protocol, V6: f.Addr.Is6(), Dst: netip.AddrPortFrom(f.Addr, f.Port)},
		func(w conntrack.Flow) { list = append(list, w) }))
	if len(list) == 0 {
		c.Fatalf("no flow to %s", f)
	}
	c.must(k.Delete(list...))
}

// TestPacketsOfOldFlows: a client that keeps sending from one socket moves when its endpoint goes, and only
// then.
func TestPacketsOfOldFlows(t *testing.T) {
	c := newCast(t)
	kernel, err := conntrack.Open(c.world.node)
	c.must(err)
	defer kernel.Close()
	table := conntrack.NewTable(kernel)
	for family, name := range []string{"IPv4", "IPv6"} {
		t.Run(name, func(t *testing.T) {
			c.TB = t
			s := intent.Service{Front: vip(family, 17), Backends: at(family, c.pods...)}
			c.want(&s)
			c.turn(table, nil, flows.Service(&s))
			var conns []net.Conn
			c.outside.within(c.outside.ns, func() {
				for range 20 {
					conn, err := c.outside.dial(s.Front)
					c.must(err)
					conns = append(conns, conn)
				}
			})
			before := c.talkAll(conns)
			less := s
			less.Backends = at(family, c.pods[:2]...)
			c.want(&less)
			c.turn(table, flows.Service(&s), flows.Service(&less))
			for i, now := range c.talkAll(conns) {
				stays := before[i] == "a" || before[i] == "b"
				if stays && now != before[i] || !stays && now != "a" && now != "b" {
					t.Errorf("flow %d was with %s and is with %s", i, before[i], now)
				}
			}
		})
	}
}

func (c *cast) talkAll(conns []net.Conn) []string {
	c.Helper()
	var who []string
	for _, conn := range conns {
		a, err := talk(conn)
		c.must(err)
		who = append(who, a.by)
	}
	return who
}

// turn applies a change as a lane does, and again while the table says later.
func (c *cast) turn(table *conntrack.Table, old, new []row.Flows) {
	c.Helper()
	change := row.Change[row.FlowsKey, row.Flows]{Key: new[0].Key(), New: &new[0]}
	if old != nil {
		change.Old = &old[0]
	}
	for range 3 {
		err := table.Apply(context.Background(), []row.Change[row.FlowsKey, row.Flows]{change})
		if err == nil {
			return
		}
		if !errors.As(err, &row.Later{}) {
			c.Fatal(err)
		}
	}
}

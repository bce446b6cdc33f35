package nft

import (
	"net/netip"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"kube-router/internal/intent"
)

func writeSysctl(key, value string) error {
	return os.WriteFile(filepath.Join("/proc/sys", key), []byte(value), 0o644)
}

const web = 8080

// cast is a node with four pods and a client outside.
type cast struct {
	*world
	pods    []*host
	outside *host
	node    *host
}

func newCast(t *testing.T) *cast {
	w := newWorld(t)
	c := &cast{world: w}
	for i, name := range []string{"a", "b", "c", "d"} {
		n := string(rune('1' + i))
		p := w.host(name, "10.244.1."+n, "fd00:244:1::"+n)
		p.serve(web)
		c.pods = append(c.pods, p)
	}
	c.outside = w.host("outside", "198.51.100.2", "2001:db8:1::2")
	w.uplink(c.outside)
	c.node = w.self("192.0.2.1", "2001:db8::1")
	return c
}

// vip is a front of family 0 (IPv4) or 1 (IPv6).
func vip(family int, protocol uint8) intent.Front {
	return intent.Front{Addr: []netip.Addr{netip.MustParseAddr("10.96.0.10"), netip.MustParseAddr("fd00:96::a")}[family], Port: 80, Protocol: protocol}
}

// nodePort is a node port.
func (c *cast) nodePort(family int, protocol uint8) intent.Front {
	return intent.Front{Addr: c.node.addr[family], Port: 30080, Protocol: protocol}
}

// at are pods as backends of one family, on this node.
func at(family int, pods ...*host) []intent.Backend {
	var list []intent.Backend
	for _, p := range pods {
		list = append(list, intent.Backend{Addr: p.addr[family], Port: web, Local: true})
	}
	return intent.SortBackends(list)
}

// kinds runs f for both families, TCP and UDP.
func kinds(t *testing.T, f func(t *testing.T, family int, protocol uint8)) {
	for family, name := range []string{"IPv4", "IPv6"} {
		for _, protocol := range []uint8{6, 17} {
			t.Run(name+"/"+intent.ProtocolName(protocol), func(t *testing.T) { f(t, family, protocol) })
		}
	}
}

func TestPacketsSpread(t *testing.T) {
	c := newCast(t)
	kinds(t, func(t *testing.T, family int, protocol uint8) {
		c.TB = t
		s := &intent.Service{Front: vip(family, protocol), Backends: at(family, c.pods...)}
		c.want(s)
		const n = 800
		for _, client := range []*host{c.pods[0], c.outside} {
			for name, got := range client.tally(s.Front, n) {
				if got < n/4-60 || got > n/4+60 { // five standard deviations
					t.Errorf("%s got %d of %d from %s; a fair share is %d", name, got, n, client.name, n/4)
				}
			}
		}
		if protocol == 17 {
			return // a port that is used twice goes on with its old flow, which spoils exact counts
		}
		again := *s
		again.Scheduler = "rr"
		c.want(&again)
		for name, got := range c.pods[0].tally(s.Front, 80) {
			if got != 20 {
				t.Errorf("rr: %s got %d of 80; want 20", name, got)
			}
		}
	})
}

func TestPacketsSourceSeen(t *testing.T) {
	c := newCast(t)
	kinds(t, func(t *testing.T, family int, protocol uint8) {
		c.TB = t
		cluster := &intent.Service{Front: vip(family, protocol), Backends: at(family, c.pods[1])}
		port := &intent.Service{Front: c.nodePort(family, protocol), Kind: intent.NodeFront, Backends: at(family, c.pods[1])}
		c.want(cluster, port)
		gateway := []string{"169.254.1.1", "fd00:ffff::1"}[family] // the node's address on the link to the pod
		for _, x := range []struct {
			client *host
			front  intent.Front
			saw    string
		}{
			{c.pods[0], cluster.Front, c.pods[0].addr[family].String()},
			{c.pods[0], port.Front, c.pods[0].addr[family].String()},
			{c.pods[1], cluster.Front, gateway}, // to itself
			{c.pods[1], port.Front, gateway},
			{c.outside, cluster.Front, gateway},
			{c.outside, port.Front, gateway},
			{c.node, port.Front, gateway},
		} {
			got, err := x.client.ask(x.front)
			if want := (answer{"b", x.saw}); got != want || err != nil {
				t.Errorf("%s to %s: %v, %v; want %v", x.client.name, x.front, got, err, want)
			}
		}
	})
}

func TestPacketsRefusedAtOnce(t *testing.T) {
	c := newCast(t)
	kinds(t, func(t *testing.T, family int, protocol uint8) {
		c.TB = t
		none := &intent.Service{Front: vip(family, protocol)}
		port := &intent.Service{Front: c.nodePort(family, protocol), Kind: intent.NodeFront}
		c.want(none, port)
		unserved := none.Front
		unserved.Port = 81
		for _, f := range []intent.Front{none.Front, port.Front, unserved} {
			for _, client := range []*host{c.pods[0], c.outside, c.node} {
				if err := client.refused(f); err != nil {
					t.Errorf("%s to %s: %v; want refusal", client.name, f, err)
				}
			}
		}
	})
}

// TestPacketsToTheHost: an endpoint on the host's network is the node itself, whoever asks.
func TestPacketsToTheHost(t *testing.T) {
	c := newCast(t)
	c.node.serve(web)
	kinds(t, func(t *testing.T, family int, protocol uint8) {
		c.TB = t
		cluster := &intent.Service{Front: vip(family, protocol), Backends: at(family, c.node)}
		port := &intent.Service{Front: c.nodePort(family, protocol), Kind: intent.NodeFront, Backends: at(family, c.node)}
		c.want(cluster, port)
		for _, f := range []intent.Front{cluster.Front, port.Front} {
			for _, client := range []*host{c.pods[0], c.outside} {
				got, err := client.ask(f)
				if want := (answer{"node", client.addr[family].String()}); got != want || err != nil {
					t.Errorf("%s to %s: %v, %v; want %v", client.name, f, got, err, want)
				}
			}
			if got, err := c.node.ask(f); got.by != "node" || err != nil {
				t.Errorf("the node to %s: %v, %v", f, got, err)
			}
		}
	})
}

// TestPacketsMasqueradeAll: with --masquerade-all no endpoint sees its client.
func TestPacketsMasqueradeAll(t *testing.T) {
	c := newCast(t)
	kinds(t, func(t *testing.T, family int, protocol uint8) {
		c.TB = t
		s := &intent.Service{Front: vip(family, protocol), Backends: at(family, c.pods[1]), Masquerade: true}
		c.want(s)
		gateway := []string{"169.254.1.1", "fd00:ffff::1"}[family]
		for _, client := range []*host{c.pods[0], c.outside, c.node} {
			if got, err := client.ask(s.Front); got != (answer{"b", gateway}) || err != nil {
				t.Errorf("%s: %v, %v; want %s seen", client.name, got, err, gateway)
			}
		}
	})
}

// TestPacketsAffinity: a client stays with its endpoint until that goes or time is over, and never goes to
// one that has gone.
func TestPacketsAffinity(t *testing.T) {
	c := newCast(t)
	kinds(t, func(t *testing.T, family int, protocol uint8) {
		c.TB = t
		s := intent.Service{Front: vip(family, protocol), Backends: at(family, c.pods...), Affinity: 2 * time.Second}
		c.want(&s)
		client := c.outside
		first, err := client.ask(s.Front)
		c.must(err)
		if got := client.tally(s.Front, 40); got[first.by] != 40 {
			t.Fatalf("asked 40 times: %v; want %s alone", got, first.by)
		}
		less := s
		less.Backends = nil
		for i, p := range c.pods {
			if p.name != first.by {
				less.Backends = append(less.Backends, at(family, c.pods[i])...)
			}
		}
		c.want(&less)
		c.forget(s.Front) // as the agent does for UDP, else a port that is used again goes on with its old flow
		second, err := client.ask(s.Front)
		c.must(err)
		if got := client.tally(s.Front, 40); got[second.by] != 40 || second.by == first.by {
			t.Fatalf("after %s went: %v; want %s alone", first.by, got, second.by)
		}
		time.Sleep(time.Second)
		if got, err := client.ask(s.Front); got.by != second.by || err != nil {
			t.Errorf("within the time since the last: %v, %v; want %s", got, err, second.by)
		}
		moved := false
		for range 8 {
			time.Sleep(2100 * time.Millisecond)
			got, err := client.ask(s.Front)
			c.must(err)
			if moved = got.by != second.by; moved {
				break
			}
		}
		if !moved {
			t.Errorf("%s has the client for ever", second.by)
		}
	})
}

// TestPacketsLocalPolicy: outside clients reach endpoints of this node alone and are seen as they are; pods
// and the node itself reach all.
func TestPacketsLocalPolicy(t *testing.T) {
	c := newCast(t)
	kinds(t, func(t *testing.T, family int, protocol uint8) {
		c.TB = t
		remote := at(family, c.pods[2])
		remote[0].Local = false
		s := intent.Service{Front: c.nodePort(family, protocol), Kind: intent.NodeFront, Far: true, KeepSource: true,
			Backends: intent.SortBackends(append(at(family, c.pods[1]), remote...)), Near: at(family, c.pods[1])}
		c.want(&s)
		for range 20 {
			got, err := c.outside.ask(s.Front)
			if want := (answer{"b", c.outside.addr[family].String()}); got != want || err != nil {
				t.Fatalf("from outside: %v, %v; want %v", got, err, want)
			}
		}
		for _, client := range []*host{c.pods[0], c.node} {
			if got := client.tally(s.Front, 80); got["b"] < 10 || got["c"] < 10 || got["b"]+got["c"] != 80 {
				t.Errorf("%s: %v; want both", client.name, got)
			}
		}
		s.Near, s.Backends = nil, remote
		again := s
		c.want(&again)
		if err := c.outside.timesOut(s.Front); err != nil {
			t.Errorf("from outside with nobody here: %v; want silence", err)
		}
		if got, err := c.pods[0].ask(s.Front); got.by != "c" || err != nil {
			t.Errorf("from a pod with nobody here: %v, %v; want c", got, err)
		}
	})
}

func TestPacketsSourceRanges(t *testing.T) {
	c := newCast(t)
	kinds(t, func(t *testing.T, family int, protocol uint8) {
		c.TB = t
		s := intent.Service{Front: vip(family, protocol), Kind: intent.BalancerFront, Backends: at(family, c.pods[1]), Sources: []netip.Prefix{
			netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("2001:db8:1::/48"), netip.MustParsePrefix("192.0.2.0/24")}}
		open := s
		open.Port, open.Sources = 90, nil
		c.want(&s, &open)
		if _, err := c.outside.ask(s.Front); err != nil {
			t.Errorf("from inside the range: %v", err)
		}
		if err := c.pods[0].timesOut(s.Front); err != nil {
			t.Errorf("from outside the range: %v; want silence", err)
		}
		if _, err := c.pods[0].ask(open.Front); err != nil {
			t.Errorf("another port, open to all: %v", err)
		}
	})
}

// TestPacketsDuringChange: endpoints come and go while clients connect without pause. No connection is
// refused and no first packet is lost.
func TestPacketsDuringChange(t *testing.T) {
	c := newCast(t)
	s := intent.Service{Front: vip(0, 6), Backends: at(0, c.pods...)}
	c.want(&s)
	var stop atomic.Bool
	done := make(chan map[string]int)
	go func() {
		total := map[string]int{}
		for !stop.Load() {
			for name, n := range c.outside.count(s.Front, 80, c.outside.once) {
				total[name] += n
			}
		}
		done <- total
	}()
	for i := range 3000 {
		next := s
		next.Backends = at(0, c.pods[:1+i%4]...)
		if i%7 == 0 {
			next.Scheduler = "sh"
		}
		if i%5 == 0 {
			next.Affinity = time.Hour
		}
		c.want(&next)
	}
	stop.Store(true)
	if total := <-done; total["a"] < 100 || total["d"] == 0 || total[""] > 0 {
		t.Errorf("answers: %v; want many, from all four, and none missing", total)
	}
}

// TestPacketsMaglev: of many flows, few but those of the endpoint that goes move.
func TestPacketsMaglev(t *testing.T) {
	c := newCast(t)
	s := intent.Service{Front: vip(0, 17), Backends: at(0, c.pods...), Scheduler: "mh", Flags: []string{"mh-port"}}
	c.want(&s)
	const flows = 300
	ask := func() (who [flows]string) {
		for i := range flows {
			who[i] = c.askFrom(c.outside, s.Front, 20000+i)
		}
		return who
	}
	before := ask()
	if again := ask(); again != before {
		t.Errorf("the same flows went elsewhere without a change")
	}
	less := s
	less.Backends = at(0, c.pods[:3]...)
	c.want(&less)
	moved, orphans := 0, 0
	for i, who := range ask() {
		if before[i] == "d" {
			orphans++
		} else if who != before[i] {
			moved++
		}
	}
	if orphans < flows/8 || moved > flows/20 {
		t.Errorf("%d of %d flows had to move, %d others did", orphans, flows, moved)
	}
}

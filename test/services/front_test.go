//go:build services

package services

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"kube-router/internal/lab"
	"kube-router/internal/lab/probe"
)

const frontGroup = "fronts, sources, flows"

// TestTwoOnOneFront gives two Services the same external address and port: the older has it, of one second the first by name, the other is told so, and stands
// when the first is gone.
func TestTwoOnOneFront(t *testing.T) {
	w, n := shared, 60
	first, second := balanced(newService("twin-a", n, "web"), n), balanced(newService("twin-b", n+1, "ten"), n+1)
	second.Spec.ExternalIPs = first.Spec.ExternalIPs
	w.create(t, first)
	q := func(f int) probe.Request { return front(externalIPs(n)[f], 80, "tcp") }
	w.both(t, frontGroup, "two Services on one front: before", func(f int) error { return w.only(w.Outside(), q(f), names(w.web())...) })
	w.create(t, second)
	w.serves(t, w.Pod("client-1"), front(clusterIPs(n + 1)[0], 80, "tcp"), 10)
	w.both(t, frontGroup, "two Services on one front: the first has it", func(f int) error { return w.only(w.Outside(), q(f), names(w.web())...) })
	err := w.eventually(5*time.Second, func() error {
		out, err := w.Node("n1").Run(w.ctx, w.program(), "show", "remarks")
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		if !strings.Contains(out, "twin-b") || !strings.Contains(out, "external address of Service default/twin-a") {
			return fmt.Errorf("no remark in %.600s", out)
		}
		return nil
	})
	w.score.Judge(t, frontGroup, "two Services on one front: the other is told", err, "")
	w.delete(t, first)
	w.both(t, frontGroup, "two Services on one front: the other stands", func(f int) error { return w.only(w.Outside(), q(f), names(w.ten())...) })
	w.delete(t, second)
	w.both(t, frontGroup, "two Services on one front: nobody is left", func(f int) error {
		return w.eventually(5*time.Second, func() error { return w.silent(w.Outside(), externalIPs(n)[f]) })
	})
}

// TestChange changes a Service under its clients: type, port, target and addresses come and go at once.
func TestChange(t *testing.T) {
	w, n := shared, 62
	s := w.create(t, newService("change", n, "web"))
	w.both(t, frontGroup, "a new Service", func(f int) error {
		return w.only(w.Pod("client-1"), front(clusterIPs(n)[f], 80, "udp"), names(w.web())...)
	})
	w.merge(t, s, "", map[string]any{"spec": map[string]any{"selector": map[string]any{"app": "ten"}}})
	w.both(t, frontGroup, "another selector", func(f int) error {
		return w.only(w.Pod("client-1"), front(clusterIPs(n)[f], 80, "tcp"), names(w.ten())...)
	})
	ports := []corev1.ServicePort{{Name: "t", Protocol: corev1.ProtocolTCP, Port: 81, NodePort: int32(nodePort(n)), TargetPort: intstr.FromInt32(9090)}}
	w.merge(t, s, "", map[string]any{"spec": map[string]any{"type": "NodePort", "ports": ports, "externalIPs": texts(externalIPs(n))}})
	w.both(t, frontGroup, "another type, port and target: node port", func(f int) error {
		return w.only(w.Host(far), front(w.Node("n3").Addrs()[f], nodePort(n), "tcp"), names(w.ten())...)
	})
	w.both(t, frontGroup, "another type, port and target: external IP", func(f int) error {
		return w.only(w.Outside(), front(externalIPs(n)[f], 81, "tcp"), names(w.ten())...)
	})
	w.both(t, frontGroup, "another type, port and target: the old port is refused", func(f int) error {
		return w.nobody(w.Pod("client-1"), front(clusterIPs(n)[f], 80, "tcp"), true)
	})
	w.delete(t, s)
	w.both(t, frontGroup, "a Service that is gone answers nowhere", func(f int) error {
		return w.eventually(5*time.Second, func() error {
			for _, a := range []netip.Addr{clusterIPs(n)[f], externalIPs(n)[f]} {
				q := front(a, 81, "tcp")
				q.Timeout = 100 * time.Millisecond
				if r := w.Pod("client-1").Probe(q); r.OK() {
					return fmt.Errorf("%v", r)
				}
			}
			return nil
		})
	})
}

// TestFlows has many UDP clients talk on, each from one port, while an endpoint goes: its clients are moved at once, and no other is.
func TestFlows(t *testing.T) {
	w, n, people := shared, 64, 60
	s := balanced(newService("flows", n, ""), n)
	w.create(t, s)
	slices4 := w.createSlice(t, w.slice(s, true, w.ten(), nil))
	slices6 := w.createSlice(t, w.slice(s, false, w.ten(), nil))
	client := w.Pod("client-1")
	for f, sl := range []struct {
		v4   bool
		name string
	}{{true, slices4.Name}, {false, slices6.Name}} {
		vip, from := clusterIPs(n)[f], client.Addrs()[f]
		w.serves(t, client, front(vip, 80, "udp"), 10)
		ask := func() (map[int]string, error) { return talk(client, front(vip, 80, "udp"), from, people) }
		before, err := ask()
		again, err2 := ask()
		if all, _ := moved(before, again, ""); err == nil && (err2 != nil || all > 0) {
			err = fmt.Errorf("%d flows moved without a change (%v)", all, err2)
		}
		family := []string{"IPv4", "IPv6"}[f]
		w.score.Judge(t, frontGroup, "UDP flows stay, "+family, err, "%d flows, %s", people, share(count(before)))
		gone := before[0]
		left := slices.DeleteFunc(w.ten(), func(h *lab.Host) bool { return h.Name == gone })
		now := w.slice(s, sl.v4, left, nil)
		begun := time.Now()
		if err = w.Client.Update(w.ctx, now); err != nil {
			t.Fatal(err)
		}
		var after map[int]string
		var took time.Duration
		err = w.eventually(2*time.Second, func() (err error) {
			took = time.Since(begun)
			if after, err = ask(); err == nil && count(after)[gone] > 0 {
				err = fmt.Errorf("%d flows still go to the removed endpoint", count(after)[gone])
			}
			return err
		})
		if _, needless := moved(before, after, gone); err == nil && needless > 0 {
			err = fmt.Errorf("%d flows of other endpoints moved", needless)
		}
		w.score.Judge(t, frontGroup, "UDP flows to a removed endpoint move, no others, "+family, err, "%d moved, after %s", count(before)[gone], took.Round(time.Millisecond))
	}
	w.delete(t, s)
}

// talk sends one datagram of each of many flows, told apart by their source port.
func talk(from *lab.Host, q probe.Request, source netip.Addr, flows int) (map[int]string, error) {
	got := map[int]string{}
	err := from.Do(func() error {
		for i := range flows {
			one := q
			one.From = netip.AddrPortFrom(source, uint16(40_000+i))
			r := probe.Once(one)
			if got[i] = r.Pod; !r.OK() {
				return fmt.Errorf("flow %d: %v", i, r)
			}
		}
		return nil
	})
	return got, err
}

// TestUDPBeforeTheService has a UDP client talk before there is anything, from one port: once the Service is there its very flow is served.
func TestUDPBeforeTheService(t *testing.T) {
	w, n := shared, 65
	client := w.Pod("client-3")
	ask := func(f int) probe.Result {
		q := front(clusterIPs(n)[f], 80, "udp")
		q.From, q.Timeout = netip.AddrPortFrom(client.Addrs()[f], 41_000), 100*time.Millisecond
		return client.Probe(q)
	}
	for f := range 2 {
		if r := ask(f); r.OK() {
			t.Errorf("before the Service: %v", r)
		}
	}
	s := w.create(t, newService("late", n, "web"))
	w.both(t, frontGroup, "a UDP flow that began before its Service is served", func(f int) error {
		return w.eventually(3*time.Second, func() error {
			if r := ask(f); !r.OK() {
				return fmt.Errorf("%v", r)
			}
			return nil
		})
	})
	w.delete(t, s)
}

// TestUDPPolicyChanges has a UDP flow from outside follow externalTrafficPolicy: to an endpoint of the node, with the
// client's own address.
func TestUDPPolicyChanges(t *testing.T) {
	w, n := shared, 92
	s := balanced(newService("flip", n, ""), n)
	w.create(t, s, balancerIPs(n)...)
	put := func(pod, suffix string) {
		for _, v4 := range []bool{true, false} {
			slice := w.slice(s, v4, []*lab.Host{w.Pod(pod)}, nil)
			slice.Name += suffix
			w.createSlice(t, slice)
		}
	}
	put("web-3", "")
	ask := func(from *lab.Host, f int) probe.Result {
		q := front(w.Node("n1").Addrs()[f], nodePort(n), "udp")
		q.From, q.Timeout = netip.AddrPortFrom(from.Addrs()[f], 41_100), 3*w.limit()
		return from.Probe(q)
	}
	by := func(from *lab.Host, f int, pod string, client netip.Addr) error {
		r := ask(from, f)
		if !r.OK() || r.Pod != "default/"+pod || client.IsValid() && r.Client.Addr() != client {
			return fmt.Errorf("from %s: %v, want %s to see %s", from.Name, r, pod, client)
		}
		return nil
	}
	w.both(t, frontGroup, "UDP flows by the node port, to another node", func(f int) error {
		return w.eventually(30*time.Second, func() error { return by(w.Outside(), f, "web-3", netip.Addr{}) })
	})
	put("web-1", "-more")
	w.merge(t, s, "", map[string]any{"spec": map[string]any{"externalTrafficPolicy": "Local"}})
	w.both(t, frontGroup, "a UDP flow from outside follows externalTrafficPolicy Local", func(f int) error {
		return w.eventually(30*time.Second, func() error { return by(w.Outside(), f, "web-1", w.Outside().Addrs()[f]) })
	})
	w.delete(t, s)
}

//go:build routes || guest

package routes

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"

	"kube-router/internal/lab"
	"kube-router/internal/lab/probe"
)

// device is how the tunnel interfaces of an encapsulation begin.
func device(encap string) string {
	if encap == "vxlan" {
		return "kube-vxlan"
	}
	return "tun-"
}

// podMTU is what an encapsulation leaves of a link of 1500 bytes with IPv6 outside, the larger of the two headers.
var podMTU = map[string]int{"ipip": 1500 - 40, "fou": 1500 - 40 - 8 - 4, "vxlan": 1500 - 40 - 8 - 8 - 14}

// overlay judges one kind of overlay: n1 and n2 are in the first subnet, n3 and n4 in the second.
func (w *world) overlay(encap, kind string, transfers int) {
	w.t.Helper()
	group := fmt.Sprintf("overlay %s, %s", encap, kind)
	begun := time.Now()
	for f, name := range families {
		for _, proto := range []string{"tcp", "udp"} {
			_, err := w.within(90*time.Second, func() error { return w.everyPair(f, proto) })
			w.judge(group, fmt.Sprintf("every pod reaches every pod with its own address, %s %s", name, proto), err, "after %s", round(time.Since(begun)))
		}
	}
	for f, name := range families {
		// What stood before carries packets until the new routes do.
		_, way := w.within(10*time.Second, func() error { return w.ways(f, encap, kind) })
		w.judge(group, "tunnels where asked for, "+name, way, "n1 → n2 %s, n1 → n3 %s",
			w.way("n1", "n2", f), w.way("n1", "n3", f))
	}
	for f, name := range families {
		before := w.fragments()
		note, err := w.large(f, encap, transfers)
		w.judge(group, "large TCP transfers and UDP at the pod's MTU, "+name, err, "%s", note)
		if now := w.fragments(); now != before && err == nil {
			err = fmt.Errorf("%d fragments", now-before)
		}
		w.judge(group, "nothing of it was fragmented, "+name, err, "")
	}
}

var devOf = regexp.MustCompile(`dev (\S+)`)

// way is the interface by which pods' packets leave a node for another node's pod.
func (w *world) way(from, target string, family int) string {
	w.t.Helper()
	out := w.sh(w.Node(from).Host, "ip route get %s from %s iif kube-bridge", w.pod(target).Addrs()[family], w.pod(from).Addrs()[family])
	if m := devOf.FindStringSubmatch(out[strings.Index(out, "from")+1:]); m != nil {
		return m[1]
	}
	return strings.TrimSpace(out)
}

// ways is an error unless tunnels lead to the other subnet, and to the own one with full.
func (w *world) ways(family int, encap, kind string) error {
	for _, c := range []struct {
		target string
		tunnel bool
	}{{"n3", true}, {"n4", true}, {"n2", kind == "full"}} {
		if dev := w.way("n1", c.target, family); strings.HasPrefix(dev, device(encap)) != c.tunnel {
			return fmt.Errorf("n1 → %s leaves by %s", c.target, dev)
		}
	}
	return nil
}

// mtu is the MTU of an interface.
func (w *world) mtu(h *lab.Host, dev string) int {
	w.t.Helper()
	out := w.sh(h, "ip -o link show %s", dev)
	_, after, _ := strings.Cut(out, " mtu ")
	n, err := strconv.Atoi(strings.Fields(after + " 0")[0])
	w.check(err)
	return n
}

// large moves 10 kB at a time by TCP, and UDP packets that fill the pod's MTU, between the subnets.
func (w *world) large(family int, encap string, transfers int) (string, error) {
	w.t.Helper()
	from, target := w.pod("n1"), w.pod("n3")
	mtu := w.mtu(from, "eth0")
	if mtu != podMTU[encap] {
		return "", fmt.Errorf("pods have an MTU of %d, want %d", mtu, podMTU[encap])
	}
	q := to(target, family, port)
	q.Path, q.Timeout = "/bytes?n=10000", 5*time.Second
	begun := time.Now()
	tally, err := from.Many(q, transfers, 4)
	if err != nil || !tally.OK() {
		return "", fmt.Errorf("TCP: %v %v", tally, err)
	}
	took := time.Since(begun)
	header := 20 + 8
	if from.Addrs()[family].Is6() {
		header = 40 + 8
	}
	q = probe.Request{To: netip.AddrPortFrom(target.Addrs()[family], port), Proto: "udp", Size: mtu - header, Timeout: 3 * time.Second}
	udp, err := from.Many(q, 50, 2)
	if err != nil || !udp.OK() {
		return "", fmt.Errorf("UDP of %d bytes: %v %v", q.Size, udp, err)
	}
	return fmt.Sprintf("%d × 10 kB in %s, %d × %d bytes", tally.Total, round(took), udp.Total, mtu), nil
}

// fragments counts what all nodes and pods ever fragmented or failed to (RFC 4293).
func (w *world) fragments() int {
	w.t.Helper()
	total := 0
	hosts := w.Pods("default", "app=web")
	for _, n := range w.Nodes() {
		hosts = append(hosts, n.Host)
	}
	for _, h := range hosts {
		lines := strings.Split(w.sh(h, "cat /proc/net/snmp /proc/net/snmp6"), "\n")
		for i, line := range lines {
			fields := strings.Fields(line)
			switch {
			case strings.HasPrefix(line, "Ip: ") && i > 0 && strings.HasPrefix(lines[i-1], "Ip: "):
				for j, name := range strings.Fields(lines[i-1]) {
					if name == "FragCreates" || name == "FragFails" {
						n, _ := strconv.Atoi(fields[j])
						total += n
					}
				}
			case len(fields) == 2 && (fields[0] == "Ip6FragCreates" || fields[0] == "Ip6FragFails"):
				n, _ := strconv.Atoi(fields[1])
				total += n
			}
		}
	}
	return total
}

// fresh replaces the pods, so that they get the MTU of today's encapsulation, once every node's CNI file has it.
func (w *world) fresh(encap string) {
	w.t.Helper()
	mtu := strconv.Itoa(podMTU[encap])
	for _, n := range w.Nodes() {
		_, err := w.within(60*time.Second, func() error { return w.says(n.Host, "cat /etc/cni/net.d/10-kuberouter.conflist", mtu) })
		w.check(err)
	}
	w.check(w.Delete(w.ctx, pods))
	w.check(w.WaitGone(w.ctx, "default", "web"))
	w.check(w.Apply(w.ctx, pods))
	w.check(w.WaitReady(w.ctx))
}

// only is an error if a node has tunnels of another kind.
func (w *world) only(encap string) error {
	for _, n := range w.Nodes() {
		out := w.sh(n.Host, "ip -d -o link show")
		for line := range strings.Lines(out) {
			if kind := tunnelKind(line); kind != "" && kind != encap {
				return fmt.Errorf("%s has a tunnel of %s: %s", n.Name, kind, line)
			}
		}
	}
	return nil
}

// tunnelKind is the encapsulation of our tunnel on a line of "ip -d -o link"; "" when it isn't one.
func tunnelKind(line string) string {
	switch {
	case strings.Contains(line, ": kube-vxlan"):
		return "vxlan"
	case !strings.Contains(line, ": tun-"):
		return ""
	case strings.Contains(line, " encap gue"):
		return "fou"
	}
	return "ipip"
}

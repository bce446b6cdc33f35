//go:build services

package services

import (
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"kube-router/internal/lab"
)

// socketVariable is not empty when Services are served at the socket in this run, beside the engine.
const socketVariable = "KUBE_ROUTER_SERVICE_SOCKET"

// socketFlags serve Services at the sockets of nodes and pods. The firewall reads pods; no policy selects one.
func socketFlags() []string {
	if os.Getenv(socketVariable) == "" {
		return nil
	}
	return []string{"--socket-lb=pods", "--run-firewall=true"}
}

const socketGroup = "connect() becomes one to an endpoint"

// TestSocket asks through frontends of each kind and sees by the programs' own counters who was served at the socket; then by packets
// again what is left to them.
func TestSocket(t *testing.T) {
	w, n := shared, 90
	if os.Getenv(socketVariable) == "" {
		return // judged in the run with it
	}
	s := w.create(t, balanced(newService("socket", n, "web"), n), balancerIPs(n)...)
	pod, node := w.Pod("client-1"), w.Node("n1")
	for f := range 2 {
		w.serves(t, pod, front(clusterIPs(n)[f], 80, "tcp"), 3)
	}
	w.both(t, socketGroup, "of a pod and of its node, to cluster, external and balancer address and node port", func(f int) error {
		for _, from := range []*lab.Host{pod, node.Host} {
			for _, to := range []netip.AddrPort{
				netip.AddrPortFrom(clusterIPs(n)[f], 80), netip.AddrPortFrom(externalIPs(n)[f], 80), netip.AddrPortFrom(balancerIPs(n)[f], 80),
				netip.AddrPortFrom(node.Addrs()[f], nodePort(n)),
			} {
				before := w.connects(node, to)
				if err := w.only(from, front(to.Addr(), to.Port(), "tcp"), names(w.web())...); err != nil {
					return err
				}
				if now := w.connects(node, to); now[0] <= before[0] || now[1] != before[1] {
					return fmt.Errorf("%s to %s: %v connects at the socket and left to packets, before %v", from.Name, to, now, before)
				}
			}
		}
		return nil
	})
	w.both(t, socketGroup, "UDP is left to packets", func(f int) error {
		return w.only(pod, front(clusterIPs(n)[f], 80, "udp"), names(w.web())...)
	})
	w.both(t, socketGroup, "a client outside is left to packets", func(f int) error {
		to := netip.AddrPortFrom(balancerIPs(n)[f], 80)
		before := w.connects(node, to)
		if err := w.only(w.Outside(), front(to.Addr(), 80, "tcp"), names(w.web())...); err != nil {
			return err
		}
		// The lab's outside is on this machine, so that its connect() is seen, and left to packets.
		if now := w.connects(node, to); now[0] != before[0] || now[1] <= before[1] {
			return fmt.Errorf("%v connects at the socket and left to packets, before %v", now, before)
		}
		return nil
	})
	w.socketSwitch(t, n)
	w.delete(t, s)
}

// socketSwitch takes the layer away under load and puts it back, kills daemons, and starts them again.
func (w *the) socketSwitch(t *testing.T, n int) {
	t.Helper()
	fronts := map[*lab.Host]netip.Addr{w.Pod("client-1"): clusterIPs(n)[0], w.Pod("client-3"): clusterIPs(n)[1], w.Node("n2").Host: clusterIPs(n)[0]}
	for _, c := range []struct {
		name string
		do   func(*lab.Node) error
	}{
		{"the layer is switched off", func(n *lab.Node) error { return n.RestartDaemon("--socket-lb=off") }},
		{"it is switched on", func(n *lab.Node) error { return n.RestartDaemon() }},
		{"daemons are killed and come back", func(n *lab.Node) error {
			if err := n.KillDaemon(); err != nil {
				return err
			}
			time.Sleep(200 * time.Millisecond)
			return n.StartDaemon()
		}},
	} {
		lines, broken := w.lines(t, fronts)
		l := w.under(n, asking(25))
		for _, node := range w.Nodes() {
			if err := c.do(node); err != nil {
				t.Fatal(err)
			}
			time.Sleep(500 * time.Millisecond)
		}
		var ran error
		for _, node := range w.Nodes() {
			if ran == nil {
				ran = w.eventually(20*time.Second, func() error { return w.runs(node, w.engine) })
			}
		}
		time.Sleep(2 * time.Second)
		note, err := l.end()
		if err == nil {
			err = ran
		}
		w.score.Judge(t, socketGroup, "new connections while "+c.name, err, "%s", note)
		w.score.Judge(t, socketGroup, "connections that stand while "+c.name, broken(), "%d of them", len(lines))
	}
	w.score.Judge(t, socketGroup, "what is served at the end", w.eventually(20*time.Second, func() error {
		out, err := w.Node("n1").Run(w.ctx, w.program(), "show", "sockets")
		for _, line := range strings.Split(out, "\n") {
			if strings.Join(strings.Fields(line), " ") == "pod default/client-1 yes" {
				return nil
			}
		}
		return fmt.Errorf("%v: %s", err, out)
	}), "")
}

// connects are how often a node counted connect() to a frontend at the socket, and how often it was left to packets.
func (w *the) connects(node *lab.Node, to netip.AddrPort) (n [2]uint64) {
	out, err := node.Run(w.ctx, w.program(), "show", "sockets")
	if err != nil {
		return n
	}
	for _, line := range strings.Split(out, "\n") {
		fields := strings.Fields(line)
		if len(fields) == 4 && fields[0] == to.String()+"/tcp" {
			n[0], _ = strconv.ParseUint(fields[2], 10, 64)
			n[1], _ = strconv.ParseUint(fields[3], 10, 64)
		}
	}
	return n
}

//go:build routes

package routes

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"kube-router/internal/lab"
)

// TestWhyRoute asks why for the route of packets that pass, and of packets that others' routes lead astray; each answer is compared with
// a real packet.
func TestWhyRoute(t *testing.T) {
	for _, way := range []struct {
		name, dev, cause string
		args             []string
	}{
		{"BGP", "eth0", ", learned by BGP, of node n2", nil},
		{"API", "eth0", ", because of Node n2", []string{"--node-routes=api", "--enable-ibgp=false"}},
		{"vxlan", "kube-vxlan", ", learned by BGP", []string{"--enable-overlay=true", "--overlay-type=full", "--overlay-encap=vxlan"}},
	} {
		w := begin(t, lab.Config{Nodes: 2}, way.args...)
		n1, n2, from, far := w.Node("n1"), w.Node("n2"), w.pod("n1"), w.pod("n2")
		for f, family := range families {
			group := "why, " + way.name + ", " + family
			dst, node, ip := far.Addrs()[f].String(), n2.Addrs()[f].String(), []string{"ip -4", "ip -6"}[f]
			if way.name == "vxlan" && f == 1 {
				node = "fe80:" // the tunnel's own address
			}
			passes := func() error { return reaches(from, far, f, "tcp") }
			fails := func() error {
				if reaches(from, far, f, "tcp") == nil {
					return errors.New("a packet passes")
				}
				return nil
			}
			why := func(words ...string) error {
				return w.says(n1.Host, fmt.Sprintf("%s/kube-router why %s %s %d/tcp", programs, from.Name, far.Name, port), words...)
			}
			line := fmt.Sprintf("%s → %s/tcp: ", from.Addrs()[f], to(far, f, port).To)
			_, err := w.within(20*time.Second, passes)
			w.judge(group, "what passes is allowed, with route, next hop and cause", errors.Join(err, why(line+"allowed", "  route: ", " via "+node, "dev "+way.dev, way.cause)), "")

			w.sh(n1.Host, "%s route add unreachable %s", ip, dst)
			w.judge(group, "a route of others that refuses: no route", errors.Join(fails(), why(line+"no route", "  route: no route")), "")
			w.sh(n1.Host, "%s route del unreachable %s", ip, dst)

			nobody := []string{"172.30.0.99", "fd00:172:30::99"}[f]
			w.sh(n1.Host, "%s route add %s via %s dev eth0", ip, dst, nobody)
			err = errors.Join(fails(), why(line+"allowed", "  route: "+dst+"/", "via "+nobody+" dev eth0; the neighbour is "))
			w.judge(group, "a route of others to nobody: by whom, and that nobody answers", err, "")
			w.sh(n1.Host, "%s route del %s", ip, dst)

			_, err = w.within(5*time.Second, passes)
			w.judge(group, "without them packets pass again", errors.Join(err, why(line+"allowed", way.cause)), "")
		}
	}
}

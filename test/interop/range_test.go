//go:build interop

package interop

import (
	"fmt"
	"testing"
	"time"

	"kube-router/internal/lab"
)

// TestBoundaryOneRangeTwice gives a node the pod range of an older one, and a part of it. All nodes send to the older one alone
// and tell it, whatever routes are made of, and when the mistake is fixed each has its own again.
func TestBoundaryOneRangeTwice(t *testing.T) {
	for _, args := range [][]string{nil, {"--node-routes=api", "--enable-ibgp=false"}} {
		t.Run(fmt.Sprint(args), func(t *testing.T) {
			w := begin(t, lab.Config{Nodes: 3}, args...)
			own := func() error {
				return contains(w.routes("n1"), "10.244.2.0/24 via 172.30.0.12 dev", "10.244.3.0/24 via 172.30.0.13 dev", "fd00:10:244:2::/64 via fd00:172:30::12 dev", "fd00:10:244:3::/64 via fd00:172:30::13 dev")
			}
			w.until("each has its own", 20*time.Second, own)
			// The nodes of the lab are of one second; then the name decides.
			w.annotate("n3", "pod-cidrs", "10.244.2.0/24,fd00:10:244:2:8000::/65")
			w.until("all is told", 20*time.Second, func() error {
				for _, n := range []string{"n1", "n2", "n3"} {
					if err := contains(w.show(n, "remarks"), "Node n3", "10.244.2.0/24 leads to node n2", "fd00:10:244:2:8000::/65 leads to node n2"); err != nil {
						return fmt.Errorf("%s: %w", n, err)
					}
				}
				return nil
			})
			w.until("n2 has its range alone", 20*time.Second, func() error {
				out := w.routes("n1")
				if err := lacks(out, "via 172.30.0.13", "nexthop"); err != nil {
					return err
				}
				return contains(out, "10.244.2.0/24 via 172.30.0.12 dev", "fd00:10:244:2::/64 via fd00:172:30::12 dev")
			})
			time.Sleep(2 * time.Second) // whatever else comes
			if err := lacks(w.routes("n1"), "via 172.30.0.13", "via fd00:172:30::13", "nexthop"); err != nil {
				t.Error(err)
			}
			w.annotate("n3", "pod-cidrs", "")
			w.until("each has its own again", 20*time.Second, own)
		})
	}
}

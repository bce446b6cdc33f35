//go:build guest

package routes

import (
	"testing"

	"kube-router/internal/lab"
)

const place = "the guest kernel"

// TestTunnels changes the overlay of one cluster from kind to kind; the old kind's tunnels must go.
func TestTunnels(t *testing.T) {
	w := begin(t, lab.Config{Nodes: 4, Subnets: 2}, "--overlay-encap=ipip", "--overlay-type=subnet")
	w.overlay("ipip", "subnet", 1000)
	w.restart("--overlay-type=full")
	w.overlay("ipip", "full", 200)
	w.restart("--overlay-encap=fou", "--overlay-type=subnet")
	w.fresh()
	w.overlay("fou", "subnet", 1000)
	w.judge("overlay fou, subnet", "the tunnels of ipip are gone", w.only("fou"), "")
	w.restart("--overlay-encap=fou", "--overlay-type=full")
	w.overlay("fou", "full", 200)
}

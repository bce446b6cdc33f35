//go:build routes

package routes

import (
	"testing"

	"kube-router/internal/lab"
)

const place = "this kernel"

// TestOverlay is vxlan between two subnets, with graceful restart for what follows: repairs, and daemons killed under load.
func TestOverlay(t *testing.T) {
	w := begin(t, lab.Config{Nodes: 4, Subnets: 2}, "--overlay-encap=vxlan", "--bgp-graceful-restart", "--bgp-graceful-restart-time=30s")
	w.overlay("vxlan", "subnet", 1000)
	w.heals()
	w.follows()
	w.killed()
	w.restart("--overlay-type=full")
	w.overlay("vxlan", "full", 1000)
}

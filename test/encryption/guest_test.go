//go:build guest

package encryption

import (
	"testing"

	"kube-router/internal/lab"
)

// place is where this run moves packets, and engine what carries WireGuard there.
const (
	place  = "the guest kernel"
	engine = "the kernel"
	// tunnels are those before encryption and after it. Beside vxlan an IPv6 connection may stall for some seconds when encryption is
	// switched on here (docs/operating.md, known limits).
	tunnels = "ipip"
)

// TestEngineIPVS turns encryption on and off where IPVS serves and every client of a Service is given the node's address.
func TestEngineIPVS(t *testing.T) {
	w := begin(t, lab.Config{Nodes: 3, Subnets: 2}, "--service-proxy-engine=ipvs", "--masquerade-all")
	w.tap()
	w.turnOn()
	w.turnOff()
}

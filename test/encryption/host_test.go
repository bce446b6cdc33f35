//go:build encryption

package encryption

// place is where this run moves packets, and engine what carries WireGuard there.
const (
	place  = "this kernel"
	engine = "user space"
	// tunnels are those before encryption and after it.
	tunnels = "vxlan"
)

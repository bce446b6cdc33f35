//go:build guest

package encryption

// place is where this run moves packets, and engine what carries WireGuard there.
const (
	place  = "the guest kernel"
	engine = "the kernel"
	// turns is false: the kernel's WireGuard is on from the beginning. Where it takes over from another link a masqueraded connection
	// may be reset, and IPv6 datagrams of pods with a larger MTU are not told their size (known limits in docs/operating.md).
	turns = false
)

//go:build guest

package encryption

// place is where this run moves packets, and engine what carries WireGuard there.
const (
	place  = "the guest kernel"
	engine = "the kernel"
	// turns is false: the kernel's WireGuard is on from the beginning. A fault of the product is why, in the known limits of
	// docs/operating.md: a connection reset when it takes over.
	turns = true
)

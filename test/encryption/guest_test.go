//go:build guest

package encryption

// place is where this run moves packets, and engine what carries WireGuard there.
const (
	place  = "the guest kernel"
	engine = "the kernel"
)

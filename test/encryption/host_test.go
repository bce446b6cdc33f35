//go:build encryption

package encryption

// place is where this run moves packets, and engine what carries WireGuard there.
const (
	place  = "this kernel"
	engine = "user space"
	turns  = true // encryption is switched on and off under load
)

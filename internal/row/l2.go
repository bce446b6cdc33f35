package row

import (
	"fmt"
	"net/netip"
)

// L2Answer is an address that we answer for on a link, by ARP or neighbour discovery. It is on no link itself, and is gone with the daemon.
type L2Answer struct {
	Addr netip.Addr
	Link string
}

// Key is the answer itself: nothing about it ever changes.
func (r L2Answer) Key() L2Answer { return r }

// String prints the answer.
func (r L2Answer) String() string { return fmt.Sprintf("answer %s dev %s", r.Addr, r.Link) }

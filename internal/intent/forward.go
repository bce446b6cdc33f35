package intent

import (
	"fmt"
	"net/netip"
)

// Forward is that packets of pods pass a chain of another program that would drop them.
type Forward struct {
	Pods []netip.Prefix // ranges of one family, none within another
	Last bool           // what the chain's own rules say comes first
}

// String prints one line.
func (f *Forward) String() string {
	if f.Last {
		return fmt.Sprintf("forward pods %v after what others drop", f.Pods)
	}
	return fmt.Sprintf("forward pods %v whatever others drop", f.Pods)
}

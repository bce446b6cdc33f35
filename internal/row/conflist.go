package row

import (
	"fmt"
	"net/netip"
)

// Conflist is our part of the node's CNI configuration file: the pod ranges, the MTU and the plugin that
// waits for the firewall. What else the file says is the user's and stays; where there is no file, one
// with the usual chain of plugins is made. The row is what we write, not what the file holds.
type Conflist struct {
	Path   string
	Ranges [2]netip.Prefix // of IPv4 and IPv6, zero: none; the bridge plugin serves one range per family
	MTU    int             // 0: the file's own, or the plugin's default
	Socket string          // where kube-router-cni finds the daemon; empty: the plugin isn't chained
	Own    bool            // kube-router-cni stands in for the bridge, portmap and bandwidth plugins
}

// Key is the path.
func (c Conflist) Key() string { return c.Path }

// String prints the file with what we write there.
func (c Conflist) String() string {
	s := "cni " + c.Path
	for _, r := range c.Ranges {
		if r.IsValid() {
			s += " range " + r.String()
		}
	}
	if c.MTU > 0 {
		s += fmt.Sprintf(" mtu %d", c.MTU)
	}
	if c.Socket != "" {
		s += " wait " + c.Socket
	}
	if c.Own {
		s += " own"
	}
	return s
}

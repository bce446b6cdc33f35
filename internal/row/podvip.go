package row

import (
	"fmt"
	"net/netip"
)

// The names of the tunnel links inside pods whose Services have direct server return, as in the reference.
const (
	PodTunnelName  = "kube-tunnel-if"
	PodTunnel6Name = "kube-tunnel-v6"
)

// PodVIP is an address of a Service inside a pod of this node, on a tunnel link that takes off the outer packet
// in which IPVS sends. The pod answers from that address by itself (direct server return).
type PodVIP struct {
	Pod  KubeName
	Addr netip.Addr // the pod's own, of the family of VIP
	VIP  netip.Addr
}

// PodVIPKey is the key of a PodVIP: a pod's address and the Service's.
type PodVIPKey struct{ Addr, VIP netip.Addr }

// String prints the key.
func (k PodVIPKey) String() string { return fmt.Sprintf("%s in %s", k.VIP, k.Addr) }

// Key is the pod's address, which is one pod's alone, and the Service's.
func (p PodVIP) Key() PodVIPKey { return PodVIPKey{p.Addr, p.VIP} }

// Link is the tunnel link for the family.
func (p PodVIP) Link() string {
	if p.VIP.Is6() {
		return PodTunnel6Name
	}
	return PodTunnelName
}

// String prints the address as ip(8) would add it inside the pod.
func (p PodVIP) String() string {
	return fmt.Sprintf("pod %s at %s: addr %s dev %s", p.Pod, p.Addr, netip.PrefixFrom(p.VIP, p.VIP.BitLen()), p.Link())
}

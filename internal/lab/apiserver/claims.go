package apiserver

import (
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// The node port range of a cluster that sets no other, and where in it automatic allocation begins: the ports below are left to
// those who name theirs (KEP-3668).
const (
	firstNodePort, lastNodePort = 30000, 32767
	firstAutomaticNodePort      = 30086
)

// claims knows which Service holds which cluster IP and which node port. It is derived from the stored Services alone.
type claims struct {
	ranges []*addressRange
	ips    map[netip.Addr]types.NamespacedName
	ports  map[int32]types.NamespacedName
	held   map[types.NamespacedName]holding
	cursor int32
}

// A holding is what one Service has.
type holding struct {
	ips   []netip.Addr
	ports []int32
}

// An addressRange is one service CIDR. Automatic allocation goes round in it, beginning behind the band that is left to those who
// name their address (KEP-3070), so that a released address is not given out again at once.
type addressRange struct {
	prefix netip.Prefix
	band   uint32 // first automatic offset
	size   uint32 // offsets 1 to size are usable
	cursor uint32
}

func newClaims(cidrs []netip.Prefix) (*claims, error) {
	if len(cidrs) == 0 {
		cidrs = []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16"), netip.MustParsePrefix("fd00:10:96::/112")}
	}
	if len(cidrs) > 2 || len(cidrs) == 2 && cidrs[0].Addr().Is4() == cidrs[1].Addr().Is4() {
		return nil, fmt.Errorf("service CIDRs %v: want one, or one of each family", cidrs)
	}
	c := &claims{ips: map[netip.Addr]types.NamespacedName{}, ports: map[int32]types.NamespacedName{}, held: map[types.NamespacedName]holding{}, cursor: firstAutomaticNodePort}
	for _, p := range cidrs {
		bits := p.Addr().BitLen() - p.Bits()
		if !p.IsValid() || bits < 3 {
			return nil, fmt.Errorf("service CIDR %v: too small", p)
		}
		r := &addressRange{prefix: p.Masked(), size: uint32(1)<<min(bits, 20) - 2}
		r.band = min(max(16, r.size/16), 256)
		if r.band >= r.size {
			r.band = 1
		}
		r.cursor = r.band
		c.ranges = append(c.ranges, r)
	}
	return c, nil
}

// follow records what a stored Service holds. A Service inserted raw gets only what nobody else has.
func (c *claims) follow(k *kind, e *entry) {
	if k.kind != "Service" {
		return
	}
	c.release(k, e.key)
	svc, ok := k.decodeLoosely(e.raw).(*corev1.Service)
	if !ok {
		return
	}
	var h holding
	for _, text := range svc.Spec.ClusterIPs {
		if ip, err := netip.ParseAddr(text); err == nil {
			h.ips = append(h.ips, ip)
		}
	}
	for _, p := range svc.Spec.Ports {
		h.ports = append(h.ports, p.NodePort)
	}
	h.ports = append(h.ports, svc.Spec.HealthCheckNodePort)
	for _, ip := range h.ips {
		if _, taken := c.ips[ip]; !taken {
			c.ips[ip] = e.key
		}
	}
	for _, port := range h.ports {
		if _, taken := c.ports[port]; !taken && port != 0 {
			c.ports[port] = e.key
		}
	}
	c.held[e.key] = h
}

// release gives back what a Service held.
func (c *claims) release(k *kind, owner types.NamespacedName) {
	if k.kind != "Service" {
		return
	}
	for _, ip := range c.held[owner].ips {
		if c.ips[ip] == owner {
			delete(c.ips, ip)
		}
	}
	for _, port := range c.held[owner].ports {
		if c.ports[port] == owner {
			delete(c.ports, port)
		}
	}
	delete(c.held, owner)
}

// rangeOf is the service CIDR of a family; nil if the cluster has none.
func (c *claims) rangeOf(family corev1.IPFamily) *addressRange {
	for _, r := range c.ranges {
		if r.family() == family {
			return r
		}
	}
	return nil
}

func (r *addressRange) family() corev1.IPFamily {
	if r.prefix.Addr().Is4() {
		return corev1.IPv4Protocol
	}
	return corev1.IPv6Protocol
}

// at is the address at that offset of the range.
func (r *addressRange) at(offset uint32) netip.Addr {
	b := r.prefix.Addr().AsSlice()
	for i := len(b) - 1; offset > 0; i-- {
		sum := uint32(b[i]) + offset&0xff
		b[i] = byte(sum)
		offset = offset>>8 + sum>>8
	}
	ip, _ := netip.AddrFromSlice(b)
	return ip
}

// freeIP is the next address that nobody holds.
func (c *claims) freeIP(r *addressRange) (netip.Addr, bool) {
	for range 2 * r.size {
		ip := r.at(r.cursor)
		if r.cursor++; r.cursor > r.size {
			r.cursor = r.band
		}
		if _, taken := c.ips[ip]; !taken {
			return ip, true
		}
	}
	for offset := uint32(1); offset < r.band; offset++ {
		if _, taken := c.ips[r.at(offset)]; !taken {
			return r.at(offset), true
		}
	}
	return netip.Addr{}, false
}

// freePort is the next node port that nobody holds and that is not among those given.
func (c *claims) freePort(also map[int32]bool) (int32, bool) {
	for range lastNodePort - firstNodePort + 1 {
		port := c.cursor
		if c.cursor++; c.cursor > lastNodePort {
			c.cursor = firstNodePort
		}
		if _, taken := c.ports[port]; !taken && !also[port] {
			return port, true
		}
	}
	return 0, false
}

// takeIP checks an address that the Service names.
func (c *claims) takeIP(owner types.NamespacedName, r *addressRange, text string) string {
	ip, err := netip.ParseAddr(text)
	switch {
	case err != nil:
		return "must be a valid IP address"
	case !r.prefix.Contains(ip):
		return fmt.Sprintf("failed to allocate IP %s: the provided IP is not in the valid range %s", ip, r.prefix)
	}
	if holder, taken := c.ips[ip]; taken && holder != owner {
		return fmt.Sprintf("failed to allocate IP %s: provided IP is already allocated (by %s)", ip, holder)
	}
	return ""
}

// takePort checks a node port that the Service names.
func (c *claims) takePort(owner types.NamespacedName, port int32, path *field.Path) *field.Error {
	if port < firstNodePort || port > lastNodePort {
		return field.Invalid(path, port, fmt.Sprintf("provided port is not in the valid range. The range of valid ports is %d-%d", firstNodePort, lastNodePort))
	}
	if holder, taken := c.ports[port]; taken && holder != owner {
		return field.Invalid(path, port, fmt.Sprintf("provided port is already allocated (by %s)", holder))
	}
	return nil
}

package host

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"kube-router/internal/intent"
	"kube-router/internal/model"
)

// minMTU6 is the least MTU that a link with IPv6 may have (RFC 8200, section 5).
const minMTU6 = 1280

// Plan plans the node's preparation. Our own Node object tells the rest; what needs none of it, above all the
// bridge, stands without: a Node that is deleted by hand must not take the network from pods that run.
func Plan(m *model.Model) ([]*intent.Host, []model.Remark) {
	self, s := m.Self(), &m.Settings
	if !s.Router && !s.Firewall && !s.Proxy {
		return nil, nil
	}
	h := &intent.Host{V4: s.IPv4, V6: s.IPv6, Bridge: s.Router, Bridged: s.Firewall || s.Proxy, Proxy: s.Proxy}
	if self == nil {
		return []*intent.Host{h}, nil
	}
	h.Uplinks = uplinks(m, self)
	if !s.Router {
		return []*intent.Host{h}, nil
	}
	note := remarks{object: self.Ref()}
	if s.CNI.AutoMTU {
		h.MTU = mtu(m, self, &note)
	}
	h.CNI = cni(s, self, h.MTU, &note)
	return []*intent.Host{h}, note.list
}

// uplinks are the links that have one of the node's addresses. One that is down is one still: what it is set to
// counts at the moment when it comes up. Linux takes the IPv6 addresses from a link that goes down, and where router
// advertisements are to bring the node's back, they are heard by the settings of an uplink alone; so while it is
// nowhere, every link to a network may be the one.
func uplinks(m *model.Model, self *model.Node) []string {
	var names []string
	for _, f := range m.Settings.Families() {
		a := self.IP(f)
		if l := m.LinkOwning(a); l != nil {
			names = append(names, l.Name)
		} else if f == model.IPv6 && a.IsValid() {
			names = append(names, networks(m)...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// networks are the links to networks by their kind: hardware, and what is made of hardware. The bridge of pods is
// none, whatever a link of its name is.
func networks(m *model.Model) []string {
	var names []string
	for _, l := range m.Links {
		if l.Name != "lo" && l.Name != "kube-bridge" && slices.Contains([]string{"device", "bond", "team", "vlan"}, l.Kind) {
			names = append(names, l.Name)
		}
	}
	return names
}

// mtu is the MTU of pods: the least of the uplinks', less what a tunnel adds when one may be in the way. It
// is one for all destinations, since a pod has one.
func mtu(m *model.Model, self *model.Node, note *remarks) int {
	least := 0
	for _, f := range m.Settings.Families() {
		l := m.LinkOwning(self.IP(f))
		if l == nil {
			continue
		}
		size := l.MTU
		if m.Settings.Routes.Overlay {
			size -= intent.Encap(m.Settings.Routes.OverlayEncap).Overhead(f == model.IPv6)
		}
		if least == 0 || size < least {
			least = size
		}
	}
	if f := model.FamilyOf(self.PrimaryIP()); m.Settings.Encryption.On && least > 0 {
		if l := m.LinkOwning(self.PrimaryIP()); l != nil {
			least = min(least, l.MTU-intent.WireGuard.Overhead(f == model.IPv6))
		}
	}
	if least == 0 {
		note.add("status.addresses", "the MTU of pods is left to the kernel: no link of this node has its address")
	}
	if least > 0 && least < minMTU6 && m.Settings.IPv6 {
		note.add("", fmt.Sprintf("pods get an MTU of %d, and IPv6 needs %d", least, minMTU6))
	}
	return least
}

func cni(s *model.Settings, self *model.Node, mtu int, note *remarks) *intent.CNI {
	if !s.CNI.Enabled {
		return nil
	}
	c := &intent.CNI{File: s.CNI.File, MTU: mtu}
	for _, f := range s.Families() {
		if p := podRange(self, f, note); p.IsValid() {
			c.Ranges = append(c.Ranges, p)
		}
	}
	if len(c.Ranges) == 0 {
		note.add("spec.podCIDRs", "no pod range yet, so pods can't start here: the controller manager allocates it "+
			"(--allocate-node-cidrs), or the annotation kube-router.io/pod-cidrs names it")
		return nil
	}
	c.Socket = s.CNI.Socket
	if c.Socket != "" && !strings.HasSuffix(c.File, ".conflist") {
		note.add("", c.File+" holds a single plugin, so pods don't wait for their firewall, and what they send isn't guarded: use a .conflist")
		c.Socket = ""
	}
	c.Own = s.CNI.Plugin == model.PluginOwn && c.Socket != ""
	return c
}

// podRange is the range from which pods get their address of one family: the first, since the bridge plugin
// keeps one gateway address per family.
func podRange(n *model.Node, f model.Family, note *remarks) netip.Prefix {
	var first netip.Prefix
	for _, p := range n.PodCIDRs {
		switch {
		case model.FamilyOf(p.Addr()) != f:
		case first.IsValid():
			note.add("spec.podCIDRs", p.String()+" gets no pods: only the first range of a family does")
		default:
			first = p
		}
	}
	return first
}

// remarks collects remarks about one object.
type remarks struct {
	object model.Ref
	list   []model.Remark
}

func (r *remarks) add(field, message string) {
	r.list = append(r.list, model.Remark{Object: r.object, Field: field, Message: message})
}

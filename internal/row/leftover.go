package row

import "fmt"

// LeftoverKind is what sort of thing another program left in the kernel.
type LeftoverKind uint8

// The kinds of leftovers, in the order in which they are removed: rules before what they lean on.
const (
	LeftoverChain  LeftoverKind = iota + 1 // of iptables over nftables, with all that jumps there
	LeftoverRule                           // of iptables over nftables, in a chain of the kernel's
	LeftoverTable                          // of nftables
	LeftoverLegacy                         // a chain of iptables-legacy, which netlink can't reach
	LeftoverSet                            // an ipset
	LeftoverServer                         // an IPVS virtual server
	LeftoverLink
	LeftoverLookup // a policy rule (ip rule)
)

// Leftover is a thing of kube-router v2 or kube-proxy that our own take the place of. Nobody ever wants one:
// a table of them is only ever emptied.
type Leftover struct {
	Kind  LeftoverKind
	V6    bool
	Of    string // the program that made it
	Table string // of a chain or rule
	Name  string
	Num   uint64 // handle of a rule, priority of a policy rule
}

// Key is the leftover itself.
func (l Leftover) Key() Leftover { return l }

// String prints it in the words of the tool that shows it.
func (l Leftover) String() string {
	switch l.Kind {
	case LeftoverChain:
		return fmt.Sprintf("%s -t %s -N %s", l.tool(""), l.Table, l.Name)
	case LeftoverRule:
		return fmt.Sprintf("%s -t %s -A %s # handle %d", l.tool(""), l.Table, l.Name, l.Num)
	case LeftoverLegacy:
		return fmt.Sprintf("%s -t %s -N %s", l.tool("-legacy"), l.Table, l.Name)
	case LeftoverTable:
		if l.V6 {
			return "table ip6 " + l.Name
		}
		return "table ip " + l.Name
	case LeftoverSet:
		return "ipset " + l.Name
	case LeftoverServer:
		return "ipvs " + l.Name
	case LeftoverLookup:
		return fmt.Sprintf("rule %d: %s lookup %s", l.Num, l.Name, l.Table)
	case LeftoverLink:
		return "link " + l.Name
	}
	return l.Name
}

func (l Leftover) tool(variant string) string {
	if l.V6 {
		return "ip6tables" + variant
	}
	return "iptables" + variant
}

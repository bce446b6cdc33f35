package row

import (
	"fmt"
	"net/netip"
)

// ForwardComment begins the comment of every Forward row's rule, by which alone it is recognised.
const ForwardComment = "kube-router: pods"

// ForwardMatch is which packets of a range of pods a Forward row accepts.
type ForwardMatch uint8

// The matches of Forward rows.
const (
	ForwardTo    ForwardMatch = iota // to pods, those that a Service sends there among them
	ForwardFrom                      // from pods of this node
	ForwardReply                     // from pods of other nodes, in connections that stand
)

// Forward is a rule in chain FORWARD of iptables (the nft variant) that accepts packets of pods, where other rules of that chain
// would drop them. It is the one thing that we write into a chain of others.
type Forward struct {
	Net   netip.Prefix
	Match ForwardMatch
	Last  bool // behind the chain's own rules, so that it replaces the chain's policy alone; else before them
}

// ForwardKey is the key of a Forward.
type ForwardKey struct {
	Net   netip.Prefix
	Match ForwardMatch
}

// String prints the key in the words of iptables.
func (k ForwardKey) String() string { return Forward{Net: k.Net, Match: k.Match}.rule() }

// Key is what the rule matches.
func (f Forward) Key() ForwardKey { return ForwardKey{f.Net, f.Match} }

// Comment is the comment of the rule in the kernel.
func (f Forward) Comment() string {
	if f.Last {
		return ForwardComment + ", last"
	}
	return ForwardComment
}

// String prints the rule in the words of iptables.
func (f Forward) String() string {
	how := "-I"
	if f.Last {
		how = "-A"
	}
	tool := "iptables"
	if f.Net.Addr().Is6() {
		tool = "ip6tables"
	}
	return fmt.Sprintf("%s %s FORWARD %s -j ACCEPT", tool, how, f.rule())
}

func (f Forward) rule() string {
	switch f.Match {
	case ForwardTo:
		return fmt.Sprintf("-d %s", f.Net)
	case ForwardFrom:
		return fmt.Sprintf("-s %s -i %s", f.Net, BridgeName)
	}
	return fmt.Sprintf("-s %s -m conntrack --ctstate RELATED,ESTABLISHED", f.Net)
}

package model

// ForwardChain is a base chain of another program at hook forward, which packets of pods pass beside ours.
type ForwardChain struct {
	Family string // ip, ip6 or inet
	Table  string
	Name   string
	Policy bool // its policy is drop
	Drops  bool // a rule of it, or of a chain that it leads to, drops or rejects
	Closed bool // it drops or rejects whatever none of its rules accepts
	Open   bool // a rule of its own may accept packets of pods
	Legacy bool // of iptables-legacy, outside of nftables: nothing is written there
}

// Ref names the chain as String does.
func (c *ForwardChain) Ref() Ref { return Ref{KindForeign, Name{Name: c.String()}} }

// String prints the chain as nft lists it, family, table and chain, or one of iptables-legacy with the tool that does.
func (c *ForwardChain) String() string {
	of := c.Family
	if c.Legacy {
		of += "tables-legacy"
	}
	return of + " " + c.Table + " " + c.Name
}

// Iptables tells whether the chain is chain FORWARD of iptables-nft or ip6tables-nft, the one where rules of ours may stand.
func (c *ForwardChain) Iptables() bool {
	return !c.Legacy && c.Table == "filter" && c.Name == "FORWARD" && (c.Family == "ip" || c.Family == "ip6")
}

// Has tells whether packets of a family pass the chain.
func (c *ForwardChain) Has(f Family) bool {
	return c.Family == "inet" || c.Family == "ip" && f == IPv4 || c.Family == "ip6" && f == IPv6
}

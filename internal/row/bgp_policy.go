package row

import (
	"fmt"
	"net/netip"
	"strings"
)

// BgpSet names a defined set: of prefixes, or of peers. The names are those that kube-router has always
// used, so that `gobgp policy prefix` and `gobgp policy neighbor` show what people know.
type BgpSet string

// The sets of prefixes and of peers. Each has a twin for IPv6; a set of peers holds peers by the family of
// their address.
const (
	SetPods      BgpSet = "podcidrdefinedset"            // our pod ranges
	SetPodsOut   BgpSet = "podaggregatedefinedset"       // what stands for them outside of the cluster
	SetVIPs      BgpSet = "servicevipsdefinedset"        // addresses of Services, to all routers
	SetOwn       BgpSet = "advertisedvipsdefinedset"     // addresses that BGPAdvertisements advertise
	SetRejected  BgpSet = "customimportrejectdefinedset" // refused whoever announces it
	SetDefaults  BgpSet = "defaultroutedefinedset"
	SetHeld      BgpSet = "heldrangesdefinedset" // not for routers outside to teach
	SetInternals BgpSet = "iBGPpeerset"
	SetExternals BgpSet = "externalpeerset"
	SetPeers     BgpSet = "allpeerset" // every address, and thereby every peer; our own paths come from none
)

// BgpMember is one element of a defined set. A set costs what changes in it.
type BgpMember struct {
	Set      BgpSet
	Net      netip.Prefix // a peer's address has its full length
	Min, Max uint8        // the lengths of matching prefixes; of a peer its own
}

// Key is the whole member.
func (r BgpMember) Key() BgpKey {
	return BgpKey{Kind: BgpKindMember, Set: r.Set, Net: r.Net, Min: r.Min, Max: r.Max}
}

// String prints the member in the words of `gobgp policy prefix add`.
func (r BgpMember) String() string {
	s := fmt.Sprintf("defined-set %s %s", r.Set, r.Net)
	if int(r.Min) != r.Net.Bits() || int(r.Max) != r.Net.Bits() {
		s += fmt.Sprintf(" %d..%d", r.Min, r.Max)
	}
	return s
}

// BgpPolicy is what is announced or learned at all: the first statement that matches decides, else Accept.
type BgpPolicy struct {
	Import     bool
	Statements [MaxStatements]BgpStatement // the first Count of them
	Count      uint8
	Accept     bool
}

// Key is the direction.
func (r BgpPolicy) Key() BgpKey { return BgpKey{Kind: BgpKindPolicy, Import: r.Import} }

// List are the statements in order.
func (r BgpPolicy) List() []BgpStatement { return r.Statements[:r.Count] }

func (r BgpPolicy) name() string {
	if r.Import {
		return "policy import"
	}
	return "policy export"
}

// String prints the policy with its statements.
func (r BgpPolicy) String() string {
	parts := []string{r.name()}
	for _, s := range r.List() {
		parts = append(parts, s.String()+";")
	}
	last := "default reject"
	if r.Accept {
		last = "default accept"
	}
	return strings.Join(append(parts, last), " ")
}

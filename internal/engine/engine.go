// Package engine says what an engine of Services is: a value of pure functions that gives the rows of one frontend, of one
// address and of what stands without any Service. Each engine is a package below; the wiring has the list of them.
//
// An engine keeps nothing and decides nothing about Services: which endpoints answer is plan's, what a front or an address
// means for its tables is here. What plan must know of an engine is in model.Abilities.
package engine

import (
	"net/netip"

	"kube-router/internal/intent"
	"kube-router/internal/model"
	"kube-router/internal/render/ipvs"
	"kube-router/internal/render/nft"
	"kube-router/internal/row"
)

// Engine carries Services.
type Engine interface {
	// Name is what --service-proxy-engine calls it.
	Name() model.Engine
	// Base is what stands without any Service.
	Base(Node) Rows
	// Front is one frontend in its place. It depends on no other frontend, but for the marks.
	Front(*intent.Service, Place) Rows
	// Remarks tells what it can't do for a frontend, or does in another way.
	Remarks(*intent.Service) []string
	// Facility is what it works with: for the choice of an engine, handing over to another, the doctor and metrics.
	Facility() Facility
}

// Facility is what an engine works with, and what of this node is its own.
type Facility struct {
	// What the kernel must have beside what everything needs, by the name that people know: "IPVS". Empty: nothing.
	What string
	// Module brings it; nothing else loads it.
	Module string
	// Probes are what the doctor looks for, the facility itself first.
	Probes []Probe

	// PerPacket tells that it forwards every packet of a connection, and not only the first: after another engine has taken over,
	// what it made stays until its last connection has ended.
	PerPacket bool
	// Nft, Linux and Sysctl tell rows of shared tables that are there for its sake. Nil: none are.
	Nft    func(row.NftKey) bool
	Linux  func(row.Linux) bool
	Sysctl func(row.Sysctl) bool

	// Counts tells frontends whose traffic it counts itself. Nil: connection tracking counts all.
	Counts func(*intent.Service) bool
}

// Probe is one thing that an engine needs of the kernel.
type Probe struct {
	Name   string // as package probe calls it
	Module string // that brings it
	Why    string // what it is for; empty: the engine as a whole
}

// Addressed is an engine to which packets must be brought: it also says so for each address, from all the frontends there.
type Addressed interface {
	Engine
	// Served is a frontend with what is impossible in its place left out.
	Served(*intent.Service, Place) *intent.Service
	// Marked are the sides of the frontends at one address whose packets must be told apart by a firewall mark.
	Marked([]*intent.Service, Place) []Owner
	// Address is what brings packets of one address here, given all frontends there.
	Address([]*intent.Service, Place) Rows
}

// Owner is what has a firewall mark: one side of a frontend.
type Owner = ipvs.MarkOwner

// Node is what an engine's base depends on of this node.
type Node struct {
	Services *model.ServiceSettings
	Params   nft.ServiceParams
	MTU      int      // of the links of pods; 0: unknown
	Uplinks  []string // links with an address of the node's own
}

// Place is what an address is to this node.
type Place struct {
	Own       bool // it is an address of this node's own, which stays as it is
	Elsewhere bool // it is another node's own: only packets to frontends may be taken, all others must go on to it
	Self      netip.Addr
	Bridge    bool // pods are connected by our bridge
	Mark      func(Owner) uint32
}

// Rows are what an engine wants of each table that engines write.
type Rows struct {
	Ipvs   []row.Ipvs
	Pods   []row.PodVIP
	Nft    []row.Nft
	Linux  []row.Linux
	Sysctl []row.Sysctl
}

// Of finds the engine of a name in a list; the last one for a name that none has.
func Of(list []Engine, name model.Engine) Engine {
	for _, e := range list {
		if e.Name() == name {
			return e
		}
	}
	return list[len(list)-1]
}

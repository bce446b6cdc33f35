package model

import (
	"cmp"
	"net/netip"
	"strings"
	"time"
)

// EgressGateway is an EgressGateway (kube-router.io/v1alpha1) with its defaults applied: pods that leave the cluster from
// addresses of their own, through nodes that are chosen for it.
type EgressGateway struct {
	Name       string
	UID        string
	Generation int64
	Created    time.Time      // of two that select one pod, or name one address, the older has it
	Namespaces Selector       // whose pods are selected
	Pods       Selector       // which of them
	Nodes      Selector       // that may be the gateway
	Addresses  []AddrRange    // to leave from, disjoint
	Pool       string         // the AddressPool to leave from instead; empty: Addresses
	Except     []netip.Prefix // destinations that are reached as without the gateway
	Remarks    []Remark
}

// Ref names the EgressGateway.
func (g *EgressGateway) Ref() Ref { return Ref{KindEgress, Name{Name: g.Name}} }

// Older orders gateways by who was there first: by Created, then by name.
func (g *EgressGateway) Older(o *EgressGateway) int {
	return cmp.Or(g.Created.Compare(o.Created), strings.Compare(g.Name, o.Name))
}

package intent

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Outlet is a BGPAdvertisement on this node: to whom its prefixes go, and what is added to them.
type Outlet struct {
	Name        string
	Created     time.Time
	To          []Receiver // sorted by address
	Communities []uint32
	Large       [][3]uint32
	LocalPref   uint32  // of those of our own AS; 0: none
	MED         *uint32 // nil: as the exchange has it
}

// Receiver is a router to which is advertised.
type Receiver struct {
	Addr   netip.Addr
	Inside bool // it is of our own AS
}

// String prints one line.
func (o *Outlet) String() string {
	var to []string
	for _, r := range o.To {
		to = append(to, r.Addr.String())
	}
	s := "advertisement " + o.Name + " to " + strings.Join(to, " ")
	if len(o.Communities) > 0 {
		s += fmt.Sprintf(" communities %d", o.Communities)
	}
	if len(o.Large) > 0 {
		s += fmt.Sprintf(" large %d", o.Large)
	}
	if o.LocalPref > 0 {
		s += fmt.Sprintf(" local-pref %d", o.LocalPref)
	}
	if o.MED != nil {
		s += fmt.Sprintf(" med %d", *o.MED)
	}
	return s
}

// Withheld is a prefix that isn't advertised to a router though it is to others.
type Withheld struct {
	Peer   netip.Addr
	Prefix netip.Prefix
}

// String prints "withheld 10.0.0.1/32 from 192.0.2.1".
func (w *Withheld) String() string { return fmt.Sprintf("withheld %s from %s", w.Prefix, w.Peer) }

// TaughtRule is one rule of what is taken of a router; the first that matches decides.
type TaughtRule struct {
	Accept    bool
	Prefixes  []PrefixMatch // empty: any
	How       string        // of ASN: contains, originates, neighbor; empty: any route
	ASN       uint32
	Community uint32    // 0: any
	Large     [3]uint32 // zero: any
}

// PrefixMatch is the prefixes within a range whose length is from Min to Max bits.
type PrefixMatch struct {
	Prefix   netip.Prefix
	Min, Max uint8
}

// String prints "10.0.0.0/8 16..24".
func (p PrefixMatch) String() string {
	if int(p.Min) == p.Prefix.Bits() && p.Min == p.Max {
		return p.Prefix.String()
	}
	return fmt.Sprintf("%s %d..%d", p.Prefix, p.Min, p.Max)
}

// String prints "reject [10.0.0.0/8] originates 65000".
func (r TaughtRule) String() string {
	s := "reject"
	if r.Accept {
		s = "accept"
	}
	if len(r.Prefixes) > 0 {
		s += fmt.Sprintf(" %v", r.Prefixes)
	}
	if r.How != "" {
		s += fmt.Sprintf(" %s %d", r.How, r.ASN)
	}
	if r.Community != 0 {
		s += fmt.Sprintf(" community %d:%d", r.Community>>16, r.Community&0xffff)
	}
	if r.Large != [3]uint32{} {
		s += fmt.Sprintf(" community %d:%d:%d", r.Large[0], r.Large[1], r.Large[2])
	}
	return s
}

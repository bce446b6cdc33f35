package podlink

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
)

// Conf is what the plugins say whose work ours does: the bridge with host-local, and portmap and bandwidth if they are in the list.
type Conf struct {
	Bridge    string
	MTU       int // of the pod's interface; 0: the bridge's
	Hairpin   bool
	Force     bool  // another address of the bridge gives way to the gateway's
	Sets      []Set // each gives one address
	Routes    []Route
	DataDir   string          // of the leases
	Portmap   json.RawMessage // the entry of portmap; nil: no host ports
	Bandwidth bool            // pods' bandwidth may be limited
}

// Set are ranges of which one gives an address.
type Set []Range

// Range is part of a subnet, as host-local has it.
type Range struct {
	Subnet  netip.Prefix // in network form
	First   netip.Addr   // inclusive
	Last    netip.Addr   // inclusive
	Gateway netip.Addr
}

// Route is a route of every pod beside the default one.
type Route struct {
	To  netip.Prefix
	Via netip.Addr // zero: the gateway
}

// bridgeEntry is all that an entry of the bridge plugin may say here. With another field it asks for something that ours can't do.
type bridgeEntry struct {
	Type         string    `json:"type"`
	Bridge       string    `json:"bridge"`
	IsGateway    bool      `json:"isGateway"`
	Default      bool      `json:"isDefaultGateway"`
	ForceAddress bool      `json:"forceAddress"`
	Hairpin      bool      `json:"hairpinMode"`
	MTU          int       `json:"mtu"`
	IPMasq       bool      `json:"ipMasq"`
	IPAM         ipamEntry `json:"ipam"`
}

type ipamEntry struct {
	Type    string         `json:"type"`
	DataDir string         `json:"dataDir"`
	Ranges  [][]rangeEntry `json:"ranges"`
	Routes  []struct {
		Dst netip.Prefix `json:"dst"`
		GW  netip.Addr   `json:"gw"`
	} `json:"routes"`
}

type rangeEntry struct {
	Subnet     netip.Prefix `json:"subnet"`
	RangeStart netip.Addr   `json:"rangeStart"`
	RangeEnd   netip.Addr   `json:"rangeEnd"`
	Gateway    netip.Addr   `json:"gateway"`
}

// Parse reads the entries of the plugins whose work ours does. An error says what ours can't do.
func Parse(entries []json.RawMessage) (c Conf, err error) {
	bridged := false
	for _, text := range entries {
		var e struct {
			Type string `json:"type"`
		}
		if err := json.Unmarshal(text, &e); err != nil {
			return c, err
		}
		switch e.Type {
		case "bridge":
			bridged = true
			err = c.bridge(text)
		case "portmap":
			c.Portmap = text
		case "bandwidth":
			c.Bandwidth = true
		default:
			err = fmt.Errorf("plugin %q does something that kube-router-cni can't do in its place", e.Type)
		}
		if err != nil {
			return c, err
		}
	}
	if !bridged {
		return c, errors.New("no bridge plugin in whose place kube-router-cni could connect pods")
	}
	return c, nil
}

func (c *Conf) bridge(text []byte) error {
	e := bridgeEntry{Bridge: "cni0"} // the bridge plugin's own default
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	err := dec.Decode(&e)
	switch {
	case err != nil:
		return fmt.Errorf("the bridge plugin's entry asks for what kube-router-cni can't do: %w", err)
	case e.IPAM.Type != "host-local":
		return fmt.Errorf("the bridge plugin takes addresses from %q, kube-router-cni from host-local's store alone", e.IPAM.Type)
	case !e.Default:
		return errors.New("without isDefaultGateway pods have no way out, and kube-router-cni gives them one always")
	case e.IPMasq:
		return errors.New("ipMasq is what --enable-pod-egress does, kube-router-cni doesn't")
	}
	c.Bridge, c.MTU, c.Hairpin, c.Force, c.DataDir = e.Bridge, e.MTU, e.Hairpin, e.ForceAddress, e.IPAM.DataDir
	for _, r := range e.IPAM.Routes {
		c.Routes = append(c.Routes, Route{r.Dst, r.GW})
	}
	for _, list := range e.IPAM.Ranges {
		var set Set
		for _, r := range list {
			full, err := r.full()
			if err != nil {
				return err
			}
			set = append(set, full)
		}
		if len(set) > 0 {
			c.Sets = append(c.Sets, set)
		}
	}
	return nil
}

// full fills in what a range leaves out, as host-local does: all but the network's own address and IPv4's broadcast; the first is the gateway's.
func (e rangeEntry) full() (Range, error) {
	p := e.Subnet.Masked()
	if !p.IsValid() || p.Bits() > p.Addr().BitLen()-2 {
		return Range{}, fmt.Errorf("range %s is too small to give addresses", e.Subnet)
	}
	r := Range{Subnet: p, First: e.RangeStart, Last: e.RangeEnd, Gateway: e.Gateway}
	if !r.First.IsValid() {
		r.First = p.Addr().Next()
	}
	if !r.Last.IsValid() {
		r.Last = last(p)
	}
	if !r.Gateway.IsValid() {
		r.Gateway = p.Addr().Next()
	}
	if !p.Contains(r.First) || !p.Contains(r.Last) || r.Last.Less(r.First) {
		return Range{}, fmt.Errorf("range %s to %s is not in %s", r.First, r.Last, p)
	}
	return r, nil
}

// last is the last address of a subnet that a pod may have.
func last(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	a, _ := netip.AddrFromSlice(b)
	if a.Is4() {
		a = a.Prev()
	}
	return a
}

// holds tells whether a range may give an address.
func (r Range) holds(a netip.Addr) bool {
	return r.Subnet.Contains(a) && !a.Less(r.First) && !r.Last.Less(a) && a != r.Gateway
}

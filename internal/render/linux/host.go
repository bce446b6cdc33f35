package linux

import (
	"slices"

	"kube-router/internal/intent"
	"kube-router/internal/row"
)

// Links renders the bridge that pods hang on. Its address is given by the CNI bridge plugin (isGateway), which
// refuses a bridge whose IPv4 address it didn't expect; the link is ours so that it stands, with its MTU, before
// the first pod.
func Links(h *intent.Host) []row.Linux {
	if !h.Bridge {
		return nil
	}
	return []row.Linux{row.Link{Name: row.BridgeName, Kind: row.LinkBridge, MTU: h.MTU}}
}

// Sysctls renders the kernel settings. Those of the bridge fail until the bridge is there and are tried again.
func Sysctls(h *intent.Host) []row.Sysctl {
	var rows []row.Sysctl
	if h.V4 {
		rows = append(rows, row.Sysctl{Name: "net/ipv4/ip_forward", Value: "1"})
		for _, dev := range append(links(h), "all") {
			rows = append(rows, looseFilter(dev))
		}
	}
	if h.V6 {
		rows = append(rows, forward6(h)...)
	}
	rows = append(rows, solicit(h)...)
	if h.Bridged {
		rows = append(rows, bridged(h)...)
	}
	if h.Proxy {
		rows = append(rows, halfClosed())
	}
	return rows
}

// halfClosed keeps the translation of a connection whose server has closed its half for an hour, as kube-proxy
// does (kubernetes/kubernetes issue 32551). After the kernel's one minute a client that is still sending would
// suddenly talk to the Service's own address. The setting comes with the first rule that tracks connections.
func halfClosed() row.Sysctl {
	return row.Sysctl{Name: "net/netfilter/nf_conntrack_tcp_timeout_close_wait", Value: "3600"}
}

// looseFilter relaxes strict reverse path filtering (RFC 3704): with tunnels and several uplinks the way
// back need not be the way in. Where an operator has it off it stays off.
func looseFilter(dev string) row.Sysctl {
	return row.Sysctl{Name: "net/ipv4/conf/" + dev + "/rp_filter", Value: "2", OnlyFrom: "1"}
}

// solicit lets the node ask for a pod's Ethernet address three times in 0.3 s and not in 3: who is asked is on this
// machine. Then an address that no pod has is unreachable, and whoever sent to it is told. In pods the CNI plugin does the same.
func solicit(h *intent.Host) []row.Sysctl {
	if !h.Bridge {
		return nil
	}
	var rows []row.Sysctl
	if h.V4 {
		rows = append(rows, row.Sysctl{Name: "net/ipv4/neigh/" + row.BridgeName + "/retrans_time_ms", Value: row.SolicitMS})
	}
	if h.V6 {
		rows = append(rows, row.Sysctl{Name: "net/ipv6/neigh/" + row.BridgeName + "/retrans_time_ms", Value: row.SolicitMS})
	}
	return rows
}

// links are the links whose settings matter.
func links(h *intent.Host) []string {
	list := slices.Clone(h.Uplinks)
	if h.Bridge {
		list = append(list, row.BridgeName)
	}
	return list
}

// forward6 renders IPv6 forwarding. A forwarding node ignores router advertisements unless accept_ra is 2, so an
// uplink that relies on them (1) gets 2. The bridge never listens to pods' advertisements (CVE-2020-10749), and keeps
// the address that the CNI plugin gave it when somebody sets it down and we set it up again (Linux 4.6).
func forward6(h *intent.Host) []row.Sysctl {
	rows := []row.Sysctl{{Name: "net/ipv6/conf/all/forwarding", Value: "1"}}
	if h.Bridge {
		conf := "net/ipv6/conf/" + row.BridgeName
		rows = append(rows, row.Sysctl{Name: conf + "/accept_ra", Value: "0"}, row.Sysctl{Name: conf + "/keep_addr_on_down", Value: "1"})
	}
	for _, dev := range h.Uplinks {
		rows = append(rows, row.Sysctl{Name: "net/ipv6/conf/" + dev + "/accept_ra", Value: "2", OnlyFrom: "1"})
	}
	return rows
}

// bridged sends frames between pods of one node through the firewall. The settings exist only with the
// br_netfilter module; without it those frames are seen by nobody. IPv6 is among them though it may be off here:
// pods have link-local addresses all the same. So are tagged frames, because the receiver takes one with VLAN 0
// for untagged.
func bridged(h *intent.Host) []row.Sysctl {
	var rows []row.Sysctl
	for _, name := range []string{"call-iptables", "call-ip6tables", "filter-vlan-tagged"} {
		rows = append(rows, row.Sysctl{Name: "net/bridge/bridge-nf-" + name, Value: "1", Optional: true})
	}
	return rows
}

// Conflists renders our part of the CNI file.
func Conflists(h *intent.Host) []row.Conflist {
	if h.CNI == nil {
		return nil
	}
	c := row.Conflist{Path: h.CNI.File, MTU: h.CNI.MTU, Socket: h.CNI.Socket, Own: h.CNI.Own}
	for _, p := range h.CNI.Ranges {
		if p.Addr().Is4() {
			c.Ranges[0] = p
		} else {
			c.Ranges[1] = p
		}
	}
	return []row.Conflist{c}
}

// Accounting makes connection tracking count packets and bytes, which metrics of Services' traffic are made of where
// IPVS does not count.
func Accounting() row.Sysctl {
	return row.Sysctl{Name: "net/netfilter/nf_conntrack_acct", Value: "1", Optional: true}
}

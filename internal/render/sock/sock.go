// Package sock is the verb between Services and what happens at a socket: eBPF programs on the cgroup turn connect() to a frontend
// into connect() to one of its endpoints. It is pure. The service engine holds every frontend beside it, so that what can't be served
// here exactly as the engine does is left out, and served by the engine.
package sock

import (
	"net/netip"

	"kube-router/internal/intent"
	"kube-router/internal/row"
)

const tcp = 6

// Why tells why a frontend is not served at the socket; "": it is. At connect() a client has no address yet, and nobody hears
// when a datagram socket should forget its endpoint.
func Why(s *intent.Service) string {
	switch {
	case s.Protocol != tcp:
		return intent.ProtocolName(s.Protocol) + " keeps to packets"
	case s.Silent:
		return "drops clients: no endpoint on this node"
	case len(s.Backends) == 0:
		return "no endpoints"
	case s.Affinity > 0:
		return "session affinity"
	case len(s.Sources) > 0:
		return "source ranges"
	case s.Masquerade:
		return "--masquerade-all"
	case s.Scheduler != "":
		return "scheduler " + string(s.Scheduler)
	case s.DSR:
		return "direct server return"
	}
	return ""
}

// Service renders a frontend: its head, and a slot for each backend. Sockets are inside the cluster, so clients outside don't count.
func Service(s *intent.Service) []row.Bpf {
	if Why(s) != "" {
		return nil
	}
	front := netip.AddrPortFrom(s.Addr, s.Port)
	rows := make([]row.Bpf, 0, len(s.Backends)+1)
	rows = append(rows, row.BpfHead(front, s.Protocol, len(s.Backends)))
	for i, b := range s.Backends {
		rows = append(rows, row.BpfSlot(front, s.Protocol, i, netip.AddrPortFrom(b.Addr, b.Port)))
	}
	return rows
}

// Space renders a network namespace whose sockets are served.
func Space(s intent.SocketSpace) row.Bpf {
	if s.Pod == "" {
		return row.BpfSpace(s.Cookie, row.BpfHost)
	}
	return row.BpfSpace(s.Cookie, row.BpfPod)
}

// Programs renders what is attached to the cgroup: for each hook the program with the tag that this build has for it.
func Programs(cgroup string, tags map[row.BpfHook]string) []row.Bpf {
	var rows []row.Bpf
	for hook := row.BpfConnect4; hook <= row.BpfHookMost; hook++ {
		if tag, ok := tags[hook]; ok {
			rows = append(rows, row.BpfProgram{Hook: hook, Target: cgroup, Tag: tag})
		}
	}
	return rows
}

package doctor

import (
	"fmt"

	"kube-router/internal/driver/bpf"
	"kube-router/internal/model"
)

// socketFacts are what was tried for Services at the socket.
type socketFacts struct {
	at    string // the cgroup2 hierarchy
	err   error  // why no program can be loaded and attached there
	whole bool   // it is the root of the hierarchy
}

// lookSocket loads and attaches the programs for a moment, if the settings ask for them.
func lookSocket(s *model.Settings) (f socketFacts) {
	if !asksSocket(s) {
		return f
	}
	if f.at, f.err = bpf.Hierarchy(s.Socket.CgroupRoot); f.err == nil {
		f.whole = bpf.Whole(f.at)
		f.err = bpf.Try(bpf.Options{Root: s.Socket.BPFRoot, Cgroup: f.at})
	}
	return f
}

func asksSocket(s *model.Settings) bool {
	return s.Proxy && s.Socket.Mode != model.SocketOff && s.Socket.Mode != ""
}

// checkSocket judges whether connect() can be served. Packets get there without, so that nothing of it is bad.
func checkSocket(p *patient) []finding {
	const check = "Services at the socket"
	mode := p.s.Socket.Mode
	switch f := p.atSocket; {
	case !asksSocket(p.s):
		return nil
	case f.err != nil && mode == model.SocketAuto:
		return []finding{{fine, check, fmt.Sprintf("not here (%v); packets are translated", f.err), ""}}
	case f.err != nil:
		return []finding{{warn, check, fmt.Sprintf("--socket-lb=%s does nothing, packets are translated: %v", mode, f.err),
			"capability BPF beside NET_ADMIN, the host's /sys/fs/cgroup and /sys/fs/bpf mounted, Linux 5.14; or --socket-lb=off"}}
	case !f.whole:
		return []finding{{warn, check, fmt.Sprintf("--cgroup-root %s is not the root of the hierarchy: processes beside it are not served, and nothing fails", f.at),
			"mount the host's /sys/fs/cgroup into the container (hostPath)"}}
	default:
		return []finding{{fine, check, "programs were loaded and attached to " + f.at + " for a moment", ""}}
	}
}

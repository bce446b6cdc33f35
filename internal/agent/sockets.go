package agent

import (
	"strconv"

	"kube-router/internal/config"
	"kube-router/internal/driver/bpf"
	"kube-router/internal/intent"
	"kube-router/internal/row"
	"kube-router/internal/show"
	"kube-router/internal/view"
)

// socketTarget finds out whether this node can serve Services at the socket, if that is asked for, and where.
func socketTarget(o *config.Options) row.Target[row.BpfKey, row.Bpf] {
	s := &o.Settings.Socket
	hierarchy, err := bpf.Hierarchy(s.CgroupRoot)
	at := bpf.Options{Root: s.BPFRoot, Cgroup: hierarchy}
	if o.Settings.AtSocket() {
		if err == nil {
			s.CgroupRoot = hierarchy
			err = bpf.Try(at)
		}
		if err == nil {
			s.Cookie, err = bpf.Cookie()
		}
		if err != nil {
			s.Unable = err.Error()
		}
	}
	return bpf.New(at)
}

// connects are how often somebody connected to each frontend that is served at the socket.
func (a *agent) connects() (map[intent.Front]view.Connects, error) {
	counts := map[intent.Front]view.Connects{}
	counter, ok := a.targets.Bpf.(interface {
		Counts() (map[row.FlowsKey]bpf.Count, error)
	})
	if !ok || !a.o.Settings.AtSocket() {
		return counts, nil
	}
	all, err := counter.Counts()
	for f, n := range all {
		counts[intent.Front{Addr: f.Addr, Port: f.Port, Protocol: f.Protocol}] = view.Connects(n)
	}
	return counts, err
}

// socketSamples are how often each frontend was served at the socket, and how often a frontend that could be wasn't. Their number is
// bounded by that of frontends that somebody connected to.
func (a *agent) socketSamples() []show.Sample {
	all, err := a.connects()
	if err != nil {
		a.log.Debug("connects at the socket can't be read", "error", err)
		return nil
	}
	var list []show.Sample
	for f, n := range all {
		s, ok := a.network.Services.Intents.Want(f)
		if !ok {
			continue
		}
		labels := []string{
			"svc_namespace", s.Owner.Namespace, "service_name", s.Owner.Name, "service_vip", s.Addr.String(),
			"protocol", intent.ProtocolName(s.Protocol), "port", strconv.Itoa(int(s.Port)),
		}
		list = append(list,
			show.Sample{Name: "socket_lb_connects_total", Help: "connect() to a Service that became one to an endpoint", Value: float64(n.Served), Counter: true, Labels: labels},
			show.Sample{Name: "socket_lb_fallthrough_total", Help: "connect() to such a Service that was left to packets: of other network namespaces, or when an endpoint had just gone",
				Value: float64(n.Fell), Counter: true, Labels: labels})
	}
	return list
}

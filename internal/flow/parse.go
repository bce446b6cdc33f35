package flow

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Read is the flow that a record tells of, as far as a record does: what filters and a merge go by.
func (r *Record) Read() (Flow, error) {
	f := Flow{Time: r.Time, Source: &Owner{}, Dest: &Owner{}}
	if r.Lost != nil {
		f.Lost, f.Loss = r.Lost.Number, Source(max(slices.Index(lossNames(), r.Lost.Source), 0))
		return f, nil
	}
	b, own := r.Flow, r.Own
	if b == nil || own == nil {
		return f, fmt.Errorf("a record of %s without a flow", r.NodeName)
	}
	var err error
	addr := func(text string) netip.Addr {
		a, bad := netip.ParseAddr(text)
		if bad != nil {
			err = fmt.Errorf("a flow of %s: %w", r.NodeName, bad)
		}
		return a
	}
	at := func(text string) (p netip.AddrPort) {
		if text != "" {
			var bad error
			if p, bad = netip.ParseAddrPort(text); bad != nil {
				err = fmt.Errorf("a flow of %s: %w", r.NodeName, bad)
			}
		}
		return p
	}
	var from, to uint16
	f.Protocol, from, to = b.L4.numbers()
	f.Src, f.Dst = netip.AddrPortFrom(addr(b.IP.Source), from), netip.AddrPortFrom(addr(b.IP.Destination), to)
	f.Front, f.Seen = at(own.Frontend), at(own.Seen)
	f.Source, f.Dest = b.Source.owner(own.SourceNode), b.Destination.owner(own.DestNode)
	f.Direction = Direction(max(slices.Index(directionNames(), b.Direction), 0))
	f.Reason = reasonOf(own.Reason, b.Verdict)
	f.In, f.Out = Count{own.PacketsIn, own.BytesIn}, Count{own.PacketsOut, own.BytesOut}
	if own.Ended != nil {
		f.Ended = *own.Ended
	}
	if b.Service != nil {
		f.Service = &Service{b.Service.Namespace, b.Service.Name, own.Port}
	}
	return f, err
}

// reasonOf is the reason of these words.
func reasonOf(text, verdict string) Reason {
	if verdict == Forwarded {
		return Passed
	}
	for i, w := range words() {
		if i != int(Passed) && w.text == text {
			return Reason(i)
		}
	}
	return Other
}

func (l *L4) numbers() (protocol uint8, from, to uint16) {
	switch {
	case l == nil:
		return 0, 0, 0
	case l.TCP != nil:
		return 6, l.TCP.Source, l.TCP.Destination
	case l.UDP != nil:
		return 17, l.UDP.Source, l.UDP.Destination
	case l.SCTP != nil:
		return 132, l.SCTP.Source, l.SCTP.Destination
	case l.ICMPv4 != nil:
		return 1, 0, 0
	case l.ICMPv6 != nil:
		return 58, 0, 0
	}
	return 0, 0, 0
}

func (e *End) owner(node string) *Owner {
	o := &Owner{Namespace: e.Namespace, Pod: e.Pod, Node: node, Here: e.Identity == 1}
	for _, l := range e.Labels {
		if key, value, ok := strings.Cut(strings.TrimPrefix(l, "k8s:"), "="); ok {
			if o.Labels == nil {
				o.Labels = map[string]string{}
			}
			o.Labels[key] = value
		}
	}
	if len(e.Workloads) > 0 {
		o.Workload, o.Kind = e.Workloads[0].Name, e.Workloads[0].Kind
	}
	return o
}

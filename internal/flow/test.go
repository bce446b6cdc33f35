package flow

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// newTest makes the test of a key's value.
func newTest(key, value string) (test, error) {
	switch key {
	case "verdict":
		return verdictTest(value)
	case "reason":
		return ofDropped(func(f *Flow) bool {
			return f.Reason != Passed && (strings.Contains(f.Reason.String(), value) || strings.EqualFold(words()[f.Reason].hubble, value))
		}), nil
	case "protocol":
		return protocolTest(value)
	case "traffic-direction":
		d := map[string]Direction{"ingress": Ingress, "egress": Egress}[strings.ToLower(value)]
		if d == Through {
			return nil, fmt.Errorf("neither ingress nor egress")
		}
		return func(f *Flow, part bool) bool { return part || f.Direction == d }, nil
	case "id":
		return func(f *Flow, _ bool) bool { return f.is(value) }, nil
	case "to-service":
		namespace, name, ok := strings.Cut(value, "/")
		if !ok {
			namespace, name = "", value
		}
		return func(f *Flow, part bool) bool {
			return part && f.behind() || f.Service != nil && f.Service.Name == name && (namespace == "" || f.Service.Namespace == namespace)
		}, nil
	}
	base, from, to := key, true, true
	if rest, ok := strings.CutPrefix(key, "from-"); ok {
		base, to = rest, false
	} else if rest, ok := strings.CutPrefix(key, "to-"); ok {
		base, from = rest, false
	}
	return endTest(base, value, from, to)
}

// behind tells whether another node may have translated what came here: its frontend and its client are not to be seen then.
func (f *Flow) behind() bool { return f.Dest.Here && !f.Front.IsValid() && !f.Source.Here }

// unanswered tells whether a flow that passed here may have ended on another node: what is refused there is answered by one reset at most.
func (f *Flow) unanswered() bool {
	return f.Reason == Passed && !f.Dest.Here && (f.Ended.IsZero() || f.In.Packets == 0 || f.Protocol == 6 && f.In.Packets == 1)
}

func ofDropped(is func(*Flow) bool) test {
	return func(f *Flow, part bool) bool { return is(f) || part && f.unanswered() }
}

func verdictTest(value string) (test, error) {
	switch v := strings.ToUpper(value); v {
	case Forwarded:
		return func(f *Flow, part bool) bool { return part || f.Verdict() == v }, nil
	case Dropped:
		return ofDropped(func(f *Flow) bool { return f.Verdict() == v }), nil
	case "REFUSED":
		return ofDropped(func(f *Flow) bool { return f.Reason != Passed && !f.Reason.Silent() }), nil
	}
	return nil, fmt.Errorf("none of FORWARDED, DROPPED, REFUSED")
}

func protocolTest(value string) (test, error) {
	numbers := map[string][]uint8{"tcp": {6}, "udp": {17}, "sctp": {132}, "icmp": {1, 58}, "icmpv4": {1}, "icmpv6": {58}}[strings.ToLower(value)]
	if numbers == nil {
		return nil, fmt.Errorf("none of tcp, udp, sctp, icmp, icmpv4, icmpv6")
	}
	return func(f *Flow, _ bool) bool { return slices.Contains(numbers, f.Protocol) }, nil
}

// endTest judges one end or both. All nodes know the server alike; the client that a later node sees may be an earlier node.
func endTest(base, value string, from, to bool) (test, error) {
	either := func(has func(*Owner) bool) (test, error) {
		return func(f *Flow, part bool) bool {
			return from && (has(f.Source) || part && f.behind() && f.Source.Pod == "") || to && has(f.Dest)
		}, nil
	}
	switch base {
	case "pod":
		namespace, name, ok := strings.Cut(value, "/")
		if !ok {
			namespace, name = "default", value
		}
		return either(func(o *Owner) bool { return o.Pod != "" && o.Namespace == namespace && strings.HasPrefix(o.Pod, name) })
	case "namespace":
		return either(func(o *Owner) bool { return o.Pod != "" && o.Namespace == value })
	case "label":
		key, want, exact := strings.Cut(value, "=")
		return either(func(o *Owner) bool {
			have, ok := o.Labels[key]
			return ok && (!exact || have == want)
		})
	case "workload":
		return either(func(o *Owner) bool { return o.Workload == value })
	case "port":
		n, err := strconv.ParseUint(value, 10, 16)
		if err != nil {
			return nil, fmt.Errorf("not a port")
		}
		port := uint16(n)
		return func(f *Flow, part bool) bool {
			return from && f.Src.Port() == port || to && (f.Dst.Port() == port || f.Front.IsValid() && f.Front.Port() == port) || part && f.behind()
		}, nil
	}
	p, err := netip.ParsePrefix(value)
	if a, failed := netip.ParseAddr(value); failed == nil {
		p, err = netip.PrefixFrom(a, a.BitLen()), nil
	}
	if err != nil {
		return nil, fmt.Errorf("neither an address nor a range")
	}
	return func(f *Flow, part bool) bool {
		return from && p.Contains(f.Src.Addr()) || to && (p.Contains(f.Dst.Addr()) || f.Front.IsValid() && p.Contains(f.Front.Addr())) || part && f.behind()
	}, nil
}

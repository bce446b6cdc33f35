package view

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"kube-router/internal/intent"
	"kube-router/internal/model"
	"kube-router/internal/plan/policy"
	"kube-router/internal/reconcile"
	"kube-router/internal/row"
	"kube-router/internal/show"
)

// why answers for one address or Service why it is served so, and for two ends and a port whether policies
// let the one talk to the other.
func (d *Daemon) why(ctx context.Context, args []string) (show.Page, error) {
	switch len(args) {
	case 1:
		return d.whyService(ctx, args[0])
	case 2:
		return d.whyLeaving(ctx, args[0], args[1])
	case 3:
		return d.whyFlow(ctx, args[0], args[1], args[2])
	}
	return show.Page{}, errors.New("ask: why ADDRESS[:PORT[/PROTOCOL]], why SERVICE, why POD, why POD DESTINATION, or why FROM TO PORT/PROTOCOL")
}

func names(owners []reconcile.Owner) string {
	var list []string
	for _, o := range owners {
		list = append(list, o.Name)
	}
	if len(list) > 1 {
		return list[0] + ", which wins over " + strings.Join(list[1:], ", ")
	}
	return strings.Join(list, "")
}

// frontMatches takes "10.96.0.1", "10.96.0.1:443", "10.96.0.1:443/tcp", "default/web" and "web".
func frontMatches(s *intent.Service, what string) bool {
	if s.Front.String() == what || s.Owner.String() == what || s.Owner.Name == what {
		return true
	}
	if at, err := netip.ParseAddrPort(what); err == nil {
		return at.Addr() == s.Addr && at.Port() == s.Port
	}
	addr, err := netip.ParseAddr(what)
	return err == nil && addr == s.Addr
}

// asked are the flows that a question is about, and what is to be said before them: of the Service whose endpoints they go to, and of
// addresses where nobody answers.
type asked struct {
	flows    []policy.Flow
	through  [][]string
	unserved []flowAnswer
}

// flowAnswer is what why says of one flow, for programs.
type flowAnswer struct {
	Flow            string // 10.244.1.2 → 10.244.2.2:80
	Verdict         string // allowed, denied, no route, no route back; at a Service's address refused or dropped
	Why             string // of refused and dropped
	Model, Kernel   bool   // whether policies allow it, and this node's rules
	Egress, Ingress policy.End
	Rules           string
	Routes          []string
}

// line is the verdict for people.
func (a *flowAnswer) line(p model.Protocol) []string {
	text := a.Flow + "/" + p.String() + ": " + a.Verdict
	if a.Why != "" {
		text += ": " + a.Why
	}
	return []string{text}
}

func arrow(f policy.Flow) string {
	return fmt.Sprintf("%s → %s", f.From, netip.AddrPortFrom(f.To, uint16(f.Port)))
}

// flowsOf finds the flows of a question. A pod that is called as a Service is goes before the Service.
func (d *Daemon) flowsOf(w World, flow policy.Flow, from, to string, behind []netip.AddrPort, through [][]string) (a asked, err error) {
	_, isAddress := asAddress(to)
	if _, addrs := w.Policies.Pod(to); !isAddress && len(addrs) > 0 {
		a.flows, err = pairs(w.Policies, flow, from, to)
		return a, err
	}
	a.through, a.unserved = through, d.unserved(w, flow, from, to)
	switch {
	case a.unserved != nil && len(behind) == 0:
	case through == nil:
		a.flows, err = pairs(w.Policies, flow, from, to)
	default:
		a.flows, err = pairsBehind(w.Policies, flow, from, behind)
	}
	return a, err
}

// whyFlow judges a flow by the model and by the kernel's own table, for each pair of addresses of one family.
func (d *Daemon) whyFlow(ctx context.Context, from, to, port string) (show.Page, error) {
	flow, err := parsePort(port)
	if err != nil {
		return show.Page{}, err
	}
	var a asked
	var ends, rehearsed [][2]policy.End
	own := map[netip.Addr]bool{}
	var wires [][]string
	var wrong error
	behind, through := d.behind(flow, to)
	err = d.Think(ctx, func(w World) {
		m := w.Model
		if w.Policies == nil {
			wrong = errNoFirewall
			return
		}
		a, wrong = d.flowsOf(w, flow, from, to, behind, through)
		for _, f := range a.flows {
			egress, ingress := w.Policies.Judge(f)
			ends = append(ends, [2]policy.End{egress, ingress})
			egress, ingress = w.Policies.Rehearse(f)
			rehearsed = append(rehearsed, [2]policy.End{egress, ingress})
			if text := wireWhy(m, f.To); text != "" {
				wires = append(wires, []string{"  wire: " + text})
			}
			for _, x := range []netip.Addr{f.From, f.To} {
				own[x] = m.LinkWith(x) != nil || m.Self() != nil && (slices.Contains(m.Self().InternalIPs, x))
			}
		}
	})
	if err = errors.Join(wrong, err); err != nil {
		return show.Page{}, err
	}
	var before [][]string
	for i := range a.unserved {
		before = append(before, a.unserved[i].line(flow.Protocol))
	}
	before = append(before, a.through...)
	if a.unserved != nil && len(a.flows) == 0 {
		return show.Page{Rows: before, Data: a.unserved}, nil
	}
	kernel, err := d.kernelTracer(ctx)
	if err != nil {
		return show.Page{}, err
	}
	var routes []ways
	for i, f := range a.flows {
		routes = append(routes, d.waysOf(ctx, f, ends[i], own))
	}
	rows, data, err := flowRows(kernel, a.flows, ends, rehearsed, routes, own)
	return show.Page{Rows: slices.Concat(before, rows, d.namesWhy(a.flows), wires), Data: append(a.unserved, data...)}, err
}

// flowRows are the answers for flows, for people and for programs.
func flowRows(kernel *row.NftTracer, flows []policy.Flow, ends, rehearsed [][2]policy.End, routes []ways, own map[netip.Addr]bool) (rows [][]string, data []flowAnswer, err error) {
	for i, f := range flows {
		egress, ingress := ends[i][0], ends[i][1]
		allowed := egress.Allowed && ingress.Allowed
		here := (egress.Allowed || !egress.Here) && (ingress.Allowed || !ingress.Here)
		trail, err := traceFlow(kernel, f, own)
		if err != nil {
			return nil, nil, fmt.Errorf("the kernel's rules can't be followed: %w", err)
		}
		a := flowAnswer{
			Flow: arrow(f), Verdict: allowedOr(allowed), Model: allowed, Kernel: trail.Accepted(), Egress: egress, Ingress: ingress, Rules: trail.String(), Routes: routes[i].lines,
		}
		if allowed && routes[i].lacks != "" {
			a.Verdict = routes[i].lacks
		}
		data = append(data, a)
		rows = append(rows, a.line(f.Protocol), []string{"  " + egress.String() + elsewhere(egress)})
		for _, line := range a.Routes {
			rows = append(rows, []string{"  " + line})
		}
		rows = append(rows, []string{"  " + ingress.String() + elsewhere(ingress)})
		rows = append(rows, rehearsedWhy(ends[i], rehearsed[i])...)
		rules := strings.TrimSpace(trail.String())
		if rules == "" {
			rules = "no rule of this node is about it"
		}
		for _, line := range strings.Split(rules, "\n") {
			rows = append(rows, []string{"  kernel: " + line})
		}
		if here != trail.Accepted() {
			rows = append(rows, []string{fmt.Sprintf("  THE KERNEL DIFFERS: by policy this node says %s, by its rules %s; see `kube-router show failing`",
				allowedOr(here), allowedOr(trail.Accepted()))})
		}
	}
	return rows, data, nil
}

// traceFlow sends a first packet through the hook that it would meet on this node.
func traceFlow(t *row.NftTracer, f policy.Flow, own map[netip.Addr]bool) (row.NftTrail, error) {
	hook := row.NftForward
	switch {
	case own[f.From]:
		hook = row.NftOutput
	case own[f.To]:
		hook = row.NftInput
	}
	return t.Trace(hook, "policy-", row.NftPacket{
		Src: f.From, Dst: f.To, Protocol: uint8(f.Protocol), SrcPort: 32768, DstPort: uint16(f.Port),
		State: row.NftStateNew, SrcLocal: own[f.From], DstLocal: own[f.To],
	})
}

func allowedOr(allowed bool) string {
	if allowed {
		return "allowed"
	}
	return "denied"
}

func elsewhere(e policy.End) string {
	if (e.Pod.Name != "" || e.Node != "") && !e.Here {
		return " (enforced on its own node)"
	}
	return ""
}

func pairs(planner *policy.Planner, flow policy.Flow, from, to string) ([]policy.Flow, error) {
	_, sources := planner.Pod(from)
	_, targets := planner.Pod(to)
	for _, end := range []struct {
		text  string
		addrs []netip.Addr
	}{{from, sources}, {to, targets}} {
		if len(end.addrs) == 0 {
			return nil, fmt.Errorf("%q is neither an address nor a node or a pod with one; name pods as NAMESPACE/NAME", end.text)
		}
	}
	var list []policy.Flow
	for _, s := range sources {
		for _, t := range targets {
			if s.Is4() == t.Is4() {
				f := flow
				f.From, f.To = s, t
				list = append(list, f)
			}
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s and %s have no address family in common", from, to)
	}
	return list, nil
}

// pairsBehind is pairs for the endpoints of a Service, of whatever family.
func pairsBehind(planner *policy.Planner, flow policy.Flow, from string, behind []netip.AddrPort) ([]policy.Flow, error) {
	var list []policy.Flow
	var wrong error
	for _, end := range behind {
		flow.Port = model.Port(end.Port())
		some, err := pairs(planner, flow, from, end.Addr().String())
		list, wrong = append(list, some...), cmp.Or(wrong, err)
	}
	if len(list) > 0 {
		wrong = nil
	}
	return list, wrong
}

// parsePort takes "80/tcp", or "80" for TCP.
func parsePort(text string) (policy.Flow, error) {
	number, name, _ := strings.Cut(text, "/")
	n, err := strconv.ParseUint(number, 10, 16)
	if err != nil {
		return policy.Flow{}, fmt.Errorf("%q is no port/protocol such as 80/tcp", text)
	}
	f := policy.Flow{Port: model.Port(n), Protocol: model.TCP}
	for _, p := range []model.Protocol{model.TCP, model.UDP, model.SCTP} {
		if strings.EqualFold(name, p.String()) {
			f.Protocol = p
			return f, nil
		}
	}
	if name != "" {
		return f, fmt.Errorf("%q is no protocol of policies: tcp, udp or sctp", name)
	}
	return f, nil
}

package view

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"kube-router/internal/holder"
	"kube-router/internal/intent"
	"kube-router/internal/model"
	"kube-router/internal/plan/policy"
	"kube-router/internal/reconcile"
	"kube-router/internal/show"
)

// whyService prints each row that serves a front, and from what it comes: row ← intent ← Service. Before the rows
// stands what its owner has to know: what of the Service is ignored, and why nobody answers.
func (d *Daemon) whyService(ctx context.Context, what string) (show.Page, error) {
	p := show.Page{Columns: []string{"what", "because of"}}
	fronts := d.fronts(what)
	remarks, err := d.remarksOn(ctx, what)
	if err != nil {
		return p, err
	}
	if len(fronts) == 0 {
		return d.whyNoService(ctx, what, remarks)
	}
	silence, wins := make([]string, len(fronts)), make([]string, len(fronts))
	err = d.Think(ctx, func(w World) {
		m := w.Model
		for i, s := range fronts {
			silence[i], wins[i] = nobody(m, s), over(m, s.Front)
		}
	})
	of := d.linesOf(fronts)
	for i, s := range fronts {
		p.Rows = append(p.Rows, []string{s.String(), names(d.Fronts.Owners(s.Front)) + wins[i]})
		if silence[i] != "" {
			p.Rows = append(p.Rows, []string{"  " + silence[i], "EndpointSlices of " + s.Owner.String()})
		}
		if d.AtSocket != nil {
			p.Rows = append(p.Rows, []string{"  " + d.connect(s), "--socket-lb"})
		}
		for _, line := range of[s.Front.String()] {
			state := ""
			if !line.Have {
				state = " (missing: " + line.Error + ")"
			}
			p.Rows = append(p.Rows, []string{"  " + line.Row + state, s.Front.String()})
		}
	}
	p.Rows, p.Data = slices.Concat(remarks, p.Rows), fronts
	return p, err
}

// over tells whose claims to a front go behind that of the Service that has it, as package holder decided.
func over(m *model.Model, f intent.Front) string {
	claims := holder.Of(m, holder.Frontend{Addr: f.Addr, Port: model.Port(f.Port), Protocol: model.Protocol(f.Protocol)})
	if len(claims) < 2 {
		return ""
	}
	var rest []string
	for _, c := range claims[1:] {
		rest = append(rest, c.String())
	}
	return fmt.Sprintf(" (it is %s; goes before %s)", claims[0], strings.Join(rest, "; "))
}

// linesOf finds the rows of all tables that fronts want.
func (d *Daemon) linesOf(fronts []*intent.Service) map[string][]reconcile.Line {
	of := make(map[string][]reconcile.Line, len(fronts))
	for _, s := range fronts {
		of[s.Front.String()] = nil
	}
	for _, t := range d.Tables() {
		for _, line := range d.Lines(t.Table) {
			for _, owner := range line.Owners {
				if list, ok := of[owner]; ok {
					of[owner] = append(list, line)
				}
			}
		}
	}
	return of
}

// whyNoService answers for what is served as no Service here: an address, a pod, a Service that has no front.
func (d *Daemon) whyNoService(ctx context.Context, what string, remarks [][]string) (show.Page, error) {
	if at, ok := asAddress(what); ok {
		p, err := d.whyAddress(ctx, at)
		if len(remarks) > 0 {
			err = nil // that is the answer
		}
		p.Rows = slices.Concat(remarks, p.Rows)
		return p, err
	}
	p := show.Page{Columns: []string{"what", "because of"}, Rows: remarks}
	var addrs []netip.Addr
	err := d.Think(ctx, func(w World) {
		m := w.Model
		for name, s := range m.Services {
			if named(name.String(), what) {
				p.Rows = append(p.Rows, []string{frontless(m, s), s.Ref().String()})
			}
		}
		for name, pod := range m.Pods {
			if named(name.String(), what) {
				addrs = append(addrs, pod.Addrs...)
			}
		}
	})
	for _, at := range addrs {
		page, failure := d.whyAddress(ctx, at)
		if failure != nil {
			return p, failure
		}
		p.Rows = append(p.Rows, page.Rows...)
	}
	if err == nil && len(p.Rows) == 0 {
		err = fmt.Errorf("no Service is served at %q on this node, and no pod with an address has that name; `kube-router show services` lists "+
			"the frontends, `show remarks` what was ignored", what)
	}
	p.Data = p.Rows
	return p, err
}

// frontless tells why a Service has no front here.
func frontless(m *model.Model, s *model.Service) string {
	switch {
	case !m.Settings.Proxy:
		return "not served: --run-service-proxy is off, another program carries Services"
	case s.AnotherProxy:
		return "not served: label service.kubernetes.io/service-proxy-name leaves it to another program"
	case s.Type == model.ExternalName:
		return "not served: of type ExternalName, which only DNS knows"
	case s.Headless:
		return "not served: it is headless, so that DNS gives the addresses of its pods and there is nothing to translate"
	}
	return "not served: it has no address of an enabled family, or no port; the lines above say what else is odd"
}

// nobody tells why no endpoint answers at a front, or at least none to clients outside the cluster; empty: some do.
func nobody(m *model.Model, s *intent.Service) string {
	outside := s.Far && len(s.Near) == 0
	if len(s.Backends) > 0 && !outside {
		return ""
	}
	var all, named, ready int
	for _, sl := range m.SlicesOf(model.Name(s.Owner)) {
		if sl.Family != model.FamilyOf(s.Addr) {
			continue
		}
		fits := slices.ContainsFunc(sl.Ports, func(p model.SlicePort) bool {
			return p.Name == s.PortName && uint8(p.Protocol) == s.Protocol
		})
		for _, e := range sl.Endpoints {
			all++
			if fits {
				named++
			}
			if fits && e.Ready {
				ready++
			}
		}
	}
	switch {
	case len(s.Backends) > 0:
		return "CLIENTS OUTSIDE ARE DROPPED: externalTrafficPolicy is Local, and no ready endpoint is on this node"
	case all == 0:
		return "NOBODY ANSWERS: it has no endpoint; does its selector match the labels of a pod?"
	case named == 0:
		return fmt.Sprintf("NOBODY ANSWERS: none of its %d endpoints has a port for %s; does a container of the pods name its targetPort?",
			all, strings.TrimSpace(fmt.Sprintf("%s %d/%s", s.PortName, s.Port, intent.ProtocolName(s.Protocol))))
	case ready == 0:
		return fmt.Sprintf("NOBODY ANSWERS: none of its %d endpoints is ready; see the readiness of its pods", named)
	case s.Silent:
		return fmt.Sprintf("NOBODY ANSWERS: internalTrafficPolicy is Local, and none of its %d ready endpoints is on this node", ready)
	}
	return fmt.Sprintf("NOBODY ANSWERS: of its %d endpoints none may be used here; see show remarks", named)
}

// remarksOn are the remarks about a Service, or those that speak of an address.
func (d *Daemon) remarksOn(ctx context.Context, what string) ([][]string, error) {
	all, err := d.Remarks(ctx)
	at, isAddress := asAddress(what)
	var rows [][]string
	for _, r := range all {
		about := r.Object.Kind == model.KindService && named(r.Object.Name.String(), what)
		if isAddress {
			about = mentions(r.Message, at)
		}
		if about {
			rows = append(rows, []string{"REMARK: " + strings.TrimPrefix(r.Field+": ", ": ") + r.Message, r.Object.String()})
		}
	}
	return rows, err
}

// named tells whether "namespace/name" is what somebody calls "namespace/name" or "name".
func named(full, what string) bool { return full == what || strings.HasSuffix(full, "/"+what) }

// mentions tells whether a text speaks of an address, with or without a port.
func mentions(text string, at netip.Addr) bool {
	words := strings.FieldsFunc(text, func(r rune) bool { return !strings.ContainsRune("0123456789abcdefABCDEF.:", r) })
	return slices.ContainsFunc(words, func(w string) bool {
		if port, err := netip.ParseAddrPort(w); err == nil {
			return port.Addr() == at
		}
		addr, err := netip.ParseAddr(strings.TrimRight(w, ".:"))
		return err == nil && addr == at
	})
}

// judgedMost is how many endpoints of a frontend are judged one by one.
const judgedMost = 8

// behind are the endpoints that a flow to a front of a Service may reach, which is what policies judge, and lines
// that tell so; none: nothing of the kind is meant.
func (d *Daemon) behind(flow policy.Flow, to string) (ends []netip.AddrPort, lines [][]string) {
	for _, s := range d.fronts(to) {
		if s.Port != uint16(flow.Port) || s.Protocol != uint8(flow.Protocol) {
			continue
		}
		text := fmt.Sprintf("%s is Service %s: policies judge the endpoints that answer there", s.Front, s.Owner)
		if len(s.Backends) == 0 {
			text = fmt.Sprintf("%s is Service %s, where NOBODY ANSWERS: kube-router why %s", s.Front, s.Owner, s.Front)
		}
		if d.AtSocket != nil && s.Protocol == protocolTCP {
			text += "; where sockets are served, " + d.connect(s)
		}
		if n := len(s.Backends); n > judgedMost {
			text += fmt.Sprintf(", here the first %d of %d", judgedMost, n)
		}
		lines = append(lines, []string{text})
		for _, b := range s.Backends[:min(len(s.Backends), judgedMost)] {
			ends = append(ends, netip.AddrPortFrom(b.Addr, b.Port))
		}
	}
	return ends, lines
}

// unserved are the answers for flows to an address of a Service, or of the ranges of Services, where nobody answers.
func (d *Daemon) unserved(w World, flow policy.Flow, from, to string) (list []flowAnswer) {
	_, sources := w.Policies.Pod(from)
	fronts := d.fronts(to)
	say := func(at netip.Addr, verdict, why string) {
		for _, s := range sources {
			if s.Is4() == at.Is4() {
				f := flow
				f.From, f.To = s, at
				list = append(list, flowAnswer{Flow: arrow(f), Verdict: verdict, Why: why})
			}
		}
	}
	for i, f := range fronts {
		switch {
		case f.Port == uint16(flow.Port) && f.Protocol == uint8(flow.Protocol):
			if why := nobody(w.Model, f); why != "" && len(f.Backends) == 0 {
				say(f.Addr, map[bool]string{false: "refused", true: "dropped"}[f.Silent], why)
			}
		case w.Model.NodeAt(f.Addr) != nil: // has ports of its own
		case i == 0 || fronts[i-1].Addr != f.Addr:
			if has := portsAt(fronts, f.Addr); !slices.Contains(has, fmt.Sprintf("%d/%s", flow.Port, flow.Protocol)) {
				say(f.Addr, "refused", fmt.Sprintf("Service %s has no such port; it has %s", f.Owner, strings.Join(has, ", ")))
			}
		}
	}
	ours := func(at netip.Addr) bool {
		return slices.ContainsFunc(holder.Spaces(&w.Model.Settings), func(r holder.Range) bool { return r.Kind != holder.PodSpace && r.Contains(at) })
	}
	if at, ok := asAddress(to); ok && len(fronts) == 0 && ours(at) {
		say(at, "refused", "no Service has this address")
	}
	return list
}

// portsAt are the ports at an address, such as 80/tcp.
func portsAt(fronts []*intent.Service, at netip.Addr) (list []string) {
	for _, f := range fronts {
		if f.Addr == at {
			list = append(list, fmt.Sprintf("%d/%s", f.Port, intent.ProtocolName(f.Protocol)))
		}
	}
	return list
}

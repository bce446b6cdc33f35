package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"kube-router/internal/driver/nflog"
	"kube-router/internal/intent"
	"kube-router/internal/model"
	"kube-router/internal/plan/policy"
	"kube-router/internal/row"
	"kube-router/internal/show"
)

// policyViews are what can be asked about policies.
func (a *agent) policyViews() []show.View {
	return []show.View{
		{Name: "why", Args: "FRONT | SERVICE | FROM TO PORT/PROTOCOL", Doc: "what serves an address, or whether one pod may talk to another", Make: a.why},
		{Name: "policies", Doc: "network policies, and how many pods of this node each selects", Make: a.policiesView},
		{Name: "firewalls", Args: "[POD]", Doc: "what each pod of this node lets in and out", Make: a.firewallsView},
		{Name: "drops", Doc: "packets that policies dropped: counters, and the latest while somebody looks", Make: a.dropsView},
	}
}

var errNoFirewall = errors.New("network policies are not enforced here (--run-firewall=false), or the cluster is still being read")

func (a *agent) policiesView(ctx context.Context, _ []string) (show.Page, error) {
	var list []policy.Summary
	err := a.thinker.query(ctx, func(*model.Model) {
		if a.policies.planner != nil {
			list = a.policies.planner.Policies()
		}
	})
	slices.SortFunc(list, func(x, y policy.Summary) int { return x.Name.Compare(y.Name) })
	p := show.Page{Columns: []string{"policy", "pods here", "ingress", "egress"}, Data: list}
	side := func(n int) string {
		switch n {
		case -1:
			return "-"
		case 0:
			return "nothing"
		}
		return fmt.Sprintf("%d rules", n)
	}
	for _, s := range list {
		p.Rows = append(p.Rows, []string{s.Name.String(), strconv.Itoa(s.Here), side(s.Ingress), side(s.Egress)})
	}
	return p, err
}

func (a *agent) firewallsView(ctx context.Context, args []string) (show.Page, error) {
	var list []*intent.Firewall
	err := a.thinker.query(ctx, func(*model.Model) {
		for _, f := range a.policies.walls {
			if len(args) == 0 || f.Pod == args[0] || strings.HasSuffix(f.Pod, "/"+args[0]) {
				list = append(list, f)
			}
		}
	})
	slices.SortFunc(list, func(x, y *intent.Firewall) int { return cmp.Compare(x.Pod, y.Pod) })
	p := show.Page{Columns: []string{"pod", "addresses", "ingress", "egress"}, Data: list}
	side := func(l *intent.RuleList) string {
		if l == nil {
			return "open"
		}
		if len(l.Allows) == 0 {
			return "nothing"
		}
		return fmt.Sprint(l.Allows)
	}
	for _, f := range list {
		p.Rows = append(p.Rows, []string{f.Pod, show.List(f.Addrs), side(f.Ingress), side(f.Egress)})
	}
	return p, err
}

// drop is one packet that was dropped, with the names of who it was from and for.
type drop struct {
	Time     time.Time
	At       string // which pod's policies, and in which direction
	From, To string
	Protocol string
	Why      string
}

func (a *agent) dropsView(ctx context.Context, _ []string) (show.Page, error) {
	counts, err := a.dropCounts(ctx)
	if err != nil {
		return show.Page{}, err
	}
	recent, since, heard := a.firewall.drops.Recent()
	drops, err := a.explain(ctx, recent)
	p := show.Page{Columns: []string{"when", "where", "from", "to", "why"}, Data: map[string]any{"counters": counts, "drops": drops}}
	for _, c := range counts {
		if c.Packets > 0 {
			p.Rows = append(p.Rows, []string{"since its start", c.where(), "", "", fmt.Sprintf("%d packets, %d bytes", c.Packets, c.Bytes)})
		}
	}
	for _, d := range drops {
		p.Rows = append(p.Rows, []string{d.Time.Format(time.TimeOnly), d.At, d.From, d.To + " " + d.Protocol, d.Why})
	}
	switch {
	case heard != nil:
		p.Note = "the packets themselves can't be heard: " + heard.Error()
	case since.IsZero():
		p.Note = "listening from now on: ask again, or follow with -w"
	}
	return p, err
}

// explain names the ends of dropped packets and the policies that let them fall.
func (a *agent) explain(ctx context.Context, recent []nflog.Drop) ([]drop, error) {
	var list []drop
	err := a.thinker.query(ctx, func(*model.Model) {
		planner := a.policies.planner
		if planner == nil {
			return
		}
		name := func(addr netip.Addr, port uint16) string {
			text := addr.String()
			if port != 0 {
				text = netip.AddrPortFrom(addr, port).String()
			}
			if pod, _ := planner.Pod(addr.String()); pod.Name != "" {
				text += " (" + pod.String() + ")"
			}
			return text
		}
		for _, d := range recent {
			egress, ingress := planner.Judge(policy.Flow{From: d.Src, To: d.Dst, Protocol: model.Protocol(d.Protocol), Port: model.Port(d.DstPort)})
			end := ingress
			if strings.HasPrefix(d.Prefix, "from ") {
				end = egress
			}
			why := end.String()
			if end.Allowed {
				why = "allowed by now: " + why
			}
			list = append(list, drop{d.Time, d.Prefix, name(d.Src, d.SrcPort), name(d.Dst, d.DstPort), model.Protocol(d.Protocol).String(), why})
		}
	})
	return list, err
}

// kernelTracer reads the kernel's own table.
func (a *agent) kernelTracer(ctx context.Context) (*row.NftTracer, error) {
	have, err := a.firewall.table.Dump(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the kernel's table: %w", err)
	}
	return row.NewNftTracer(func(yield func(row.Nft) bool) {
		for _, r := range have {
			if !yield(r) {
				return
			}
		}
	}), nil
}

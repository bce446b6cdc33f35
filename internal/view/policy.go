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
	"time"

	"kube-router/internal/intent"
	"kube-router/internal/model"
	"kube-router/internal/plan/policy"
	"kube-router/internal/row"
	"kube-router/internal/show"
)

// policyViews are what can be asked about policies.
func (d *Daemon) policyViews() []show.View {
	return []show.View{
		{Name: "why", Args: "ADDRESS:PORT/PROTOCOL | SERVICE | FROM TO PORT/PROTOCOL", Doc: "what serves an address, or whether one pod may talk to another", Make: d.why},
		{Name: "policies", Args: "[CLUSTERPOLICY]", Doc: "network policies of both APIs in the order of their tiers, with the pods of this node that each selects; for one, what its rules decided here", Make: d.policiesView},
		{Name: "firewalls", Args: "[POD]", Doc: "what each pod of this node lets in and out", Make: d.firewallsView},
		{Name: "names", Args: "[NAME | PATTERN | ADDRESS]", Doc: "what domain names of policies stand for, and for how long", Make: d.namesView},
		{Name: "drops", Doc: "what policies and Services ended: counters, and the latest", Make: d.dropsView},
		{Name: "flows", Args: "[KEY=VALUE...]", Doc: "who talked to whom, and what was ended; see kube-router flows --help", Make: d.flowsView},
		{Name: "policy-diff", Args: "MANIFEST", Doc: "what would change on this node if policies were applied: asked by `kube-router policy diff -f FILE`", Make: d.diffView},
		{Name: "rehearsal", Doc: "what audited policies would drop if they were enforced: counters by policy and rule, and the latest flows while somebody looks", Make: d.rehearsalView},
	}
}

var errNoFirewall = errors.New("network policies are not enforced here (--run-firewall=false), or the cluster is still being read")

func (d *Daemon) policiesView(ctx context.Context, args []string) (show.Page, error) {
	if len(args) > 0 {
		return d.hitsView(ctx, args[0])
	}
	var list []policy.Summary
	err := d.Think(ctx, func(w World) {
		if w.Policies != nil {
			list = w.Policies.Policies()
		}
	})
	p := show.Page{Columns: []string{"policy", "tier", "pods here", "ingress", "egress", "enforcement"}, Data: list}
	side := func(n int) string {
		switch n {
		case -1:
			return "-"
		case 0:
			return "nothing"
		}
		return show.Count(n, "rule")
	}
	for _, s := range list {
		tier := "NetworkPolicy"
		if s.Tier != "" {
			tier = fmt.Sprintf("%s %d", s.Tier, s.Priority)
			if s.Node {
				tier = "Node " + tier
			}
			s.Ingress, s.Egress = ordered(s.Ingress), ordered(s.Egress)
		}
		p.Rows = append(p.Rows, []string{s.Name.String(), tier, strconv.Itoa(s.Here), side(s.Ingress), side(s.Egress), enforcement(s.Audit)})
	}
	return p, err
}

func enforcement(audit bool) string {
	if audit {
		return "audit"
	}
	return "enforced"
}

// ordered is the number of rules of a ClusterNetworkPolicy, which says nothing where it has none.
func ordered(rules int) int {
	if rules == 0 {
		return -1
	}
	return rules
}

func (d *Daemon) firewallsView(ctx context.Context, args []string) (show.Page, error) {
	var list []*intent.Firewall
	err := d.Think(ctx, func(w World) {
		for _, f := range w.Firewalls {
			if len(args) == 0 || f.Pod == args[0] || strings.HasSuffix(f.Pod, "/"+args[0]) {
				list = append(list, f)
			}
		}
	})
	slices.SortFunc(list, func(x, y *intent.Firewall) int { return cmp.Compare(x.Pod, y.Pod) })
	p := show.Page{Columns: []string{"pod", "addresses", "ingress", "egress"}, Data: list}
	side := func(tiers []*intent.Tier) string {
		if len(tiers) == 0 {
			return "open"
		}
		var words []string
		for _, t := range tiers {
			words = append(words, t.Text())
		}
		return strings.Join(words, ", else ")
	}
	tried := func(tiers, rehearsal []*intent.Tier) string {
		if len(rehearsal) == 0 {
			return side(tiers)
		}
		return side(tiers) + "; rehearsed: " + side(rehearsal)
	}
	for _, f := range list {
		p.Rows = append(p.Rows, []string{f.Pod, show.List(f.Addrs), tried(f.Ingress, f.Rehearsal[intent.ToPod]), tried(f.Egress, f.Rehearsal[intent.FromPod])})
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

// listening says what there is to say about who hears logged packets.
func listening(since time.Time, heard error) string {
	switch {
	case heard != nil:
		return "the packets themselves can't be heard: " + heard.Error()
	case since.IsZero():
		return "listening from now on: ask again, or follow with -w"
	}
	return ""
}

// explain names the ends of logged packets and the policies that a judge says let them fall.
func (d *Daemon) explain(ctx context.Context, recent []Packet, judge func(*policy.Planner, policy.Flow) (egress, ingress policy.End), otherwise string) ([]drop, error) {
	var list []drop
	err := d.Think(ctx, func(w World) {
		planner := w.Policies
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
			egress, ingress := judge(planner, policy.Flow{From: d.Src, To: d.Dst, Protocol: model.Protocol(d.Protocol), Port: model.Port(d.DstPort)})
			end := ingress
			if strings.HasPrefix(d.Prefix, "from ") {
				end = egress
			}
			why := end.String()
			if end.Allowed {
				why = otherwise + why
			}
			list = append(list, drop{d.Time, d.Prefix, name(d.Src, d.SrcPort), name(d.Dst, d.DstPort), model.Protocol(d.Protocol).String(), why})
		}
	})
	return list, err
}

// kernelTracer reads the kernel's own table.
func (d *Daemon) kernelTracer(ctx context.Context) (*row.NftTracer, error) {
	have, err := d.Rules(ctx)
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

package policy_test

import (
	"maps"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kube-router/internal/intent"
	"kube-router/internal/model"
	"kube-router/internal/plan/policy"
	"kube-router/internal/reconcile"
	"kube-router/internal/render/nft"
	"kube-router/internal/row"
)

// node is one node's column from the model to rows.
type node struct {
	m       *model.Model
	planner *policy.Planner
	rows    *reconcile.Ledger[row.NftKey, row.Nft]
	tiers   *reconcile.Ledger[string, *intent.Tier]
	units   [policy.Ranks]map[model.Ref]bool // by rank
	touched int
}

func settings(name string) model.Settings {
	return model.Settings{Node: name, Firewall: true, IPv4: true, IPv6: true, Proxy: true,
		Services: model.ServiceSettings{Engine: model.EngineNftables}, Policy: model.PolicySettings{Names: model.NameSettings{Domain: "cluster.local"}}}
}

// newNode makes a node that plans all objects from cold.
func newNode(s model.Settings, objects ...model.Object) *node {
	n := &node{m: model.New(s), rows: reconcile.NewLedger[row.NftKey, row.Nft](), tiers: reconcile.NewLedger[string, *intent.Tier]()}
	for _, o := range objects {
		n.m.Put(o)
	}
	n.planner = policy.New(n.m)
	for _, u := range n.planner.Units() {
		n.queue(u)
	}
	n.base()
	n.drain()
	return n
}

// base claims what stands around the pods' tiers.
func (n *node) base() {
	base, _ := policy.Base(n.m)
	base.Rehearsal = n.planner.Rehearses()
	n.rows.Claim(reconcile.Owner{Name: "base"}, nft.FirewallBase(base)...)
}

// change brings changes to the model and plans what they touch. A nil object means that ref is gone.
func (n *node) change(changes map[model.Ref]model.Object) {
	type noted struct{ old, new model.Object }
	var list []noted
	for _, ref := range slices.SortedFunc(maps.Keys(changes), model.Ref.Compare) {
		o := changes[ref]
		if o == nil {
			if old := n.m.Delete(ref); old != nil {
				list = append(list, noted{old, nil})
			}
			continue
		}
		old := n.m.Put(o)
		list = append(list, noted{old, o})
	}
	n.touched = 0
	rehearsed := n.planner.Rehearses()
	for _, c := range list {
		n.planner.Note(c.old, c.new, n.queue)
	}
	if n.planner.Rehearses() != rehearsed {
		n.base()
	}
	n.drain()
}

func (n *node) queue(u model.Ref) {
	if n.units[policy.Rank(u)] == nil {
		n.units[policy.Rank(u)] = map[model.Ref]bool{}
	}
	n.units[policy.Rank(u)][u] = true
}

// drain plans what is queued, by rank.
func (n *node) drain() {
	for n.planOne() {
		n.touched++
	}
	n.settle()
}

func (n *node) planOne() bool {
	for _, units := range n.units {
		for u := range units {
			delete(units, u)
			n.plan(u)
			return true
		}
	}
	return false
}

func (n *node) plan(u model.Ref) {
	switch u.Kind {
	case policy.KindRules:
		if !n.planner.Decide(u.Name, n.queue) {
			return
		}
		u.Kind = model.KindPod
	case policy.KindHost:
		if !n.planner.DecideHost(n.queue) {
			return
		}
		owner := reconcile.Owner{Name: u.String()}
		if wall := n.planner.Host(); wall != nil {
			n.rows.Claim(owner, nft.HostWall(wall)...)
			n.tiers.Claim(owner, wall.All()...)
		} else {
			n.rows.Claim(owner)
			n.tiers.Claim(owner)
		}
		return
	case policy.KindGone:
		u.Kind = policy.KindSet
	case model.KindPod:
		n.planner.Resort(u.Name)
	}
	owner := reconcile.Owner{Name: u.String()}
	if u.Kind == policy.KindSet {
		if s := n.planner.Set(u); s != nil {
			n.rows.Claim(owner, nft.PeerSet(s)...)
		} else {
			n.rows.Claim(owner)
		}
		return
	}
	if u.Kind == model.KindNode {
		if m := n.planner.Node(u.Name.Name); m != nil {
			n.rows.Claim(owner, nft.Membership(m)...)
		} else {
			n.rows.Claim(owner)
		}
		return
	}
	if u.Kind == policy.KindResolvers {
		n.rows.Claim(owner, nft.Resolvers(n.planner.Resolvers())...)
		return
	}
	if u.Kind == model.KindDomain {
		if m := n.planner.Domain(u.Name.Name); m != nil {
			n.rows.Claim(owner, nft.Membership(m)...)
		} else {
			n.rows.Claim(owner)
		}
		return
	}
	f, m := n.planner.Plan(u.Name)
	var rows []row.Nft
	var tiers []*intent.Tier
	if f != nil {
		rows = append(rows, nft.Firewall(f)...)
		tiers = slices.Concat(f.Tiers(), f.Rehearsed())
	}
	if m != nil {
		rows = append(rows, nft.Membership(m)...)
	}
	n.rows.Claim(owner, rows...)
	n.tiers.Claim(owner, tiers...)
}

func (n *node) settle() {
	for id := range n.tiers.Take() {
		owner := reconcile.Owner{Name: "tier " + id}
		if l, ok := n.tiers.Want(id); ok {
			n.rows.Claim(owner, nft.Tier(l)...)
		} else {
			n.rows.Claim(owner)
		}
	}
}

func (n *node) all() map[row.NftKey]row.Nft {
	rows := map[row.NftKey]row.Nft{}
	for k, r := range n.rows.All {
		rows[k] = r
	}
	return rows
}

func (n *node) tracer() *row.NftTracer { return row.NewNftTracer(maps.Values(n.all())) }

// same fails when what changes led to differs from what a start from cold leads to.
func (n *node) same(t *testing.T) {
	t.Helper()
	var objects []model.Object
	for _, o := range n.m.Pods {
		objects = append(objects, o)
	}
	for _, o := range n.m.Namespaces {
		objects = append(objects, o)
	}
	for _, o := range n.m.Policies {
		objects = append(objects, o)
	}
	for _, o := range n.m.Cluster {
		objects = append(objects, o)
	}
	for _, o := range n.m.NodeRules {
		objects = append(objects, o)
	}
	for _, o := range n.m.Nodes {
		objects = append(objects, o)
	}
	for _, o := range n.m.Attached {
		objects = append(objects, o)
	}
	for _, o := range n.m.Domains {
		objects = append(objects, o)
	}
	all := n.all()
	for _, r := range all {
		if e, ok := r.(row.NftElement); ok && all[e.Of.Value().Key()] == nil {
			t.Fatalf("%s: nobody makes the set", e)
		}
	}
	cold := newNode(n.m.Settings, objects...)
	if d := cmp.Diff(lines(cold), lines(n)); d != "" {
		t.Fatalf("changes lead elsewhere than a cold start; cold -, changed +:\n%s", d)
	}
}

func lines(n *node) []string {
	var list []string
	for r := range maps.Values(n.all()) {
		list = append(list, r.String())
	}
	slices.Sort(list)
	return list
}

// allows traces the first packet of a flow through the forward hook of a node.
func allows(t *testing.T, tr *row.NftTracer, src, dst netip.Addr, proto uint8, port uint16) bool {
	t.Helper()
	trail, err := tr.Trace(row.NftForward, "policy-", row.NftPacket{
		Src: src, Dst: dst, Protocol: proto, SrcPort: 40000, DstPort: port, State: row.NftStateNew,
	})
	if err != nil {
		t.Fatal(err)
	}
	return trail.Accepted()
}

package view

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"kube-router/internal/holder"
	"kube-router/internal/model"
	"kube-router/internal/plan/egress"
	"kube-router/internal/plan/route"
	"kube-router/internal/row"
	"kube-router/internal/show"
)

var errNoEgress = errors.New("EgressGateways are ignored on this node (--run-egress=false)")

// egress tells from which addresses pods leave, by which node, and how many of this node's pods do.
func (d *Daemon) egress(ctx context.Context, _ []string) (show.Page, error) {
	type line struct {
		Gateway string     `json:"gateway"`
		Address netip.Addr `json:"address"`
		Node    string     `json:"node"` // empty: none can be the gateway
		Way     string     `json:"way"`
		Pods    int        `json:"pods"` // of this node
	}
	p := show.Page{Columns: []string{"gateway", "address", "node", "way from here", "pods here"}}
	data := []line{}
	err := d.Think(ctx, func(w World) {
		claims, _ := holder.Egresses(w.Model)
		pods := leaversHere(w.Model)
		for _, c := range claims {
			l := line{Gateway: c.Gateway.Name, Address: c.Addr, Pods: pods[c.Addr], Way: wayOut(w.Model, c)}
			if c.Node != nil {
				l.Node = c.Node.Name
			}
			data = append(data, l)
		}
	})
	if !d.Options.Settings.Gateways {
		err = errors.Join(err, errNoEgress)
	}
	for _, l := range data {
		node := l.Node
		if node == "" {
			node = "none"
		}
		p.Rows = append(p.Rows, []string{l.Gateway, l.Address.String(), node, l.Way, strconv.Itoa(l.Pods)})
	}
	p.Data = data
	return p, err
}

func leaversHere(m *model.Model) map[netip.Addr]int {
	var t egress.Tables
	count := map[netip.Addr]int{}
	for name, o := range m.Pods {
		if o.Node != m.Settings.Node {
			continue
		}
		for _, l := range t.Pod(m, name) {
			count[l.As]++
		}
	}
	return count
}

// wayOut says how packets get from this node to the gateway of an address.
func wayOut(m *model.Model, c holder.EgressClaim) string {
	switch {
	case c.Node == nil:
		return "none: they are dropped"
	case c.Node.Name == m.Settings.Node:
		return "this node"
	}
	h, why := route.Way(m, c.Node, model.FamilyOf(c.Addr))
	if why != "" {
		return "none, they are dropped: " + why
	}
	return h.String()
}

// whyLeaving tells with which address a pod's packets reach a destination, by which node, and the rows that make it so.
func (d *Daemon) whyLeaving(ctx context.Context, from, to string) (show.Page, error) {
	dest, err := netip.ParseAddr(to)
	if err != nil {
		return show.Page{}, fmt.Errorf("destination: %w", err)
	}
	p := show.Page{Columns: []string{"what", "because of"}}
	var wrong error
	err = d.Think(ctx, func(w World) {
		o := findPod(w.Model, from)
		if o == nil {
			wrong = fmt.Errorf("no pod %s", from)
			return
		}
		p.Rows = leavingRows(w.Model, o, dest)
	})
	p.Data = p.Rows
	return p, errors.Join(err, wrong)
}

// findPod finds a pod by "namespace/name", by a name alone if one pod has it, or by address.
func findPod(m *model.Model, what string) *model.Pod {
	if a, err := netip.ParseAddr(what); err == nil {
		for _, o := range m.PodsAt(a) {
			return o
		}
		return nil
	}
	var found *model.Pod
	for name, o := range m.Pods {
		if name.String() == what {
			return o
		}
		if name.Name == what && (found == nil || name.Namespace < found.Name.Namespace) {
			found = o
		}
	}
	return found
}

func leavingRows(m *model.Model, o *model.Pod, dest netip.Addr) [][]string {
	say := func(why string, format string, args ...any) [][]string {
		return [][]string{{fmt.Sprintf(format, args...), why}}
	}
	b, f := egress.Base(m), model.FamilyOf(dest)
	own := slices.DeleteFunc(egress.Addrs(m, o), func(a netip.Addr) bool { return model.FamilyOf(a) != f })
	switch {
	case o.HostNetwork:
		return say("spec.hostNetwork", "%s is on the network of node %s and leaves with its address", o.Name, o.Node)
	case len(own) == 0:
		return say(o.Ref().String(), "%s has no %s address", o.Name, f)
	case b == nil:
		return say("--run-egress=false", "%s leaves as pods without a gateway do", own[0])
	case egress.Inside(m, b, dest):
		return say("--cluster-cidr, --service-cluster-ip-range, --pod-egress-exclude, or a node", "%s reaches %s as itself: it is not outside", own[0], dest)
	}
	g := holder.GatewayOf(m, holder.Gateways(m), o)
	switch {
	case g == nil:
		return say("no EgressGateway selects it", "%s leaves as pods without a gateway do", own[0])
	case slices.ContainsFunc(g.Except, func(p netip.Prefix) bool { return p.Contains(dest) }):
		return say(g.Ref().String()+": spec.exceptDestinations", "%s leaves to %s as pods without a gateway do", own[0], dest)
	}
	return gatewayRows(m, g, own[0])
}

func gatewayRows(m *model.Model, g *model.EgressGateway, own netip.Addr) [][]string {
	claims, _ := holder.Egresses(m)
	var list []netip.Addr
	for _, c := range claims {
		if c.Gateway == g {
			list = append(list, c.Addr)
		}
	}
	as := holder.EgressAddress(list, own)
	if !as.IsValid() {
		return [][]string{{fmt.Sprintf("%s has no address to leave from", own), g.Ref().String()}}
	}
	c := claims[slices.IndexFunc(claims, func(c holder.EgressClaim) bool { return c.Addr == as })]
	rows := [][]string{{fmt.Sprintf("%s leaves as %s", own, as), g.Ref().String()}}
	for i, n := range holder.EgressNodes(m, g, as) {
		text := "  then node " + n.Name
		if i == 0 {
			text = fmt.Sprintf("  by node %s, %s", n.Name, wayOut(m, c))
		}
		rows = append(rows, []string{text, "spec.nodeSelector, ready"})
	}
	if c.Node == nil {
		return append(rows, []string{"  by no node: what it sends is dropped", "spec.nodeSelector selects none that is ready"})
	}
	if c.Node.Name != m.Settings.Node {
		rows = append(rows, []string{fmt.Sprintf("  by mark 0x%x and table %d", c.Slot<<16, row.TableEgress+row.Table(c.Slot)), "the address"})
	}
	return rows
}

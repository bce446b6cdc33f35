package advert

import (
	"fmt"
	"net/netip"
	"slices"

	"kube-router/internal/holder"
	"kube-router/internal/intent"
	"kube-router/internal/model"
)

// Told is what becomes of an address on this node: to whom it is advertised, or why it isn't.
type Told struct {
	Prefix   netip.Prefix
	For      model.Ref    // the Service or Node whose it is
	By       string       // who says so: "BGPAdvertisement public", or the flag; empty: nobody
	To       []netip.Addr // routers, sorted
	Withheld []netip.Addr // routers whose export filter refuses it
	Not      string       // why it goes to nobody from here; empty: it does
}

// Tell tells of all addresses of Services and of this node's pod ranges. It walks over all of them, for people who ask.
func Tell(m *model.Model) []Told {
	self := m.Self()
	if self == nil || !m.Settings.Router || asOf(m, self) == 0 {
		return nil
	}
	t := &telling{m: m, self: self, routers: routers(m, self, &remarks{}), memo: &holder.Memo{}}
	t.outlets = outlets(m, self, t.routers)
	t.announced(self.Ref(), slices.DeleteFunc(pods(m, self, &remarks{}), func(a *intent.Announce) bool {
		return a.Kind == intent.AnnouncePods && !exchange(m, self, &remarks{}).PodsOutside // to nodes alone
	}))
	for _, s := range m.Services {
		t.service(s)
	}
	slices.SortFunc(t.list, func(a, b Told) int {
		if c := a.Prefix.Compare(b.Prefix); c != 0 {
			return c
		}
		return a.For.Compare(b.For)
	})
	return t.list
}

type telling struct {
	m       *model.Model
	self    *model.Node
	routers []*intent.Neighbor
	outlets []*intent.Outlet
	memo    *holder.Memo
	list    []Told
}

// announced tells of announcements, one line for each that says so.
func (t *telling) announced(of model.Ref, list []*intent.Announce) {
	withheld := Withheld(t.m, list)
	for _, a := range list {
		o := Told{Prefix: a.Prefix, For: of, By: "flags and annotations"}
		for _, r := range t.routers {
			o.To = append(o.To, r.Addr)
		}
		if a.Via != "" {
			o.By, o.To = model.Ref{Kind: model.KindBGPAd, Name: model.Name{Name: a.Via}}.String(), nil
			for _, out := range t.outlets {
				for _, r := range out.To {
					if out.Name == a.Via {
						o.To = append(o.To, r.Addr)
					}
				}
			}
		}
		for _, w := range withheld {
			if i := slices.Index(o.To, w.Peer); w.Prefix == a.Prefix && i >= 0 {
				o.To, o.Withheld = slices.Delete(o.To, i, i+1), append(o.Withheld, w.Peer)
			}
		}
		if len(o.To) == 0 {
			o.Not = "it is for no router of this node"
			if len(o.Withheld) > 0 {
				o.Not = "export filters keep it from every router that it is for"
			}
		}
		t.list = append(t.list, o)
	}
}

func (t *telling) service(s *model.Service) {
	list, _ := Service(t.m, s.Name, t.memo)
	t.announced(s.Ref(), list)
	addresses, refused := holder.Addresses(t.m, s)
	for _, a := range slices.Concat(addresses, refused) {
		if slices.ContainsFunc(list, func(o *intent.Announce) bool { return o.Prefix.Contains(a.Addr) }) {
			continue
		}
		t.list = append(t.list, Told{Prefix: netip.PrefixFrom(a.Addr, a.BitLen()), For: s.Ref(), Not: t.whyNot(s, a)})
	}
}

// whyNot tells why this node advertises an address to nobody.
func (t *telling) whyNot(s *model.Service, a holder.Address) string {
	ads := holder.Advertisers(t.m, s, a)
	here := slices.ContainsFunc(ads, func(ad *model.BGPAdvertisement) bool { return ad.Nodes.Matches(t.self.Labels) })
	wanted := slices.ContainsFunc(vips(t.m, s, &remarks{}), func(v vip) bool { return v.Addr == a.Addr })
	at := t.memo.Served(t.m, a.Addr)
	switch {
	case !holder.Ours(s):
		return "another program serves it, or nobody does"
	case a.Why != "":
		return a.Why
	case holder.Drained(t.m, t.self):
		return "this node is excluded from balancers, or cordoned"
	case !wanted:
		return fmt.Sprintf("no BGPAdvertisement speaks of it, and no flag or annotation advertises a %s", a.Kind)
	case len(ads) > 0 && !here:
		return ads[0].Ref().String() + " speaks of it, and doesn't select this node"
	case len(ads) > 0 && ads[0].Broken != "":
		return ads[0].Ref().String() + " can't be used: " + ads[0].Broken
	case len(holder.Has(t.m, s, a.Addr)) == 0:
		return "other Services have it on every port"
	case len(at.Only) > 0:
		return fmt.Sprintf("%s binds it to nodes with its endpoints, and this node has none that is ready", at.Only[0].Ref())
	case !at.Here:
		return "no Service that has it has a ready endpoint anywhere"
	case whole(t.m, t.self, a.Addr):
		return "it is advertised as part of its range (--advertise-service-ranges)"
	}
	return "the node has no address of its family"
}

package kube

import (
	"fmt"
	"math"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kube-router/internal/api"
	"kube-router/internal/model"
)

// convertBGPAd takes over a BGPAdvertisement. One of which a field can't be read advertises nothing: without a community or a selector it would say
// more, or to more, than was asked for.
func convertBGPAd(meta *metav1.ObjectMeta, spec *api.BGPAdvertisementSpec, r *remarks) *model.BGPAdvertisement {
	a := &model.BGPAdvertisement{
		Name: meta.Name, UID: string(meta.UID), Generation: meta.Generation, Created: meta.CreationTimestamp.Time,
		Balancer: len(spec.Addresses) == 0,
		Pools:    spec.Pools,
		Services: selectorOr(r, "spec.serviceSelector", spec.ServiceSelector),
		Nodes:    selectorOr(r, "spec.nodeSelector", spec.NodeSelector),
		Peers:    spec.Peers,
		Length:   map[model.Family]int{},
	}
	sorts(r, a, spec.Addresses)
	if len(spec.Pools) > 0 && !a.Balancer {
		r.add("spec.pools", "pools have load balancer addresses, which spec.addresses doesn't name")
	}
	if spec.PeerSelector != nil {
		s := selector(r, "spec.peerSelector", spec.PeerSelector)
		a.PeerLabels = &s
	}
	for i, text := range spec.Communities {
		c, err := ParseCommunity(text)
		if err != nil {
			r.add(element("spec.communities[%d]", i), "%s", err)
		} else if !slices.Contains(a.Communities, c) {
			a.Communities = append(a.Communities, c)
		}
	}
	c := &checked{remarks: r}
	if n := spec.LocalPreference; n != nil {
		a.LocalPref = c.wide("spec.localPreference", *n, 1)
	}
	if spec.MED != nil {
		med := c.wide("spec.med", *spec.MED, 0)
		a.MED = &med
	}
	for f, l := range map[model.Family]*int32{model.IPv4: spec.AggregationLength4, model.IPv6: spec.AggregationLength6} {
		least, most, field := 8, 32, "spec.aggregationLength4"
		if f == model.IPv6 {
			least, most, field = 16, 128, "spec.aggregationLength6"
		}
		if n := c.number(field, l, least, most); n > 0 && n < most {
			a.Length[f] = n
		}
	}
	if slices.SortFunc(r.list, model.Remark.Compare); len(r.list) > 0 {
		a.Broken = r.list[0].Field + ": " + r.list[0].Message
		r.add("", "nothing is advertised by it: a field that can't be read is not guessed at")
	}
	a.Remarks = r.list
	return a
}

// sorts reads which sorts of address are meant.
func sorts(r *remarks, a *model.BGPAdvertisement, list []string) {
	for i, sort := range list {
		switch sort {
		case "LoadBalancer":
			a.Balancer = true
		case "ExternalIP":
			a.External = true
		case "ClusterIP":
			a.Cluster = true
		case "PodCIDR":
			a.Pods = true
		default:
			r.add(fmt.Sprintf("spec.addresses[%d]", i), "%q is none of LoadBalancer, ExternalIP, ClusterIP, PodCIDR", sort)
		}
	}
}

// wide is a number of 32 bits, from least on.
func (c *checked) wide(field string, n int64, least int64) uint32 {
	if n < least || n > math.MaxUint32 {
		c.add(field, "%d is not from %d to %d", n, least, uint32(math.MaxUint32))
		return 0
	}
	return uint32(n)
}

// mostRules and mostPrefixes bound a filter and the prefixes of one of its rules.
const (
	mostRules    = 64
	mostPrefixes = 256
)

// rules reads a filter. AS numbers are no condition of an export filter, where every route is the node's own.
func (c *checked) rules(field string, list []api.BGPRule, export bool) []model.BGPRule {
	var all []model.BGPRule
	if len(list) > mostRules {
		c.add(field, "%d rules are more than %d", len(list), mostRules)
	}
	for i, o := range list {
		at := fmt.Sprintf("%s[%d]", field, i)
		r := model.BGPRule{Accept: o.Action == "Accept", Path: c.asPath(at+".asPath", o.ASPath, export)}
		if o.Action != "Accept" && o.Action != "Reject" {
			c.add(at+".action", "%q is neither Accept nor Reject", o.Action)
		}
		if len(o.Prefixes) > mostPrefixes {
			c.add(at+".prefixes", "%d prefixes are more than %d", len(o.Prefixes), mostPrefixes)
		}
		for j, p := range o.Prefixes {
			r.Prefixes = append(r.Prefixes, c.lengths(fmt.Sprintf("%s.prefixes[%d]", at, j), p))
		}
		if o.Community != "" {
			community, err := ParseCommunity(o.Community)
			if err == nil && (community == "internet" || community == "0:0") {
				err = fmt.Errorf("%q is on every route", o.Community)
			}
			if err != nil {
				c.add(at+".community", "%s", err)
			}
			r.Community = community
		}
		all = append(all, r)
	}
	return all
}

// lengths reads a range with the lengths of prefixes in it.
func (c *checked) lengths(field string, o api.BGPPrefix) model.BGPPrefix {
	p, err := parsePrefix(o.Prefix)
	if err != nil {
		c.add(field+".prefix", "%s", err)
		return model.BGPPrefix{}
	}
	b := model.BGPPrefix{Prefix: p, Min: uint8(p.Bits()), Max: uint8(p.Bits())}
	if o.GE != nil {
		b.Min, b.Max = uint8(c.number(field+".ge", o.GE, p.Bits(), p.Addr().BitLen())), uint8(p.Addr().BitLen())
	}
	if o.LE != nil {
		b.Max = uint8(c.number(field+".le", o.LE, int(b.Min), p.Addr().BitLen()))
	}
	return b
}

func (c *checked) asPath(field string, o *api.BGPASPath, export bool) model.ASMatch {
	if o == nil {
		return model.ASMatch{}
	}
	var list []model.ASMatch
	for _, f := range []struct {
		name string
		n    *int64
		how  model.ASHow
	}{{".contains", o.Contains, model.ASContains}, {".originates", o.Originates, model.ASOriginates}, {".neighbor", o.Neighbor, model.ASNeighbor}} {
		if f.n != nil {
			list = append(list, model.ASMatch{How: f.how, ASN: c.asn(field+f.name, f.n)})
		}
	}
	switch {
	case export:
		c.add(field, "an export filter has none: what a node advertises begins with it")
	case len(list) != 1:
		c.add(field, "it needs exactly one of contains, originates and neighbor")
	default:
		return list[0]
	}
	return model.ASMatch{}
}

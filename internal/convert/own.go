package convert

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kube-router/internal/api"
	"kube-router/internal/model"
	"kube-router/internal/watch/kube"
)

// node converts the routers of a Node's annotations. Nodes with the same router have one object together.
func (c *conversion) node(s *Source) {
	n := kube.ConvertNode(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: s.Metadata.Name, Annotations: s.Metadata.Annotations}})
	for _, r := range n.Remarks {
		c.notes = append(c.notes, r.String())
	}
	host := s.Metadata.Labels["kubernetes.io/hostname"]
	if host == "" {
		host = s.Metadata.Name
	}
	for _, p := range n.Options.Peers {
		spec := peerSpec(p)
		if i := slices.IndexFunc(c.list, func(m made) bool { return m.kind == api.BGPPeers && alike(m.spec, spec) }); i >= 0 {
			in := &c.list[i].spec.(*api.BGPPeerSpec).NodeSelector.MatchExpressions[0]
			in.Values = append(in.Values, host)
			c.list[i].from += ", " + s.Metadata.Name
			continue
		}
		m := made{kind: api.BGPPeers, from: "annotations kube-router.io/peers of Nodes " + s.Metadata.Name, spec: spec, name: c.free(p.Addr)}
		spec.NodeSelector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
			{Key: "kubernetes.io/hostname", Operator: metav1.LabelSelectorOpIn, Values: []string{host}},
		}}
		if p.Password != "" {
			m.secret(spec, "the annotation of "+s.Metadata.Name)
		}
		c.list = append(c.list, m)
	}
}

// alike tells whether a router of another Node is the same one; one with a password is nobody else's, for passwords may differ.
func alike(have any, spec *api.BGPPeerSpec) bool {
	o, ok := have.(*api.BGPPeerSpec)
	if !ok || o.NodeSelector == nil || len(o.NodeSelector.MatchExpressions) != 1 || o.Authentication != nil {
		return false
	}
	bare := *o
	bare.NodeSelector = nil
	a, b := line(bare), line(*spec)
	return a == b
}

// free is a name for a router that no other object has.
func (c *conversion) free(a netip.Addr) string {
	name := "router-" + strings.Trim(strings.NewReplacer(".", "-", ":", "-").Replace(a.String()), "-")
	for i, try := 2, name; ; i, try = i+1, fmt.Sprintf("%s-%d", name, i) {
		if !slices.ContainsFunc(c.list, func(m made) bool { return m.kind == api.BGPPeers && m.name == try }) {
			return try
		}
	}
}

// secret lets an object name its password, and tells what to do.
func (m *made) secret(spec *api.BGPPeerSpec, of string) {
	spec.Authentication = &api.BGPAuthentication{Type: "MD5", SecretKey: m.name}
	m.notes = append(m.notes, "put the password of "+of+" into Secret kube-router-bgp of the daemon's namespace, under key "+m.name)
}

// peerSpec is a router of a flag or annotation as an object; without its password.
func peerSpec(p model.Peer) *api.BGPPeerSpec {
	spec := &api.BGPPeerSpec{Address: p.Addr.String(), ASN: int64(p.ASN)}
	if p.Port != 0 && p.Port != 179 {
		n := int32(p.Port)
		spec.Port = &n
	}
	if p.Local.IsValid() {
		spec.LocalAddress = p.Local.String()
	}
	if p.Multihop >= 2 {
		n := int32(p.Multihop)
		spec.MultihopTTL = &n
	}
	if p.Hops > 0 {
		n := int32(p.Hops)
		spec.TTLSecurityHops = &n
	}
	if p.Limit != nil {
		n := int64(*p.Limit)
		spec.MaxPrefixes = &n
	}
	if b := p.BFD; b != nil {
		ms := func(d time.Duration) *int32 {
			if d <= 0 {
				return nil
			}
			n := int32(min(d/time.Millisecond, math.MaxInt32))
			return &n
		}
		spec.BFD = &api.BGPBFD{MinRxMilliseconds: ms(b.MinRx), MinTxMilliseconds: ms(b.MinTx)}
		if b.Multiplier > 0 {
			n := int32(b.Multiplier)
			spec.BFD.Multiplier = &n
		}
		if b.Port > 0 {
			n := int32(b.Port)
			spec.BFD.Port = &n
		}
	}
	return spec
}

// flags converts the arguments of kube-router in a workload.
func (c *conversion) flags(s *Source) {
	f := fieldsOf(s)
	pod := f
	if s.Kind != "Pod" {
		pod = f.object("template").object("spec")
	}
	for _, o := range pod.objects("containers") {
		args := append(o.texts("command"), o.texts("args")...)
		if !slices.ContainsFunc(append(args, o.text("image"), o.text("name")), func(t string) bool { return strings.Contains(t, "kube-router") }) {
			continue
		}
		c.routers(s, given(args))
		c.ranges(s, given(args))
	}
}

// given are flags with their values; those of one flag are put together.
func given(args []string) map[string][]string {
	all := map[string][]string{}
	for i, a := range args {
		name, value, ok := strings.Cut(strings.TrimPrefix(a, "--"), "=")
		if !strings.HasPrefix(a, "--") {
			continue
		}
		if !ok {
			if value = "true"; i+1 < len(args) && !strings.HasPrefix(args[i+1], "-") {
				value = args[i+1]
			}
		}
		for _, v := range strings.Split(value, ",") {
			all[name] = append(all[name], strings.TrimSpace(v))
		}
	}
	return all
}

// routers converts --peer-router-*. Lists go by their order; one that has but one value has it for all.
func (c *conversion) routers(s *Source, g map[string][]string) {
	at := func(name string, i int) uint64 {
		list := g[name]
		if len(list) == 1 {
			i = 0
		}
		if i >= len(list) {
			return 0
		}
		n, _ := strconv.ParseUint(list[i], 10, 32)
		return n
	}
	for i, text := range g["peer-router-ips"] {
		a, err := netip.ParseAddr(text)
		m := made{kind: api.BGPPeers, from: "--peer-router-* of " + s.ref(), name: text}
		if err != nil || i >= len(g["peer-router-asns"]) {
			m.lost = "--peer-router-ips: " + text + " is no address, or has no AS number"
			c.list = append(c.list, m)
			continue
		}
		p := model.Peer{Addr: a, ASN: model.ASN(at("peer-router-asns", i)), Port: model.Port(at("peer-router-ports", i)),
			Multihop: uint8(at("peer-router-multihop-ttl", 0)), Hops: uint8(at("peer-router-ttl-security", 0))}
		spec := peerSpec(p)
		m.name, m.spec = c.free(a), spec
		if len(g["peer-router-passwords"])+len(g["peer-router-passwords-file"]) > 0 {
			m.secret(spec, "--peer-router-passwords or its file, if this router has one (else take authentication out),")
		}
		c.list = append(c.list, m)
	}
}

// ranges converts the range of load balancer addresses, and what is advertised.
func (c *conversion) ranges(s *Source, g map[string][]string) {
	if list := g["loadbalancer-ip-range"]; len(list) > 0 {
		no := false
		c.list = append(c.list, made{kind: api.AddressPools, name: "flags", from: "--loadbalancer-ip-range of " + s.ref(), spec: &api.AddressPoolSpec{Addresses: list, AvoidEdges: &no},
			notes: []string{"the flag may stay meanwhile: of what both have the pool is the older, and addresses stay with whom they are"}})
	}
	ad := &api.BGPAdvertisementSpec{}
	for _, f := range []struct {
		flag, sort string
		otherwise  bool
	}{
		{"advertise-loadbalancer-ip", "LoadBalancer", false}, {"advertise-external-ip", "ExternalIP", false}, {"advertise-cluster-ip", "ClusterIP", false}, {"advertise-pod-cidr", "PodCIDR", true},
	} {
		on := f.otherwise
		if list := g[f.flag]; len(list) > 0 {
			on = list[len(list)-1] == "true"
		}
		if on {
			ad.Addresses = append(ad.Addresses, f.sort)
		}
	}
	if len(g["peer-router-ips"]) > 0 && len(ad.Addresses) > 0 {
		c.list = append(c.list, made{kind: api.BGPAdvertisements, name: "flags", from: "--advertise-* of " + s.ref(), spec: ad,
			notes: []string{"annotations kube-router.io/service.advertise.* have no say where this speaks; those of Nodes about communities, MED and prepending are heeded as before"}})
	}
}

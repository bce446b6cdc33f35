package convert

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kube-router/internal/api"
)

// metallb converts an object of metallb.io.
func (c *conversion) metallb(s *Source) {
	f := fieldsOf(s)
	m := made{name: s.Metadata.Name, from: s.ref()}
	switch s.Kind {
	case "IPAddressPool":
		c.pool(s, f, m)
	case "L2Advertisement":
		c.l2(f, m)
	case "BGPPeer":
		c.peer(s, f, m)
	case "BGPAdvertisement":
		c.advertisement(f, m)
	case "BFDProfile", "Community": // they are in those who name them
	default:
		m.kind = api.AddressPools
		m.lost = "there is no such kind here"
		c.list = append(c.list, m)
	}
}

// add adds an object, with a line for each field that nobody read.
func (c *conversion) add(m made, f *fields) {
	m.notes = append(m.notes, f.rest()...)
	c.list = append(c.list, m)
}

func (c *conversion) pool(s *Source, f *fields, m made) {
	spec := &api.AddressPoolSpec{Addresses: f.texts("addresses")}
	if v, ok := f.take("autoAssign").(bool); ok && !v {
		spec.AutoAssign = &v
	}
	if edges := f.yes("avoidBuggyIPs"); !edges {
		spec.AvoidEdges = &edges
	}
	a := f.object("serviceAllocation")
	if n, ok := a.number("priority"); ok && n > 0 {
		p := int32(min(n, math.MaxInt32))
		if spec.Priority = &p; p > 100 {
			m.notes = append(m.notes, "pools without a priority have 100 here, and go before this one")
		}
	}
	namespaces := selectors(a, "namespaceSelectors")
	if names := a.texts("namespaces"); len(names) > 0 {
		namespaces = append(namespaces, &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
			{Key: "kubernetes.io/metadata.name", Operator: metav1.LabelSelectorOpIn, Values: names},
		}})
	}
	var lost [2]bool
	spec.NamespaceSelector, lost[0] = single(namespaces)
	spec.ServiceSelector, lost[1] = single(selectors(a, "serviceSelectors"))
	if lost != [2]bool{} {
		spec.Disabled = true
		m.notes = append(m.notes, "disabled: of several selectors, any of which is enough, only those can be one that differ in a value; write a pool for each: "+
			line(s.Spec["serviceAllocation"]))
	}
	m.kind, m.spec, m.labels = api.AddressPools, spec, s.Metadata.Labels
	c.add(m, f)
}

// selectors reads a list of label selectors, any of which is enough.
func selectors(f *fields, name string) []*metav1.LabelSelector {
	var list []*metav1.LabelSelector
	for _, o := range f.objects(name) {
		s := &metav1.LabelSelector{}
		labels, _ := o.take("matchLabels").(map[string]any)
		for k, v := range labels {
			if s.MatchLabels == nil {
				s.MatchLabels = map[string]string{}
			}
			s.MatchLabels[k] = fmt.Sprint(v)
		}
		for _, e := range o.objects("matchExpressions") {
			s.MatchExpressions = append(s.MatchExpressions, metav1.LabelSelectorRequirement{
				Key: e.text("key"), Operator: metav1.LabelSelectorOperator(e.text("operator")), Values: e.texts("values"),
			})
		}
		list = append(list, s)
	}
	return list
}

// single is one selector in the place of several any of which is enough. That goes where they are about one label's values alone.
func single(list []*metav1.LabelSelector) (s *metav1.LabelSelector, lost bool) {
	if len(list) == 0 {
		return nil, false
	}
	if len(list) == 1 {
		return list[0], false
	}
	in := metav1.LabelSelectorRequirement{Operator: metav1.LabelSelectorOpIn}
	for _, o := range list {
		asks := slices.Clone(o.MatchExpressions)
		for k, v := range o.MatchLabels {
			asks = append(asks, metav1.LabelSelectorRequirement{Key: k, Operator: metav1.LabelSelectorOpIn, Values: []string{v}})
		}
		if len(asks) != 1 || asks[0].Operator != metav1.LabelSelectorOpIn || in.Key != "" && in.Key != asks[0].Key {
			return nil, true
		}
		in.Key, in.Values = asks[0].Key, append(in.Values, asks[0].Values...)
	}
	return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{in}}, false
}

// poolsOf are the pools that an advertisement names or selects; false: it selects, and none is there.
func (c *conversion) poolsOf(f *fields) ([]string, bool) {
	names := f.texts("ipAddressPools")
	list := selectors(f, "ipAddressPoolSelectors")
	for _, p := range c.pools {
		if slices.ContainsFunc(list, func(s *metav1.LabelSelector) bool { return matches(s, p.Metadata.Labels) }) && !slices.Contains(names, p.Metadata.Name) {
			names = append(names, p.Metadata.Name)
		}
	}
	return names, len(list) == 0 || len(names) > 0
}

func matches(s *metav1.LabelSelector, labels map[string]string) bool {
	sel, err := metav1.LabelSelectorAsSelector(s)
	return err == nil && sel.Matches(set(labels))
}

// set are labels as a selector asks for them.
type set map[string]string

// Has tells whether there is a label.
func (s set) Has(key string) bool { _, ok := s[key]; return ok }

// Get is the value of a label.
func (s set) Get(key string) string { return s[key] }

// Lookup is the value of a label, and whether there is one.
func (s set) Lookup(key string) (string, bool) { v, ok := s[key]; return v, ok }

func (c *conversion) l2(f *fields, m made) {
	spec := &api.L2AdvertisementSpec{Interfaces: f.texts("interfaces")}
	var some, nodes, services bool
	spec.Pools, some = c.poolsOf(f)
	spec.NodeSelector, nodes = single(selectors(f, "nodeSelectors"))
	spec.ServiceSelector, services = single(selectors(f, "serviceSelectors"))
	switch {
	case !some:
		m.lost = "its ipAddressPoolSelectors select no pool that was read"
	case nodes || services:
		m.lost = "of several selectors, any of which is enough, only those can be one that differ in a value; give the nodes or Services a label in common"
	}
	m.kind, m.spec = api.L2Advertisements, spec
	c.add(m, f)
}

func (c *conversion) advertisement(f *fields, m made) {
	spec := api.BGPAdvertisementSpec{Peers: f.texts("peers")}
	var some, services bool
	spec.Pools, some = c.poolsOf(f)
	nodes := selectors(f, "nodeSelectors")
	spec.ServiceSelector, services = single(selectors(f, "serviceSelectors"))
	if !some {
		m.lost = "its ipAddressPoolSelectors select no pool that was read"
	}
	if services {
		m.lost = "of several serviceSelectors, any of which is enough, only those can be one that differ in a value; write an advertisement for each"
	}
	for _, name := range f.texts("communities") {
		if value, ok := c.communities[name]; ok {
			name = value
		}
		spec.Communities = append(spec.Communities, strings.TrimPrefix(name, "large:"))
		if !strings.Contains(name, ":") {
			m.lost = "community " + name + " is the name of no Community that was read"
		}
	}
	if n, ok := f.number("localPref"); ok && n > 0 {
		spec.LocalPreference = &n
	}
	if n, ok := f.number("aggregationLength"); ok && n < 32 {
		l := int32(n)
		spec.AggregationLength4 = &l
	}
	if n, ok := f.number("aggregationLengthV6"); ok && n < 128 {
		l := int32(n)
		spec.AggregationLength6 = &l
	}
	if spec.AggregationLength4 != nil || spec.AggregationLength6 != nil {
		m.notes = append(m.notes, "an aggregate must lie in a range of its pool whole; where it doesn't, addresses are advertised one by one")
	}
	m.kind = api.BGPAdvertisements
	one, lost := single(nodes)
	if !lost {
		spec.NodeSelector, m.spec = one, &spec
		c.add(m, f)
		return
	}
	for i, n := range nodes { // each node that any of them selects advertises
		part, copied := m, spec
		copied.NodeSelector = n
		part.name, part.spec = fmt.Sprintf("%s-%d", m.name, i+1), &copied
		c.add(part, f)
	}
}

func (c *conversion) peer(s *Source, f *fields, m made) {
	spec := &api.BGPPeerSpec{Address: f.text("peerAddress"), LocalAddress: f.text("sourceAddress")}
	if n, ok := f.number("peerASN"); ok {
		spec.ASN = n
	}
	if n, ok := f.number("myASN"); ok {
		spec.LocalASN = &n
	}
	if n, ok := f.number("peerPort"); ok && n != 0 && n != 179 {
		p := int32(n)
		spec.Port = &p
	}
	spec.HoldTimeSeconds, spec.KeepaliveSeconds = seconds(f, "holdTime", &m), seconds(f, "keepaliveTime", &m)
	var lost bool
	if spec.NodeSelector, lost = single(selectors(f, "nodeSelectors")); lost {
		m.lost = "of several nodeSelectors, any of which is enough, only those can be one that differ in a value; give the nodes a label in common"
	}
	for _, name := range []string{"vrf", "interface", "dynamicASN", "localASN"} {
		if v, ok := f.all[name]; ok && v != "" {
			m.lost = fmt.Sprintf("spec.%s has no counterpart, and without it this would be another session: %v", name, v)
			f.take(name)
		}
	}
	password, secret := f.text("password"), f.object("passwordSecret")
	name := secret.text("name")
	secret.take("namespace")
	if password != "" || name != "" {
		spec.Authentication = &api.BGPAuthentication{Type: "MD5", SecretKey: m.name}
		from := "its spec.password"
		if name != "" {
			from = "Secret " + name
		}
		m.notes = append(m.notes, "put the password of "+from+" into Secret kube-router-bgp of the daemon's namespace, under key "+m.name)
	}
	if f.yes("ebgpMultiHop") {
		ttl := int32(255)
		spec.MultihopTTL = &ttl
	}
	if f.yes("enableGracefulRestart") {
		t := int32(120)
		spec.GracefulRestartSeconds = &t
	}
	if f.yes("disableMP") {
		spec.Families = []string{"IPv4"}
		if strings.Contains(spec.Address, ":") {
			spec.Families = []string{"IPv6"}
		}
	}
	f.take("dualStackAddressFamily") // both families are exchanged here wherever the cluster has them
	if profile := f.text("bfdProfile"); profile != "" {
		spec.BFD = c.profile(profile, &m)
	}
	m.kind, m.spec, m.labels = api.BGPPeers, spec, s.Metadata.Labels
	c.add(m, f)
}

// profile is what a BFDProfile says.
func (c *conversion) profile(name string, m *made) *api.BGPBFD {
	s := c.bfd[name]
	if s == nil {
		m.notes = append(m.notes, "there was no BFDProfile "+name+"; these are the defaults of here")
		return &api.BGPBFD{}
	}
	f := fieldsOf(s)
	number := func(name string, otherwise int32) *int32 {
		if n, ok := f.number(name); ok {
			otherwise = int32(n)
		}
		return &otherwise
	}
	// What it doesn't say is 300 ms and 3 there.
	bfd := &api.BGPBFD{Multiplier: number("detectMultiplier", 3), MinRxMilliseconds: number("receiveInterval", 300), MinTxMilliseconds: number("transmitInterval", 300)}
	for _, line := range f.rest() {
		m.notes = append(m.notes, "BFDProfile "+name+": "+line)
	}
	return bfd
}

// seconds reads a duration.
func seconds(f *fields, name string, m *made) *int32 {
	text := f.text(name)
	if text == "" {
		return nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < time.Second {
		m.notes = append(m.notes, "spec."+name+" has no counterpart: "+text)
		return nil
	}
	n := int32(d / time.Second)
	return &n
}

package advert

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kube-router/internal/intent"
	"kube-router/internal/model"
)

func pfx(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func addrs(text string) []netip.Addr {
	var list []netip.Addr
	for _, s := range strings.Fields(text) {
		list = append(list, netip.MustParseAddr(s))
	}
	return list
}

func prefixes(text string) []netip.Prefix {
	var list []netip.Prefix
	for _, s := range strings.Fields(text) {
		list = append(list, pfx(s))
	}
	return list
}

func node(name, ips, cidrs string, options ...func(*model.Node)) *model.Node {
	n := &model.Node{Name: name, InternalIPs: addrs(ips), PodCIDRs: prefixes(cidrs)}
	for _, f := range options {
		f(n)
	}
	return n
}

func with(f func(*model.NodeOptions)) func(*model.Node) { return func(n *model.Node) { f(&n.Options) } }

// world is our node a and what is put beside it.
func world(change func(*model.Settings), self ...func(*model.Node)) *model.Model {
	s := model.Settings{Node: "a", Router: true, Proxy: true, IPv4: true, IPv6: true}
	s.Routes.Source = "bgp"
	s.Services.StrictExternal = true
	s.Services.ClusterRanges = prefixes("10.96.0.0/12 fd00:96::/112")
	s.Services.ExternalRanges = prefixes("10.98.0.0/16")
	s.Services.ClusterRanges[0] = pfx("10.96.0.0/16")
	s.Allocator.Ranges = prefixes("10.99.0.0/16 fd00:99::/112")
	s.BGP = model.BGPSettings{ASN: 64512, FullMesh: true, IBGP: true, Port: 179, HoldTime: 90 * time.Second, AdvertisePodCIDR: true}
	if change != nil {
		change(&s)
	}
	m := model.New(s)
	m.Put(node("a", "10.0.0.1 fd00::1", "10.244.1.0/24 fd01::/64", self...))
	return m
}

// sessions are the sessions with all other nodes, by address.
func sessions(m *model.Model) ([]*intent.Neighbor, []model.Remark) {
	var all []*intent.Neighbor
	var remarks []model.Remark
	for _, name := range slices.Sorted(maps.Keys(m.Nodes)) {
		list, more := Session(m, name)
		all, remarks = append(all, list...), append(remarks, more...)
	}
	slices.SortFunc(all, func(a, b *intent.Neighbor) int { return a.Addr.Compare(b.Addr) })
	return all, remarks
}

// lines prints what Speaker and Session plan, one line each, with the remarks.
func lines(m *model.Model) string {
	b, remarks := Speaker(m)
	nodes, more := sessions(m)
	remarks = append(remarks, more...)
	var out strings.Builder
	if b != nil {
		fmt.Fprintln(&out, b.Speaker)
		for _, n := range append(b.Neighbors, nodes...) {
			fmt.Fprintln(&out, n)
		}
		for _, a := range b.Announces {
			fmt.Fprintln(&out, a)
		}
	}
	for _, r := range remarks {
		fmt.Fprintln(&out, r)
	}
	return out.String()
}

const own = "pods 10.244.1.0/24 via 10.0.0.1\npods fd01::/64 via fd00::1\n"

func TestMesh(t *testing.T) {
	asn := func(as model.ASN) func(*model.Node) { return with(func(o *model.NodeOptions) { o.ASN = as }) }
	server := func(id string) func(*model.Node) { return with(func(o *model.NodeOptions) { o.RRServer = id }) }
	client := func(id string) func(*model.Node) { return with(func(o *model.NodeOptions) { o.RRClient = id }) }
	perAS := func(s *model.Settings) { s.BGP.FullMesh = false }
	here := "AS 64512 router-id 10.0.0.1 at [10.0.0.1 fd00::1] port 179\n"
	for _, c := range []struct {
		name   string
		change func(*model.Settings)
		self   []func(*model.Node)
		others []*model.Node
		want   string
	}{
		{name: "alone", want: here + own},
		{
			name:   "a full mesh, each session for the families of both",
			others: []*model.Node{node("b", "10.0.0.2 fd00::2", ""), node("c", "10.0.0.3", "")},
			want:   here + "peer 10.0.0.2 AS 64512 from 10.0.0.1 IPv4 IPv6 node b\npeer 10.0.0.3 AS 64512 from 10.0.0.1 IPv4 node c\n" + own,
		},
		{
			name:   "a node whose primary address is IPv6 is met in IPv4, which both have",
			others: []*model.Node{node("b", "fd00::2 10.0.0.2", "")},
			want:   here + "peer 10.0.0.2 AS 64512 from 10.0.0.1 IPv4 IPv6 node b\n" + own,
		},
		{
			name:   "a node of one other family",
			others: []*model.Node{node("b", "fd00::2", "")},
			want:   here + "peer fd00::2 AS 64512 from fd00::1 IPv6 node b\n" + own,
		},
		{
			name: "nothing in common", change: func(s *model.Settings) { s.IPv6 = false },
			others: []*model.Node{node("b", "fd00::2", ""), node("c", "", "")},
			want: "AS 64512 router-id 10.0.0.1 at [10.0.0.1] port 179\npods 10.244.1.0/24 via 10.0.0.1\n" +
				"Node a: status.addresses: no session with node b: no enabled address family in common\n" +
				"Node a: status.addresses: no session with node c: no address family in common\n",
		},
		{
			name: "one AS of several", change: perAS, self: []func(*model.Node){asn(64600)},
			others: []*model.Node{node("b", "10.0.0.2", "", asn(64600)), node("c", "10.0.0.3", "", asn(64601)), node("d", "10.0.0.4", "")},
			want:   "AS 64600 router-id 10.0.0.1 at [10.0.0.1 fd00::1] port 179\npeer 10.0.0.2 AS 64600 from 10.0.0.1 IPv4 node b\n" + own,
		},
		{
			name: "no AS of our own", change: perAS,
			want: "Node a: kube-router.io/node.asn: no BGP: with --nodes-full-mesh=false every node needs its AS number\n",
		},
		{
			name: "a reflector meets everybody but clients of others", self: []func(*model.Node){server("17")},
			others: []*model.Node{
				node("b", "10.0.0.2", "", client("0.0.0.17")), node("c", "10.0.0.3", "", client("18")),
				node("d", "10.0.0.4", "", server("18")), node("e", "10.0.0.5", ""),
			},
			want: here + "peer 10.0.0.2 AS 64512 from 10.0.0.1 IPv4 node b client in cluster 0.0.0.17\n" +
				"peer 10.0.0.4 AS 64512 from 10.0.0.1 IPv4 node d\npeer 10.0.0.5 AS 64512 from 10.0.0.1 IPv4 node e\n" + own,
		},
		{
			name: "a client meets its reflectors", self: []func(*model.Node){client("17")},
			others: []*model.Node{
				node("b", "10.0.0.2", "", server("17")), node("c", "10.0.0.3", "", server("18")),
				node("d", "10.0.0.4", "", client("17")), node("e", "10.0.0.5", ""),
			},
			want: here + "peer 10.0.0.2 AS 64512 from 10.0.0.1 IPv4 node b\n" + own,
		},
		{
			name: "a client without a reflector", self: []func(*model.Node){client("17")}, others: []*model.Node{node("b", "10.0.0.2", "")},
			want: here + own + "Node a: kube-router.io/rr.client: no node is a reflector of cluster 17, so no node teaches us its ranges\n",
		},
		{
			name: "others don't meet clients", others: []*model.Node{node("b", "10.0.0.2", "", client("17")), node("c", "10.0.0.3", "", server("17"))},
			want: here + "peer 10.0.0.3 AS 64512 from 10.0.0.1 IPv4 node c\n" + own,
		},
		{
			name: "routes from the API", change: func(s *model.Settings) { s.Routes.Source = "api" }, others: []*model.Node{node("b", "10.0.0.2", "")},
			want: here + own,
		},
		{
			name: "no iBGP", change: func(s *model.Settings) { s.BGP.IBGP = false }, others: []*model.Node{node("b", "10.0.0.2", "")},
			want: here + own,
		},
		{
			name: "what sessions have", change: func(s *model.Settings) {
				s.BGP.IBGPPassword, s.BGP.Port, s.BGP.HoldTime = "secret", 1179, 30*time.Second
				s.BGP.GracefulRestart, s.BGP.RestartTime, s.BGP.DeferralTime = true, 90*time.Second, 360*time.Second
				s.BGP.BFD = &model.BFD{MinTx: 300 * time.Millisecond}
			}, others: []*model.Node{node("b", "10.0.0.2", "")},
			want: "AS 64512 router-id 10.0.0.1 at [10.0.0.1 fd00::1] port 1179\n" +
				"peer 10.0.0.2 AS 64512 from 10.0.0.1 IPv4 node b port 1179 hold 30s restart 1m30s/1s password bfd 3784 300ms/1s x3\n" + own,
		},
		{
			name: "a node with our address", others: []*model.Node{node("b", "10.0.0.1", "")},
			want: here + own + "Node a: status.addresses: no session with node b: it claims our address 10.0.0.1\n",
		},
		{
			name: "nodes with one address", others: []*model.Node{node("d", "10.0.0.2", ""), node("c", "10.0.0.2", ""), node("b", "10.0.0.2", "", client("17"))},
			want: here + "peer 10.0.0.2 AS 64512 from 10.0.0.1 IPv4 node c\n" + own + "Node a: no session with node d: node c has its address 10.0.0.2\n",
		},
		{name: "no router", change: func(s *model.Settings) { s.Router = false }, want: ""},
	} {
		m := world(c.change, c.self...)
		for _, n := range c.others {
			m.Put(n)
		}
		have := lines(m)
		if d := cmp.Diff(strings.Join(sorted(c.want), "\n"), strings.Join(sorted(have), "\n")); d != "" {
			t.Errorf("%s: want - have +:\n%s", c.name, d)
		}
	}
}

// TestListen is about the annotation that says where the speaker listens.
func TestListen(t *testing.T) {
	for text, want := range map[string]string{
		"":                           "[10.0.0.1 fd00::1]",
		"10.0.0.9 10.0.0.1 10.0.0.9": "[10.0.0.1 10.0.0.9]",
		"0.0.0.0":                    "[0.0.0.0]",
		"0.0.0.0 10.0.0.1 fd00::1":   "[0.0.0.0 fd00::1]",
		":: fd00::1 10.0.0.1":        "[10.0.0.1 ::]",
		"0.0.0.0 :: 10.0.0.1":        "[]",
	} {
		b, _ := Speaker(world(nil, with(func(o *model.NodeOptions) { o.BGPLocalAddrs = addrs(text) })))
		if have := fmt.Sprint(b.Speaker.Listen); have != want {
			t.Errorf("%q: want %s, have %s", text, want, have)
		}
	}
}

// sorted puts remarks, which come in the order of a map, in order.
func sorted(text string) []string {
	list := strings.Split(text, "\n")
	for i := range list {
		for j := i + 1; j < len(list); j++ {
			if strings.HasPrefix(list[i], "Node ") && strings.HasPrefix(list[j], "Node ") && list[j] < list[i] {
				list[i], list[j] = list[j], list[i]
			}
		}
	}
	return list
}

// TestPairsAgree lets every node of a mixed cluster plan: whoever wants a session with somebody is wanted by
// him, over the same two addresses.
func TestPairsAgree(t *testing.T) {
	kinds := []func(*model.Node){
		func(*model.Node) {}, with(func(o *model.NodeOptions) { o.RRServer = "1" }), with(func(o *model.NodeOptions) { o.RRClient = "1" }),
		with(func(o *model.NodeOptions) { o.RRServer = "0.0.0.2" }), with(func(o *model.NodeOptions) { o.RRClient = "2" }),
	}
	m := world(nil)
	i := 1
	for _, kind := range kinds {
		for _, ips := range []string{"10.0.1.%d", "fd00::1:%d", "10.0.1.%d fd00::1:%[1]d", "fd00::1:%d 10.0.1.%[1]d"} {
			i++
			n := node(fmt.Sprintf("n%d", i), fmt.Sprintf(ips, i), "", kind)
			m.Put(n)
		}
	}
	ends := map[string]bool{}
	for name := range m.Nodes {
		m.Settings.Node = name
		list, _ := sessions(m)
		for _, n := range list {
			ends[n.Local.String()+">"+n.Addr.String()+fmt.Sprint(n.V4, n.V6)] = true
		}
	}
	for s := range ends {
		pair, families := s[:strings.IndexAny(s, "tf")], s[strings.IndexAny(s, "tf"):]
		// "fd00::" holds an f as well: cut behind the last address.
		if cut := strings.LastIndexAny(s, "0123456789"); cut >= 0 {
			pair, families = s[:cut+1], s[cut+1:]
		}
		a, b, _ := strings.Cut(pair, ">")
		if !ends[b+">"+a+families] {
			t.Errorf("only one side wants %s", s)
		}
	}
	if len(ends) < 100 {
		t.Errorf("only %d ends of sessions", len(ends))
	}
}

func TestRouters(t *testing.T) {
	flags := func(peers ...model.Peer) func(*model.Settings) {
		return func(s *model.Settings) { s.BGP.Peers, s.BGP.IBGP = peers, false }
	}
	peer := func(a string, as model.ASN) model.Peer { return model.Peer{Addr: netip.MustParseAddr(a), ASN: as} }
	full := peer("10.9.0.1", 65001)
	full.Port, full.Password, full.Multihop, full.BFD = 1179, "secret", 4, &model.BFD{Port: 4784, Multiplier: 5}
	full.Local = netip.MustParseAddr("10.0.0.9")
	wrong := peer("10.9.0.2", 65001)
	wrong.Local = netip.MustParseAddr("fd00::9")
	annotated := with(func(o *model.NodeOptions) { o.Peers = []model.Peer{peer("10.9.0.7", 65007)} })
	for _, c := range []struct {
		name   string
		change func(*model.Settings)
		self   []func(*model.Node)
		want   string
	}{
		{"both families over one session, port 179 whatever ours is", flags(peer("10.9.0.1", 65001)), nil,
			"peer 10.9.0.1 AS 65001 from 10.0.0.1 IPv4 IPv6\n"},
		{"an IPv6 router", flags(peer("fd09::1", 65001)), nil, "peer fd09::1 AS 65001 from fd00::1 IPv4 IPv6\n"},
		{"everything", flags(full), nil,
			"peer 10.9.0.1 AS 65001 from 10.0.0.9 IPv4 IPv6 port 1179 ttl 4 password bfd 4784 1s/1s x5\n"},
		{"flags before annotations", flags(peer("10.9.0.1", 65001)), []func(*model.Node){annotated}, "peer 10.9.0.1 AS 65001 from 10.0.0.1 IPv4 IPv6\n"},
		{"annotations", flags(), []func(*model.Node){annotated}, "peer 10.9.0.7 AS 65007 from 10.0.0.1 IPv4 IPv6\n"},
		{"what can't be", flags(peer("10.0.0.1", 65001), peer("10.9.0.1", 65001), peer("10.9.0.1", 65002), wrong), nil,
			"peer 10.9.0.1 AS 65001 from 10.0.0.1 IPv4 IPv6\n" +
				"Node a: --peer-router-ips: 10.0.0.1 ignored: it is this node\n" +
				"Node a: --peer-router-ips: 10.9.0.1 ignored: given twice; the first counts\n" +
				"Node a: --peer-router-ips: 10.9.0.2 ignored: its localip fd00::9 is of the other family\n"},
		{"a node where a router is", func(s *model.Settings) { s.BGP.Peers = []model.Peer{peer("10.0.0.2", 65001)} }, nil,
			"peer 10.0.0.2 AS 65001 from 10.0.0.1 IPv4 IPv6\nNode a: no session with node b: its address 10.0.0.2 is a router's\n"},
	} {
		m := world(c.change, c.self...)
		m.Put(node("b", "10.0.0.2", ""))
		var have string
		for _, l := range strings.SplitAfter(lines(m), "\n") {
			if strings.HasPrefix(l, "peer") || strings.HasPrefix(l, "Node") {
				have += l
			}
		}
		if d := cmp.Diff(c.want, have); d != "" {
			t.Errorf("%s: want - have +:\n%s", c.name, d)
		}
	}
}

func TestRouterID(t *testing.T) {
	for _, c := range []struct{ ips, flag, want string }{
		{"10.0.0.1", "", "10.0.0.1"},
		{"10.0.0.1", "192.0.2.1", "192.0.2.1"},
		{"10.0.0.1", "generate", "0.15.248.254"},
		{"fd00::1 10.0.0.1", "", "148.2.92.203"},
		{"fd00::1 10.0.0.1", "generate", "148.2.92.203"},
	} {
		m := world(func(s *model.Settings) { s.BGP.RouterID = c.flag })
		m.Put(node("a", c.ips, ""))
		b, _ := Speaker(m)
		if have := b.Speaker.RouterID.String(); have != c.want {
			t.Errorf("%s with %q: want %s, have %s", c.ips, c.flag, c.want, have)
		}
	}
}

func TestPods(t *testing.T) {
	pref, zero := uint32(250), uint32(0)
	for _, c := range []struct {
		name   string
		change func(*model.Settings)
		self   []func(*model.Node)
		want   string
	}{
		{"own ranges", nil, nil, own},
		{"with a preference", nil, []func(*model.Node){with(func(o *model.NodeOptions) { o.LocalPref = &pref })},
			"pods 10.244.1.0/24 via 10.0.0.1 local-pref 250\npods fd01::/64 via fd00::1 local-pref 250\n"},
		{"with one that can't be", nil, []func(*model.Node){with(func(o *model.NodeOptions) { o.LocalPref = &zero })},
			own + "Node a: kube-router.io/node.bgp.local-pref: 0 ignored: advertised as without the annotation\n"},
		{"one family", func(s *model.Settings) { s.IPv6 = false }, nil, "pods 10.244.1.0/24 via 10.0.0.1\n"},
		{"no address of the family", nil, []func(*model.Node){func(n *model.Node) { n.InternalIPs = addrs("10.0.0.1") }},
			"pods 10.244.1.0/24 via 10.0.0.1\nNode a: spec.podCIDRs: fd01::/64 not advertised: the node has no IPv6 address\n"},
		{"an aggregate in place of what lies in it", func(s *model.Settings) { s.BGP.AggregatePodCIDRs = prefixes("10.244.0.0/16") }, nil,
			"pods outside 10.244.0.0/16 via 10.0.0.1\n" + own + "pods outside fd01::/64 via fd00::1\n"},
		{"ranges of Services", func(s *model.Settings) { s.BGP.AggregateServices, s.BGP.AdvertiseLB = true, true }, nil,
			"service 10.99.0.0/16 via 10.0.0.1\n" + own + "service fd00:99::/112 via fd00::1\n"},
		{"not of a drained node", func(s *model.Settings) { s.BGP.AggregateServices, s.BGP.AdvertiseLB = true, true },
			[]func(*model.Node){func(n *model.Node) { n.ExcludeFromLB = true }}, own},
	} {
		_, have, _ := strings.Cut(lines(world(c.change, c.self...)), "\n")
		if d := cmp.Diff(strings.Join(ordered(c.want), ""), strings.Join(ordered(have), "")); d != "" {
			t.Errorf("%s: want - have +:\n%s", c.name, d)
		}
	}
}

func ordered(text string) []string {
	list := strings.SplitAfter(text, "\n")
	for i := range list {
		for j := i + 1; j < len(list); j++ {
			if list[j] < list[i] {
				list[i], list[j] = list[j], list[i]
			}
		}
	}
	return list
}

func TestExchange(t *testing.T) {
	med := uint32(7)
	m := world(func(s *model.Settings) { s.BGP.OverrideNextHop = true }, with(func(o *model.NodeOptions) {
		o.Communities = []string{"64512:17", "no-export", "65535:65281", "64512:1:2", "64512:1:2", "rubbish", "blackhole"}
		o.PrependAS, o.PrependTimes, o.MED, o.RRServer = 64600, 3, &med, "1"
		o.ImportReject = prefixes("10.2.0.0/16 10.1.0.0/16 10.2.0.0/16")
	}))
	b, remarks := Speaker(m)
	want := "exchange v4=true v6=true pods-outside=true reflect next-hop-self prepend 64600 x3 " +
		"communities [4227858449 4294967041 4294902426] large [[64512 1 2]] reject [10.1.0.0/16 10.2.0.0/16] med 7"
	want = strings.Replace(want, "4227858449", fmt.Sprint(64512<<16|17), 1)
	if d := cmp.Diff(want, b.Exchange.String()); d != "" {
		t.Errorf("want - have +:\n%s", d)
	}
	if len(remarks) != 1 || !strings.Contains(remarks[0].Message, "rubbish") {
		t.Errorf("remarks: %v", remarks)
	}
}

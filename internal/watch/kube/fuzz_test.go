package kube

import (
	"encoding/json"
	"net/netip"
	"slices"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"

	"kube-router/internal/model"
)

// fuzz feeds JSON of one kind to its conversion: it must not panic, must say the same twice, and what it
// returns must hold what check demands.
func fuzz[A any, M model.Object](f *testing.F, convert func(*A) M, check func(*testing.T, M), seeds ...string) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		o := new(A)
		if json.Unmarshal(data, o) != nil {
			return
		}
		m := convert(o)
		same(t, m, convert(o))
		check(t, m)
	})
}

func usable(t *testing.T, what string, list []netip.Addr) {
	t.Helper()
	for i, a := range list {
		if !a.IsValid() || a.Is4In6() || a.Zone() != "" || special(a) != "" || slices.Contains(list[:i], a) {
			t.Errorf("%s: unfit address %s", what, a)
		}
	}
}

func masked(t *testing.T, what string, list []netip.Prefix) {
	t.Helper()
	for _, p := range list {
		if !p.IsValid() || p != p.Masked() || p.Addr().Is4In6() {
			t.Errorf("%s: unfit block %s", what, p)
		}
	}
}

func FuzzConvertService(f *testing.F) {
	fuzz(f, ConvertService, func(t *testing.T, s *model.Service) {
		usable(t, "clusterIPs", s.ClusterIPs)
		usable(t, "externalIPs", s.ExternalIPs)
		usable(t, "requested", s.Requested)
		masked(t, "sources", s.Sources)
		for _, in := range s.Ingress {
			usable(t, "ingress", []netip.Addr{in.Addr})
		}
		for _, p := range s.Ports {
			if p.Port == 0 {
				t.Errorf("port 0")
			}
		}
	},
		`{"metadata":{"annotations":{"kube-router.io/service.dsr":"tunnel","kube-router.io/service.loadbalancer-ips":"1.2.3.4,::1"}},"spec":{"clusterIPs":["10.96.0.1","fd00::1"],"externalIPs":["::ffff:1.2.3.4"],"loadBalancerSourceRanges":["1.2.3.4/8","x"],"ports":[{"port":80,"nodePort":30080},{"port":0}]}}`,
		`{"spec":{"clusterIP":"None","sessionAffinity":"ClientIP","sessionAffinityConfig":{"clientIP":{"timeoutSeconds":-1}}},"status":{"loadBalancer":{"ingress":[{"ip":"1.2.3.4","ipMode":"Proxy"}]}}}`)
}

func FuzzConvertSlice(f *testing.F) {
	fuzz(f, ConvertSlice, func(t *testing.T, s *model.Slice) {
		var all []netip.Addr
		for _, e := range s.Endpoints {
			all = append(all, e.Addrs...)
			for _, a := range e.Addrs {
				if model.FamilyOf(a) != s.Family {
					t.Errorf("%s in a slice of %s", a, s.Family)
				}
			}
		}
		usable(t, "endpoints", all)
		for _, p := range s.Ports {
			if p.Port == 0 {
				t.Errorf("port 0")
			}
		}
	},
		`{"metadata":{"labels":{"kubernetes.io/service-name":"web"}},"addressType":"IPv4","ports":[{"name":null,"port":80},{"port":null}],"endpoints":[{"addresses":["10.0.0.1","127.0.0.1"],"conditions":{"ready":false}},{"addresses":["10.0.0.1"]}]}`,
		`{"addressType":"IPv6","endpoints":[{"addresses":["fd00::1","::ffff:1.2.3.4"],"hints":{"forZones":[{"name":"z"}]}}]}`)
}

func FuzzConvertPod(f *testing.F) {
	fuzz(f, ConvertPod, func(t *testing.T, p *model.Pod) { usable(t, "podIPs", p.Addrs) },
		`{"spec":{"containers":[{"ports":[{"name":"a","containerPort":1},{"name":"b","containerPort":0}]}],"initContainers":[{"restartPolicy":"Always"}],"terminationGracePeriodSeconds":30},"status":{"podIPs":[{"ip":"10.0.0.1"}],"podIP":"10.0.0.1","phase":"Failed"}}`)
}

func FuzzConvertNamespace(f *testing.F) {
	fuzz(f, ConvertNamespace, func(*testing.T, *model.Namespace) {}, `{"metadata":{"name":"a","labels":{"b":"c"}}}`)
}

func FuzzConvertNode(f *testing.F) {
	fuzz(f, ConvertNode, func(t *testing.T, n *model.Node) {
		usable(t, "internal", n.InternalIPs)
		usable(t, "external", n.ExternalIPs)
		masked(t, "podCIDRs", n.PodCIDRs)
		masked(t, "import reject", n.Options.ImportReject)
		if (n.Options.PrependAS == 0) != (n.Options.PrependTimes == 0) {
			t.Errorf("half a path prepend: %d %d", n.Options.PrependAS, n.Options.PrependTimes)
		}
		if n.Options.RRServer != "" && n.Options.RRClient != "" {
			t.Error("reflector and client at once")
		}
	},
		`{"metadata":{"annotations":{"kube-router.io/path-prepend.as":"1","kube-router.io/path-prepend.repeat-n":"5","kube-router.io/rr.client":"7","kube-router.io/pod-cidrs":"10.0.0.0/24,x"}},"spec":{"podCIDRs":["fd00::/64"]},"status":{"addresses":[{"type":"InternalIP","address":"10.0.0.1"}]}}`,
		`{"metadata":{"annotations":{"kube-router.io/peer.ips":"10.0.0.1,","kube-router.io/peer.asns":"1,2","kube-router.io/peer.ports":","}}}`)
}

// A rule that was limited in the API must stay limited in the model.
func FuzzConvertPolicy(f *testing.F) {
	seeds := []string{
		`{"spec":{"podSelector":{"matchLabels":{"a":"b"}},"policyTypes":["Ingress"],"ingress":[{"from":[{"ipBlock":{"cidr":"10.0.0.0/8","except":["10.1.0.0/16"]}},{}],"ports":[{"port":80,"endPort":90},{"port":"http"}]}]}}`,
		`{"spec":{"egress":[{"to":[{"podSelector":{"matchExpressions":[{"key":"a","operator":"In","values":["b"]}]}}]}]}}`,
	}
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		o := &networkingv1.NetworkPolicy{}
		if json.Unmarshal(data, o) != nil {
			return
		}
		p := ConvertPolicy(o)
		same(t, p, ConvertPolicy(o))
		if p.Ingress == nil && p.Egress == nil {
			t.Fatal("a policy about nothing")
		}
		if p.Ingress != nil {
			for i, r := range p.Ingress.Rules {
				limited(t, r, len(o.Spec.Ingress[i].From), len(o.Spec.Ingress[i].Ports))
			}
		}
		if p.Egress != nil {
			for i, r := range p.Egress.Rules {
				limited(t, r, len(o.Spec.Egress[i].To), len(o.Spec.Egress[i].Ports))
			}
		}
	})
}

func limited(t *testing.T, r model.Rule, peers, ports int) {
	t.Helper()
	if r.AnyPeer != (peers == 0) || r.AnyPort != (ports == 0) || len(r.Peers) > peers || len(r.Ports) > ports {
		t.Errorf("%d peers and %d ports became %+v", peers, ports, r)
	}
	for _, p := range r.Peers {
		if !p.Block.IsValid() && p.Pods == nil && p.Namespaces == nil {
			t.Errorf("an empty peer: %+v", r)
		}
	}
	for _, p := range r.Ports {
		if p.EndPort != 0 && (p.EndPort < p.Port || p.Port == 0) || p.PortName != "" && p.Port != 0 {
			t.Errorf("bad port %+v", p)
		}
	}
}

func FuzzPeers(f *testing.F) {
	f.Add("- {remoteip: 10.0.0.1, remoteasn: 65000, password: c2VjcmV0, bfd: {enabled: true}}")
	f.Add("- remoteip: fd00::1\n  remoteasn: 1\n  port: 70000\n- 7")
	f.Add("a: &a [*a]")
	f.Fuzz(func(t *testing.T, text string) {
		n, r := &model.Node{}, &remarks{}
		nodeOptions(n, r, map[string]string{prefix + "peers": text})
		for _, p := range n.Options.Peers {
			if !p.Addr.IsValid() || p.ASN == 0 || p.BFD != nil && (p.BFD.Multiplier == 0 || p.BFD.MinTx <= 0 || p.BFD.MinRx <= 0) {
				t.Errorf("unfit peer %+v", p)
			}
		}
	})
}

// FuzzAnnotations gives one text to every annotation at once.
func FuzzAnnotations(f *testing.F) {
	for _, s := range []string{"", "true", "tunnel", "1,2", "10.0.0.1,fd00::1", "10.0.0.0/8", "64512:1", ",,", "mh", "flag-1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		all := map[string]string{}
		for _, a := range Annotations() {
			all[a.Key] = text
		}
		n, s, p, r := &model.Node{}, &model.Service{}, &model.Pod{}, &remarks{}
		parseAnnotations(n, r, nodeAnnotations(), all)
		parseAnnotations(s, r, serviceAnnotations(), all)
		parseAnnotations(p, r, podAnnotations(), all)
		usable(t, "requested", s.Requested)
		masked(t, "podCIDRs", n.PodCIDRs)
	})
}

func FuzzParseCommunity(f *testing.F) {
	for _, s := range []string{"1", "1:2", "1:2:3", "no-export", "4294967296", ":::"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseCommunity(text)
		if err != nil {
			return
		}
		if again, err := ParseCommunity(c); err != nil || again != c {
			t.Errorf("%q became %q, which becomes %q, %v", text, c, again, err)
		}
	})
}

package script

import (
	"cmp"
	"os"
	"slices"
	"strings"
	"testing"

	"kube-router/internal/model"
	"kube-router/internal/watch/kube"
)

// referenceAnnotations are those of kube-router v2.11, written from its documentation.
const referenceAnnotations = `service.dsr service.scheduler service.schedflags service.hairpin service.hairpin.externalips service.local
service.pool service.skiplbips service.advertise.clusterip service.advertise.externalip service.advertise.loadbalancerip
node.asn node.bgp.communities node.bgp.customimportreject path-prepend.as path-prepend.repeat-n peers
peer.ips peer.asns peer.ports peer.passwords peer.localips rr.server rr.client bgp-local-addresses pod-cidr pod-cidrs`

// note is an annotation of the Service default/web or of the Node n1 with what it does, and with a value that can't be
// understood.
type note struct {
	effect
	with map[string]string // annotations that are there before and after as well
	bad  string            // empty: every value is understood
	node string            // another Node than n1
}

func on(name, value, also string, less, more []string, bad string) note {
	return note{effect: effect{name: name, value: value, also: also, less: less, more: more}, bad: bad}
}

func (n note) beside(key, value string) note {
	if n.with == nil {
		n.with = map[string]string{}
	}
	n.with[key] = value
	return n
}

type lines = []string

func serviceNotes() []note {
	const open = "--strict-external-ip-validation=false"
	const external = withRouter + " --service-external-ip-range=198.51.100.0/24"
	hairpin := on("service.hairpin", "", withIPVS, nil, nil, "false")
	hairpin.same = lines{"nft: ipvs-hairpin4 { 10.244.1.5 . 10.244.1.5 }"}
	outside := on("service.hairpin.externalips", "", withIPVS+" "+open, nil, nil, "false")
	outside.same = hairpin.same
	sharing := on("service.sharing-key", "k", "--run-loadbalancer "+withRange, lines{"remark: 203.0.113.5 belongs to Service default/web"},
		lines{"balancer: service default/wish external-ip 203.0.113.5"}, "")
	sharing.given = "sharing.yaml"
	return []note{
		on("service.dsr", "tunnel", withIPVS+" "+open, lines{"ipvs: -A -t 198.51.100.7:8080", "rtnl: addr 198.51.100.7/32 dev kube-dummy-if", "ipvs has: 198.51.100.7", "nft: 198.51.100.7"},
			lines{"ipvs: -A -f", "ipvs has: --tun-type ipip", "rtnl: fwmark", "pods: pod default/web-1 at 10.244.1.5: addr 198.51.100.7/32 dev kube-tunnel-if"}, "ipip"),
		on("service.scheduler", "lc", withIPVS, lines{"ipvs: -A -t 10.96.0.10:8080 -s rr", "ipvs has: -s rr"}, lines{"ipvs: -A -t 10.96.0.10:8080 -s lc", "ipvs has: -s lc"}, "best"),
		on("service.schedflags", "flag-1,flag-2", withIPVS, lines{"ipvs: -s mh", "ipvs has: -s mh"}, lines{"ipvs: -s mh -b mh-fallback,mh-port", "ipvs has: -b mh-fallback,mh-port"}, "flag-9").
			beside("service.scheduler", "mh"),
		hairpin, outside,
		on("service.local", "true", "", lines{"nft: services-heads4 { 10.0.0.1 . tcp . 30080 :"}, lines{"nft: services-heads4 { 10.0.0.1 . tcp . 30080 :"}, "maybe"),
		on("service.skiplbips", "", open, lines{"nft: services-heads4 { 203.0.113.5 . tcp . 8080"}, nil, "false"),
		on("service.advertise.clusterip", "true", withRouter, nil, lines{"bgp: path 10.96.0.10/32 nexthop 10.0.0.1"}, "maybe"),
		on("service.advertise.clusterip", "false", withRouter+" --advertise-cluster-ip", lines{"bgp: path 10.96.0.10/32 nexthop 10.0.0.1"}, nil, ""),
		on("service.advertise.externalip", "true", external, nil, lines{"bgp: path 198.51.100.7/32 nexthop 10.0.0.1"}, "maybe"),
		on("service.advertise.loadbalancerip", "true", withRouter+" "+withRange, nil, lines{"bgp: path 203.0.113.5/32 nexthop 10.0.0.1"}, "maybe"),
		on("service.loadbalancer-ips", "203.0.113.77", "--run-loadbalancer --loadbalancer-ip-range=203.0.113.0/24", lines{"balancer: service default/web external-ip 203.0.113.5"}, lines{"balancer: service default/web external-ip 203.0.113.77"}, "x"),
		sharing,
		on("service.pool", "blue", "--run-loadbalancer "+withRange, lines{"balancer: service default/web external-ip 203.0.113.5"},
			lines{"remark: there is no AddressPool blue"}, ""),
	}
}

func nodeNotes() []note {
	const router = "bgp: neighbor 10.0.0.254 as 65001 local 10.0.0.1 port 179"
	peers := func(n note) note {
		return n.beside("peer.ips", "10.0.0.254").beside("peer.asns", "65001")
	}
	return []note{
		on("node.asn", "64600", "--nodes-full-mesh=false", lines{"remark: every node needs its AS number"}, lines{"bgp: global as 64600"}, "x"),
		on("node.bgp.communities", "16:16", withRouter, lines{"bgp: policy export"}, lines{"bgp: 16:16"}, "x"),
		on("node.bgp.customimportreject", "10.9.0.0/16", withRouter, nil, lines{"bgp: customimportrejectdefinedset 10.9.0.0/16"}, "x"),
		on("node.bgp.accept-default-route", "true", withRouter, lines{"bgp: defaultroutedefinedset 0.0.0.0/0"}, nil, "x"),
		on("node.bgp.accept-prefixes", "10.0.0.0/24", withRouter, lines{"bgp: defined-set heldrangesdefinedset 10.0.0.0/24 24..32"}, nil, "x"),
		on("node.bgp.local-pref", "200", "", lines{"bgp: path 10.244.1.0/24 nexthop 10.0.0.1"}, lines{"bgp: path 10.244.1.0/24 nexthop 10.0.0.1 local-pref 200"}, "x"),
		on("node.bgp.med", "5", withRouter, lines{"bgp: policy export"}, lines{"bgp: med 5"}, "x"),
		on("path-prepend.as", "64512", withRouter, lines{"bgp: policy export", "remark: needs a valid kube-router.io/path-prepend.as"}, lines{"bgp: prepend"}, "x").beside("path-prepend.repeat-n", "3"),
		on("path-prepend.repeat-n", "3", withRouter, lines{"bgp: policy export", "remark: needs kube-router.io/path-prepend.repeat-n"}, lines{"bgp: prepend"}, "0").beside("path-prepend.as", "64512"),
		on("peers", "[{remoteip: 10.0.0.254, remoteasn: 65001}]", "", nil, lines{router, "bgp: externalpeerset 10.0.0.254/32"}, "x"),
		on("peer.ips", "10.0.0.254", "", lines{"remark: needs kube-router.io/peer.ips"}, lines{router}, "x").beside("peer.asns", "65001"),
		on("peer.asns", "65001", "", lines{"remark: 1 addresses but 0 values in kube-router.io/peer.asns"}, lines{router}, "x").beside("peer.ips", "10.0.0.254"),
		peers(on("peer.ports", "1179", "", lines{router}, lines{"bgp: neighbor 10.0.0.254 as 65001 local 10.0.0.1 port 1179"}, "x")),
		peers(on("peer.passwords", "aGlkZGVu", "", lines{router}, lines{"bgp: password (secret)"}, "#")),
		peers(on("peer.localips", "192.168.9.1", "", lines{router}, lines{"bgp: neighbor 10.0.0.254 as 65001 local 192.168.9.1 port 179"}, "x")),
		on("rr.server", "17", "", lines{"bgp: policy export"}, lines{"bgp: neighbor iBGPpeerset route-type internal accept"}, "x"),
		on("rr.client", "17", "", lines{"bgp: neighbor 10.0.0.2 as 64512"}, lines{"remark: no node is a reflector of cluster 17"}, "x"),
		on("bgp-local-addresses", "192.168.9.1", "", lines{"bgp: listen-addresses [10.0.0.1]"}, lines{"bgp: listen-addresses [192.168.9.1]"}, "x"),
		on("pod-cidrs", "10.250.1.0/24", "", lines{"bgp: path 10.244.1.0/24", "cni: range 10.244.1.0/24", "cni has: 10.244.1.0/24", "conntrack: all but 10.0.0.1/32 10.244.1.0/24"},
			lines{"bgp: path 10.250.1.0/24", "cni: range 10.250.1.0/24", "nft: host-pods4 { 10.250.1.0-10.250.1.255 }", "rtnl: rule 32763: from 10.250.1.0/24",
				"conntrack: all but 10.0.0.1/32 10.250.1.0/24"}, "x"),
		on("pod-cidr", "10.250.1.0/24", "", lines{"bgp: path 10.244.1.0/24", "cni: range 10.244.1.0/24", "cni has: 10.244.1.0/24", "conntrack: all but 10.0.0.1/32 10.244.1.0/24"},
			lines{"bgp: path 10.250.1.0/24", "cni: range 10.250.1.0/24", "nft: host-pods4 { 10.250.1.0-10.250.1.255 }", "rtnl: rule 32763: from 10.250.1.0/24",
				"conntrack: all but 10.0.0.1/32 10.250.1.0/24"}, "x"),
	}
}

func namespaceNotes() []note {
	return []note{
		on("unguarded-pods", "true", "", lines{`nft: guard-ports { "veth1" : goto guard-port }`, `nft: guard-pods4 { "veth1" . 02:00:00:00:00:01 . 10.244.1.5 }`},
			lines{`nft: guard-ports { "veth1" : accept }`}, "x"),
		on("socket-lb", "false", "--socket-lb=pods", lines{"bpf: map update name kr_netns key 7 value pod"}, nil, "x"),
	}
}

func policyNotes() []note {
	return []note{
		on("enforcement", "audit", "", lines{"nft: policy-ingress4 { 10.244.1.5 :"}, lines{"nft: policy-rehearse-ingress4 { 10.244.1.5 :", "nft: policy-forward jump policy-rehearsal"}, "x"),
	}
}

func podNotes() []note {
	var list []note
	for _, n := range []note{
		on("pod.weight", "3", withIPVS, lines{"ipvs: -r 10.244.1.5:8080 -m -w 1", "ipvs has: -r 10.244.1.5:8080 -m -w 1"},
			lines{"ipvs: -r 10.244.1.5:8080 -m -w 3", "ipvs has: -r 10.244.1.5:8080 -m -w 3"}, "0"),
		on("pod.weight", "2", "", lines{"nft: services-v4-rr-3"}, lines{"nft: services-v4-rr-4", "nft: services-slots4 { 10.96.0.10 . tcp . 8080 . 3 : 10.244.1.5 . 8080 }"}, "many"),
	} {
		n.given = "weighed.yaml"
		list = append(list, n)
	}
	const space = "bpf: map update name kr_netns key 7 value pod"
	forced := on("socket-lb", "true", "--socket-lb=pods", nil, nil, "")
	forced.same = lines{space}
	return append(list, on("socket-lb", "false", "--socket-lb=pods", lines{space}, nil, "x"), forced)
}

// annotated is the object of the story that may carry annotations, with some.
func annotated(t *testing.T, k model.Kind, node string, all map[string]string) event {
	t.Helper()
	s := surface(t)
	file, name := "web.yaml", "web"
	switch k {
	case model.KindNode:
		file, name = "nodes.yaml", cmp.Or(node, "n1")
	case model.KindPod:
		file, name = "pods.yaml", "web-1"
	case model.KindNamespace:
		file, name = "namespace.yaml", "default"
	case model.KindPolicy:
		file, name = "policy.yaml", "web"
	}
	var text strings.Builder
	for _, f := range s.input.Files {
		if f.Name == file {
			text.Write(f.Data)
		}
	}
	docs := strings.Split(text.String(), "\n---")
	doc := docs[max(0, slices.IndexFunc(docs, func(s string) bool { return strings.Contains(s, "{name: "+name+"}") }))]
	var b strings.Builder
	for key, value := range all {
		b.WriteString("kube-router.io/" + key + ": '" + value + "', ")
	}
	doc = strings.Replace(doc, "metadata: {name: "+name, "metadata: {annotations: {"+b.String()+"}, name: "+name, 1)
	o, err := decode([]byte(doc))
	if err != nil {
		t.Fatalf("%v\n%s", err, doc)
	}
	return event{ref: o.Ref(), object: o}
}

// TestAnnotationsDoWhatTheySay sets each annotation while the daemon runs, spoils it, and takes it away again.
func TestAnnotationsDoWhatTheySay(t *testing.T) {
	for kind, list := range map[model.Kind][]note{model.KindService: serviceNotes(), model.KindNode: append(nodeNotes(), wireNotes()...), model.KindPod: podNotes(), model.KindNamespace: namespaceNotes(), model.KindPolicy: policyNotes()} {
		for _, n := range list {
			t.Run(n.name, func(t *testing.T) {
				with := func(value string) map[string]string {
					all := map[string]string{n.name: value}
					for k, v := range n.with {
						all[k] = v
					}
					return all
				}
				without := annotated(t, kind, n.node, n.with)
				seen := tell(t, strings.Fields(n.also), n.given, without, annotated(t, kind, n.node, with(n.value)), without, annotated(t, kind, n.node, with(n.bad)), without)
				// The last picture also tells paces and draining, which no annotation touches.
				bare := func(i int) []string {
					return slices.DeleteFunc(slices.Clone(seen[i]), func(l string) bool { return has([]string{l}, "pace: ") || has([]string{l}, "draining: ") })
				}
				n.compare(t, bare(1), bare(2))
				for _, i := range []int{3, 5} {
					if !slices.Equal(bare(1), bare(i)) {
						t.Errorf("not as before when it is gone: %v %v", less(bare(1), bare(i)), less(bare(i), bare(1)))
					}
				}
				field := n.name
				if strings.HasPrefix(field, "peer.") {
					field = "peer.ips" // the lists count together
				}
				if n.bad != "" && !has(bare(4), "remark: kube-router.io/"+field) {
					t.Errorf("nothing is said about the value %q", n.bad)
				}
			})
		}
	}
}

// less are the lines of a that are not in b.
func less(a, b []string) []string { return without(a, b) }

// TestEveryAnnotationIsShown: those of the reference are known, and all that are known have a case.
func TestEveryAnnotationIsShown(t *testing.T) {
	names := map[string]bool{}
	for _, a := range kube.Annotations() {
		names[strings.TrimPrefix(a.Key, "kube-router.io/")] = true
	}
	for _, name := range strings.Fields(referenceAnnotations) {
		if !names[name] {
			t.Errorf("kube-router.io/%s of the reference is not known", name)
		}
	}
	const asked = "../../test/lab/own_test.go" // what the plugin asks for, when a pod starts
	if text, err := os.ReadFile(asked); err != nil || !strings.Contains(string(text), "kube-router.io/fixed-ips") {
		t.Errorf("%s doesn't show kube-router.io/fixed-ips: %v", asked, err)
	}
	delete(names, "fixed-ips")
	var cases []effect
	for _, n := range slices.Concat(serviceNotes(), nodeNotes(), wireNotes(), podNotes(), namespaceNotes(), policyNotes()) {
		cases = append(cases, n.effect)
	}
	for _, name := range unshown(names, cases) {
		t.Errorf("nothing shows what kube-router.io/%s does", name)
	}
}

package kube

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"kube-router/internal/model"
)

func TestConvertService(t *testing.T) {
	s := ConvertService(decode[corev1.Service](t, `
metadata: {name: web, namespace: a, uid: u1, labels: {service.kubernetes.io/service-proxy-name: other}}
spec:
	type: LoadBalancer
	clusterIPs: [10.96.0.10, "fd00:96::10"]
	clusterIP: 10.96.0.10
	externalIPs: [198.51.100.7, "::ffff:198.51.100.8"]
	ipFamilies: [IPv4, IPv6]
	ipFamilyPolicy: RequireDualStack
	internalTrafficPolicy: Local
	externalTrafficPolicy: Local
	healthCheckNodePort: 30999
	sessionAffinity: ClientIP
	sessionAffinityConfig: {clientIP: {timeoutSeconds: 60}}
	loadBalancerClass: example.com/lb
	loadBalancerIP: 203.0.113.9
	loadBalancerSourceRanges: ["192.0.2.77/24", " 2001:db8::/32 "]
	trafficDistribution: PreferClose
	ports:
	- {name: http, port: 80, nodePort: 30080}
	- {name: dns, protocol: UDP, port: 53}
	- {name: sig, protocol: SCTP, port: 80}
status: {loadBalancer: {ingress: [{ip: 203.0.113.9, ipMode: VIP}, {ip: 203.0.113.10, ipMode: Proxy}, {hostname: lb.example.com}]}}
`))
	same(t, &model.Service{
		Name: model.Name{Namespace: "a", Name: "web"}, UID: "u1", Type: model.LoadBalancer, AnotherProxy: true,
		Labels:      map[string]string{"service.kubernetes.io/service-proxy-name": "other"},
		ClusterIPs:  addrs("10.96.0.10", "fd00:96::10"),
		ExternalIPs: addrs("198.51.100.7", "198.51.100.8"),
		Ingress:     []model.Ingress{{Addr: addrs("203.0.113.9")[0]}, {Addr: addrs("203.0.113.10")[0], Proxy: true}},
		Class:       "example.com/lb", Requested: addrs("203.0.113.9"),
		Families: []model.Family{model.IPv4, model.IPv6}, DualStack: "RequireDualStack",
		Ports: []model.ServicePort{
			{Name: "http", Protocol: model.TCP, Port: 80, NodePort: 30080},
			{Name: "dns", Protocol: model.UDP, Port: 53},
			{Name: "sig", Protocol: model.SCTP, Port: 80},
		},
		Internal: model.Local, External: model.Local, HealthPort: 30999, Affinity: time.Minute,
		Sources: prefixes("192.0.2.0/24", "2001:db8::/32"),
	}, s)
}

// Every fault is told with its field, and everything beside it goes on working.
func TestConvertServiceFaults(t *testing.T) {
	s := ConvertService(decode[corev1.Service](t, `
metadata: {name: web, namespace: a}
spec:
	type: Bogus
	clusterIPs: [10.96.0.10, 10.96.0.11, nonsense]
	externalIPs: [10.0.0.300, 127.0.0.1, 169.254.169.254, "fe80::1", 224.0.0.1, 0.0.0.0, 010.1.1.1, "fe80::1%eth0", 192.0.2.1, 192.0.2.1]
	ipFamilies: [IPv4, IPv9]
	internalTrafficPolicy: Nearby
	externalTrafficPolicy: Faraway
	healthCheckNodePort: 70000
	sessionAffinity: ClientIP
	sessionAffinityConfig: {clientIP: {timeoutSeconds: 0}}
	ports:
	- {name: a, port: 0}
	- {name: b, port: 70000}
	- {name: c, port: 80, protocol: ICMP}
	- {name: d, port: 80, nodePort: 30080}
	- {name: e, port: 80}
	- {name: d, port: 81}
	- {name: f, port: 82, nodePort: 30080}
	- {name: g, port: 83, nodePort: -1}
status: {loadBalancer: {ingress: [{ip: "::1"}, {ip: 203.0.113.9, ipMode: Odd}, {ip: 203.0.113.9}]}}
`))
	same(t, addrs("10.96.0.10"), s.ClusterIPs)
	same(t, addrs("192.0.2.1"), s.ExternalIPs)
	same(t, []model.ServicePort{
		{Name: "d", Protocol: model.TCP, Port: 80, NodePort: 30080},
		{Name: "f", Protocol: model.TCP, Port: 82},
		{Name: "g", Protocol: model.TCP, Port: 83},
	}, s.Ports)
	same(t, []model.Ingress{{Addr: addrs("203.0.113.9")[0], Proxy: true}}, s.Ingress)
	same(t, []any{model.ClusterIP, model.Cluster, model.Cluster, 3 * time.Hour}, []any{s.Type, s.Internal, s.External, s.Affinity})
	sameRemarks(t, []string{
		`spec.type: unknown type "Bogus": served as ClusterIP`,
		`spec.clusterIPs[1]: 10.96.0.11 ignored: a second address of IPv4`,
		`spec.clusterIPs[2]: "nonsense" ignored: not an IP address`,
		`spec.externalIPs[0]: "10.0.0.300" ignored: not an IP address`,
		`spec.externalIPs[1]: 127.0.0.1 ignored: a loopback address`,
		`spec.externalIPs[2]: 169.254.169.254 ignored: a link-local address`,
		`spec.externalIPs[3]: fe80::1 ignored: a link-local address`,
		`spec.externalIPs[4]: 224.0.0.1 ignored: a multicast address`,
		`spec.externalIPs[5]: 0.0.0.0 ignored: an unspecified address`,
		`spec.externalIPs[6]: "010.1.1.1" ignored: not an IP address`,
		`spec.externalIPs[7]: "fe80::1%eth0" ignored: an address with a zone has no meaning outside its link`,
		`spec.externalIPs[9]: 192.0.2.1 ignored: already given`,
		`status.loadBalancer.ingress[0].ip: ::1 ignored: a loopback address`,
		`status.loadBalancer.ingress[1].ipMode: unknown mode "Odd": taken as Proxy, so the address is left to the balancer`,
		`status.loadBalancer.ingress[2].ip: 203.0.113.9 ignored: already given`,
		`spec.ipFamilies[1]: unknown family "IPv9" ignored`,
		`spec.ports[0].port: ignored: 0 is not a port from 1 to 65535`,
		`spec.ports[1].port: ignored: 70000 is not a port from 1 to 65535`,
		`spec.ports[2].protocol: port 80 ignored: unknown protocol "ICMP"`,
		`spec.ports[4]: ignored: 80/tcp is given twice`,
		`spec.ports[5]: ignored: a port named "d" is given twice`,
		`spec.ports[6].nodePort: ignored: 30080/tcp is given twice`,
		`spec.ports[7].nodePort: ignored: -1 is not a port from 1 to 65535`,
		`spec.internalTrafficPolicy: unknown policy "Nearby": taken as Cluster`,
		`spec.externalTrafficPolicy: unknown policy "Faraway": taken as Cluster`,
		`spec.healthCheckNodePort: ignored: 70000 is not a port from 1 to 65535`,
		`spec.sessionAffinityConfig.clientIP.timeoutSeconds: 0 is not from 1 to 86400: taken as 10800`,
	}, s.Remarks)
}

func TestConvertServiceDefaults(t *testing.T) {
	s := ConvertService(decode[corev1.Service](t, `{metadata: {name: web, namespace: a}, spec: {clusterIP: 10.96.0.1, sessionAffinity: ClientIP}}`))
	same(t, &model.Service{
		Name: model.Name{Namespace: "a", Name: "web"}, Type: model.ClusterIP, ClusterIPs: addrs("10.96.0.1"),
		DualStack: "SingleStack", Internal: model.Cluster, External: model.Cluster, Affinity: 3 * time.Hour,
	}, s)
}

func TestConvertServiceHeadless(t *testing.T) {
	for name, text := range map[string]string{
		"None":       `{spec: {clusterIP: None}}`,
		"Nones":      `{spec: {clusterIP: None, clusterIPs: [None]}}`,
		"label":      `{metadata: {labels: {service.kubernetes.io/headless: ""}}, spec: {clusterIP: 10.96.0.1}}`,
		"not at all": `{spec: {clusterIP: 10.96.0.1}}`,
	} {
		t.Run(name, func(t *testing.T) {
			same(t, name != "not at all", ConvertService(decode[corev1.Service](t, text)).Headless)
		})
	}
}

// Ranges that can't be read must not open a Service to everybody.
// The label leaves a Service to whomever it names; with an empty value to nobody that serves all others.
func TestConvertServiceProxyName(t *testing.T) {
	for labels, another := range map[string]bool{"": false, `"kube-router"`: false, `"mesh"`: true, `""`: true} {
		text := "metadata: {name: web, namespace: a}"
		if labels != "" {
			text = "metadata: {name: web, namespace: a, labels: {service.kubernetes.io/service-proxy-name: " + labels + "}}"
		}
		if s := ConvertService(decode[corev1.Service](t, text)); s.AnotherProxy != another {
			t.Errorf("%s: another proxy's %t, want %t", text, s.AnotherProxy, another)
		}
	}
}

func TestConvertServiceSourcesFailClosed(t *testing.T) {
	for text, want := range map[string][]string{
		`[]`:                       nil,
		`[""]`:                     nil,
		`[nonsense]`:               {"0.0.0.0/32"},
		`[nonsense, 10.0.0.0/8]`:   {"10.0.0.0/8"},
		`["::ffff:10.0.0.0/104"]`:  {"10.0.0.0/8"},
		`["::ffff:10.0.0.0/90"]`:   {"0.0.0.0/32"},
		`["0.0.0.0/0", "::/0"]`:    {"0.0.0.0/0", "::/0"},
		`[10.0.0.0/8, 10.0.0.1/8]`: {"10.0.0.0/8"},
	} {
		t.Run(text, func(t *testing.T) {
			s := ConvertService(decode[corev1.Service](t, `{spec: {loadBalancerSourceRanges: `+text+`}}`))
			same(t, prefixes(want...), s.Sources)
		})
	}
}

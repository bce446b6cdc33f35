package kube

import (
	"testing"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"

	"kube-router/internal/model"
)

func TestConvertSlice(t *testing.T) {
	s := ConvertSlice(decode[discoveryv1.EndpointSlice](t, `
metadata:
	name: web-x
	namespace: a
	labels: {kubernetes.io/service-name: web}
	annotations: {endpoints.kubernetes.io/last-change-trigger-time: "2026-08-01T10:00:00.5Z"}
addressType: IPv4
ports:
- {port: 8080}
- {name: dns, port: 5353, protocol: UDP}
endpoints:
- {addresses: [10.1.0.1], nodeName: n1, zone: z1, targetRef: {kind: Pod, name: p1}}
- {addresses: ["::ffff:10.1.0.2"], conditions: {ready: false, serving: true, terminating: true}, hints: {forZones: [{name: z2}], forNodes: [{name: n2}]}}
- {addresses: [10.1.0.3], conditions: {ready: false}, targetRef: {kind: Node, name: n3}}
`))
	same(t, &model.Slice{
		Name: model.Name{Namespace: "a", Name: "web-x"}, Service: model.Name{Namespace: "a", Name: "web"}, Family: model.IPv4,
		Ports: []model.SlicePort{{Protocol: model.TCP, Port: 8080}, {Name: "dns", Protocol: model.UDP, Port: 5353}},
		Endpoints: []model.Endpoint{
			{Addrs: addrs("10.1.0.1"), Ready: true, Serving: true, Node: "n1", Zone: "z1", Pod: model.Name{Namespace: "a", Name: "p1"}},
			{Addrs: addrs("10.1.0.2"), Serving: true, Terminating: true, Hints: &model.Hints{ForZones: []string{"z2"}, ForNodes: []string{"n2"}}},
			{Addrs: addrs("10.1.0.3"), Serving: true},
		},
		Trigger: time.Date(2026, 8, 1, 10, 0, 0, 5e8, time.UTC),
	}, s)
}

func TestConvertSliceFaults(t *testing.T) {
	s := ConvertSlice(decode[discoveryv1.EndpointSlice](t, `
metadata: {name: web-x, namespace: a}
addressType: IPv4
ports:
- {name: all}
- {name: zero, port: 0}
- {name: odd, port: 1, protocol: QUIC}
- {name: good, port: 1}
- {name: good, port: 2}
endpoints:
- {addresses: [127.0.0.1]}
- {addresses: [169.254.1.1, 10.1.0.1]}
- {addresses: ["fd00::1"]}
- {addresses: [nonsense]}
- {addresses: []}
- {addresses: [10.1.0.2], conditions: {ready: false, serving: false}, nodeName: old}
- {addresses: [10.1.0.2], nodeName: new}
- {addresses: [10.1.0.2], conditions: {ready: false}, nodeName: late}
`))
	same(t, model.Name{}, s.Service)
	same(t, []model.SlicePort{{Name: "good", Protocol: model.TCP, Port: 1}}, s.Ports)
	same(t, []model.Endpoint{
		{Addrs: addrs("10.1.0.1"), Ready: true, Serving: true},
		{Addrs: addrs("10.1.0.2"), Ready: true, Serving: true, Node: "new"},
	}, s.Endpoints)
	sameRemarks(t, []string{
		`ports[0]: port "all" ignored: no number, which means every port; a Service forwards to one`,
		`ports[1]: port "zero" ignored: 0 is not a port from 1 to 65535`,
		`ports[2]: port "odd" ignored: unknown protocol "QUIC"`,
		`ports[4]: ignored: a port named "good" is given twice`,
		`endpoints[0].addresses[0]: 127.0.0.1 ignored: a loopback address`,
		`endpoints[1].addresses[0]: 169.254.1.1 ignored: a link-local address`,
		`endpoints[2].addresses[0]: fd00::1 ignored: the slice is of IPv4`,
		`endpoints[3].addresses[0]: "nonsense" ignored: not an IP address`,
		`endpoints[6].addresses[0]: 10.1.0.2 is given twice: one endpoint alone has it`,
		`endpoints[7].addresses[0]: 10.1.0.2 is given twice: one endpoint alone has it`,
	}, s.Remarks)
}

func TestConvertSliceTypes(t *testing.T) {
	fqdn := ConvertSlice(decode[discoveryv1.EndpointSlice](t, `{addressType: FQDN, endpoints: [{addresses: [a.example.com]}]}`))
	same(t, 0, len(fqdn.Endpoints)+len(fqdn.Remarks))
	odd := ConvertSlice(decode[discoveryv1.EndpointSlice](t, `{addressType: IPv9, endpoints: [{addresses: [10.0.0.1]}]}`))
	same(t, 0, len(odd.Endpoints))
	sameRemarks(t, []string{`addressType: slice ignored: unknown type "IPv9"`}, odd.Remarks)
}

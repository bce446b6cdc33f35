package kube

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"kube-router/internal/model"
)

func TestConvertPod(t *testing.T) {
	p := ConvertPod(decode[corev1.Pod](t, `
metadata: {name: p, namespace: a, uid: u, labels: {app: web}}
spec:
	nodeName: n1
	hostNetwork: true
	terminationGracePeriodSeconds: 45
	containers:
	- name: c1
		ports: [{name: http, containerPort: 8080}, {containerPort: 9}, {name: http, containerPort: 81}, {name: http, containerPort: 82, protocol: UDP}, {name: bad, containerPort: 0}]
	initContainers:
	- {name: once, ports: [{name: once, containerPort: 1}]}
	- {name: side, restartPolicy: Always, ports: [{name: side, containerPort: 2}, {name: odd, containerPort: 2, protocol: X}]}
status: {phase: Running, podIP: 10.1.0.1, podIPs: [{ip: 10.1.0.1}, {ip: "fd00::1"}, {ip: junk}]}
`))
	sameRemarks(t, []string{
		`status.podIPs[2].ip: "junk" ignored: not an IP address`,
		`spec.containers[0].ports[4].containerPort: port "bad" ignored: 0 is not a port from 1 to 65535`,
		`spec.initContainers[1].ports[1].protocol: port "odd" ignored: unknown protocol "X"`,
	}, p.Remarks)
	p.Remarks = nil
	same(t, &model.Pod{
		Name: model.Name{Namespace: "a", Name: "p"}, UID: "u", Node: "n1", Addrs: addrs("10.1.0.1", "fd00::1"),
		HostNetwork: true, Labels: map[string]string{"app": "web"}, Grace: 45 * time.Second,
		Ports: []model.PodPort{{Name: "http", Protocol: model.TCP, Port: 8080}, {Name: "http", Protocol: model.UDP, Port: 82}, {Name: "side", Protocol: model.TCP, Port: 2}},
	}, p)
}

func TestConvertPodPhases(t *testing.T) {
	for phase, finished := range map[string]bool{"": false, "Pending": false, "Running": false, "Unknown": false, "Succeeded": true, "Failed": true} {
		p := ConvertPod(decode[corev1.Pod](t, `{status: {podIP: 10.1.0.1, phase: "`+phase+`"}}`))
		same(t, finished, p.Finished)
		same(t, addrs("10.1.0.1"), p.Addrs)
	}
}

func TestConvertPodGrace(t *testing.T) {
	p := ConvertPod(decode[corev1.Pod](t, `{spec: {terminationGracePeriodSeconds: 9223372036854775807}}`))
	same(t, time.Duration(0), p.Grace)
	same(t, 1, len(p.Remarks))
}

// TestPodsThatMustSeePackets: meshes and virtual machines are known by what they leave on their pods.
func TestPodsThatMustSeePackets(t *testing.T) {
	for metadata, want := range map[string]string{
		`{}`: "",
		`{annotations: {sidecar.istio.io/status: "{}"}}`:                        "Istio's sidecar",
		`{annotations: {ambient.istio.io/redirection: enabled}}`:                "Istio's ambient mesh",
		`{annotations: {ambient.istio.io/redirection: disabled}}`:               "",
		`{annotations: {linkerd.io/proxy-version: "2.18"}}`:                     "Linkerd's sidecar",
		`{annotations: {kubevirt.io/domain: vm1}}`:                              "a virtual machine",
		`{labels: {kubevirt.io: virt-launcher}}`:                                "a virtual machine",
		`{labels: {app: web}, annotations: {kube-router.io/socket-lb: "true"}}`: "",
	} {
		p := ConvertPod(decode[corev1.Pod](t, `{metadata: `+metadata+`}`))
		same(t, want, p.Packets)
		same(t, strings.Contains(metadata, "socket-lb"), p.AtSocket != nil)
	}
	p := ConvertPod(decode[corev1.Pod](t, `{metadata: {annotations: {kube-router.io/socket-lb: "no", kube-router.io/socket-lbs: "true"}}}`))
	same(t, false, *p.AtSocket)
	sameRemarks(t, []string{`kube-router.io/socket-lb: "no" is neither true nor false: taken as false`, `kube-router.io/socket-lbs: unknown annotation ignored`}, p.Remarks)
}

func TestConvertNamespace(t *testing.T) {
	n := ConvertNamespace(decode[corev1.Namespace](t, `{metadata: {name: a, labels: {team: x}}}`))
	same(t, &model.Namespace{Name: "a", Labels: map[string]string{"team": "x"}}, n)
}

func TestWhatAPodAsksForItsInterface(t *testing.T) {
	for metadata, want := range map[string]string{
		`{}`: "<nil>",
		`{annotations: {kube-router.io/fixed-ips: "10.244.1.5, fd00::5", kubernetes.io/ingress-bandwidth: 10M}}`: "&{[10.244.1.5 fd00::5] 10000000 0 }",
		`{annotations: {kubernetes.io/egress-bandwidth: "1Ki"}}`:                                                 "&{[] 0 1024 }",
		`{annotations: {kubernetes.io/egress-bandwidth: "fast"}}`:                                                "<nil>",
		`{annotations: {kube-router.io/fixed-ips: "10.244.1.300"}}`:                                              `&{[] 0 0 annotation kube-router.io/fixed-ips: "10.244.1.300" is not an address}`,
		`{annotations: {kube-router.io/fixed-ips: "10.244.1.3,10.244.1.4"}}`:                                     `&{[] 0 0 annotation kube-router.io/fixed-ips: "10.244.1.3,10.244.1.4" names two addresses of one family}`,
	} {
		p := ConvertPod(decode[corev1.Pod](t, `{metadata: `+metadata+`}`))
		same(t, want, fmt.Sprint(p.Wish))
		bad := strings.Contains(metadata, "fast") || strings.Contains(want, "annotation")
		same(t, bad, len(p.Remarks) == 1)
	}
}

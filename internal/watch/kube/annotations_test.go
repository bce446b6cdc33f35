package kube

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"kube-router/internal/model"
)

func TestServiceAnnotations(t *testing.T) {
	yes, no := true, false
	s := ConvertService(decode[corev1.Service](t, `
metadata:
	annotations:
		kube-router.io/service.dsr: tunnel
		kube-router.io/service.scheduler: mh
		kube-router.io/service.schedflags: flag-2, flag-1,flag-2
		kube-router.io/service.hairpin: ""
		kube-router.io/service.hairpin.externalips: ""
		kube-router.io/service.local: "true"
		kube-router.io/service.skiplbips: ""
		kube-router.io/service.advertise.clusterip: "true"
		kube-router.io/service.advertise.externalip: "False"
		kube-router.io/service.advertise.loadbalancerip: "1"
		kube-router.io/service.loadbalancer-ips: 203.0.113.9, 2001:db8::9
		kube-router.io/service.sharing-key: " dns "
		other.io/service: anything
spec: {loadBalancerIP: 203.0.113.9}
`))
	sameRemarks(t, nil, s.Remarks)
	same(t, model.ServiceOptions{
		DSR: true, Scheduler: "mh", SchedulerFlags: []string{"flag-1", "flag-2"}, Hairpin: true, HairpinExternal: true,
		Local: true, SkipLBIPs: true, AdvertiseCluster: &yes, AdvertiseExternal: &no, AdvertiseLB: &yes,
	}, s.Options)
	same(t, addrs("203.0.113.9", "2001:db8::9"), s.Requested)
	same(t, "dns", s.SharingKey)
}

func TestServiceAnnotationFaults(t *testing.T) {
	no := false
	for text, c := range map[string]struct {
		want   model.ServiceOptions
		remark string
	}{
		`service.dsr: direct`:                                              {model.ServiceOptions{}, `service.dsr: "direct" ignored: the only mode is tunnel`},
		`service.scheduler: fastest`:                                       {model.ServiceOptions{}, `service.scheduler: unknown scheduler "fastest": rr is used`},
		`service.schedflags: flag-1`:                                       {model.ServiceOptions{}, `service.schedflags: ignored: only the mh scheduler has flags`},
		`service.hairpin: "false"`:                                         {model.ServiceOptions{Hairpin: true}, `service.hairpin: "false" switches it on: the annotation counts by its presence; remove it to switch off`},
		`service.local: sure`:                                              {model.ServiceOptions{}, `service.local: "sure" is neither true nor false: taken as false`},
		`service.advertise.clusterip: maybe`:                               {model.ServiceOptions{AdvertiseCluster: &no}, `service.advertise.clusterip: "maybe" is neither true nor false: taken as false`},
		`service.loadbalancer-ips: 127.0.0.1`:                              {model.ServiceOptions{}, `service.loadbalancer-ips: 127.0.0.1 ignored: a loopback address`},
		`service.advertise.cluster-ip: "yes"`:                              {model.ServiceOptions{}, `service.advertise.cluster-ip: unknown annotation ignored`},
		`node.asn: "1"`:                                                    {model.ServiceOptions{}, `node.asn: unknown annotation ignored`},
		`service.schedflags: flag-9, kube-router.io/service.scheduler: mh`: {model.ServiceOptions{Scheduler: "mh"}, `service.schedflags: unknown flag "flag-9" ignored`},
	} {
		t.Run(text, func(t *testing.T) {
			s := ConvertService(decode[corev1.Service](t, `{metadata: {annotations: {kube-router.io/`+text+`}}}`))
			same(t, c.want, s.Options)
			sameRemarks(t, []string{prefix + c.remark}, s.Remarks)
		})
	}
}

// The guide is generated from the table, so the table has to be complete and readable.
func TestAnnotationsTable(t *testing.T) {
	seen := map[string]bool{}
	for _, a := range Annotations() {
		id := string(a.Kind) + " " + a.Key
		if !strings.HasPrefix(a.Key, prefix) || a.Value == "" || a.Doc == "" || seen[id] {
			t.Errorf("bad or double entry: %+v", a)
		}
		seen[id] = true
		kinds := []model.Kind{model.KindService, model.KindNode, model.KindNamespace, model.KindPod, model.KindPolicy, model.KindClusterPolicy, model.KindNodePolicy}
		if !slices.Contains(kinds, a.Kind) {
			t.Errorf("%s: kind %s carries no annotation", a.Key, a.Kind)
		}
	}
	same(t, 48, len(seen))
}

func TestParseCommunity(t *testing.T) {
	for in, want := range map[string]string{
		"0": "0:0", "4294967295": "65535:65535", "65536": "1:0", "0064512:01": "64512:1", "1:2:3": "1:2:3",
		"NO_EXPORT": "no-export", "blackhole": "blackhole", "llgr-stale": "llgr-stale",
		"": "", "4294967296": "", "1:": "", ":": "", "65536:1": "", "1:2:3:4": "", "-1:1": "", "4294967296:1:1": "", "no-such": "", "1: 2": "",
	} {
		got, err := ParseCommunity(in)
		if got != want || (err != nil) != (want == "") {
			t.Errorf("ParseCommunity(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
}

// A password never shows in a remark, whatever is wrong around it.
func TestRemarksHideSecrets(t *testing.T) {
	const secret = "aHVudGVyMg"
	for _, text := range []string{
		"- {remoteip: 10.0.0.1, remoteasn: 65000, password: %s!}",
		"- {remoteip: 10.0.0.1, remoteasn: x, password: %s}",
		"- {remoteip: 10.0.0.1, remoteasn: 65000, password: [%s]}",
		"- {remoteip: 10.0.0.1, remoteasn: 65000, password: *%s}",
		"- {? {password: %s} : 1}",
		"- {password: %s",
		"password: %s",
		"%s",
	} {
		n := &model.Node{}
		r := &remarks{}
		nodeOptions(n, r, map[string]string{prefix + "peers": fmt.Sprintf(text, secret)})
		if len(r.list) == 0 {
			t.Errorf("%s: no remark", text)
		}
		if strings.Contains(fmt.Sprint(r.list), secret) {
			t.Errorf("remark shows the password: %v", r.list)
		}
	}
}

package config

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kube-router/internal/model"
)

func TestNodeName(t *testing.T) {
	const file = "/proc/sys/kernel/hostname"
	for _, c := range []struct {
		flag, env, hostname, want string
	}{
		{"a", "b", "c\n", "a"},
		{"", "b", "c\n", "b"},
		{"", "", "C.Example\n", "c.example"},
		{"", "B", "c\n", ""},
		{"", "", "c_d\n", ""},
		{"", "", "\n", ""},
	} {
		h := host{env: map[string]string{"NODE_NAME": c.env}, files: map[string]string{file: c.hostname}}
		o, err := parse(t, h, "--hostname-override="+c.flag)
		switch {
		case c.want == "" && err == nil:
			t.Errorf("%+v: accepted as %q", c, o.Settings.Node)
		case c.want != "" && (err != nil || o.Settings.Node != c.want):
			t.Errorf("%+v: %v", c, err)
		}
	}
	if _, err := parse(t, host{}); err == nil || !strings.Contains(err.Error(), "--hostname-override") {
		t.Errorf("no name at all: %v", err)
	}
}

func TestEnvironment(t *testing.T) {
	h := caseHost()
	h.env["KUBE_ROUTER_CNI_CONF_FILE"] = "/cni"
	h.env["KUBE_ROUTER_PROC_SYS"] = "/host/proc/sys"
	h.env["POD_NAME"], h.env["POD_NAMESPACE"] = "p", ""
	h.files["/var/run/secrets/kubernetes.io/serviceaccount/namespace"] = "ns\n"
	o, err := parse(t, h)
	if err != nil {
		t.Fatal(err)
	}
	s := o.Settings
	if s.CNI.File != "/cni" || s.Allocator.Identity != "p" || s.Allocator.Namespace != "ns" || o.ProcSys != "/host/proc/sys" {
		t.Errorf("have %+v %+v", s.CNI, s.Allocator)
	}
}

func TestBalancerNeeds(t *testing.T) {
	if o, err := parse(t, caseHost(), "--run-loadbalancer"); err != nil || !strings.Contains(fmt.Sprint(o.Remarks), "from AddressPools") {
		t.Errorf("without range: %v", err)
	}
	if _, err := parse(t, plain(), "--run-loadbalancer", "--loadbalancer-ip-range=10.9.0.0/24"); err == nil || !strings.Contains(err.Error(), "POD_NAMESPACE") {
		t.Errorf("without namespace: %v", err)
	}
}

func TestPeers(t *testing.T) {
	o, err := parse(t, caseHost(), "--peer-router-ips=10.0.0.1", "--peer-router-ips=fd00::1",
		"--peer-router-asns=64513,4200000000", "--peer-router-ports=179,1179",
		"--peer-router-passwords=,aGlkZGVu", "--peer-router-passwords-file=/nowhere", "--peer-router-multihop-ttl=2")
	if err != nil {
		t.Fatal(err)
	}
	want := []model.Peer{
		{Addr: netip.MustParseAddr("10.0.0.1"), ASN: 64513, Port: 179, Multihop: 2},
		{Addr: netip.MustParseAddr("fd00::1"), ASN: 4200000000, Port: 1179, Password: "hidden", Multihop: 2},
	}
	if d := cmp.Diff(want, o.Settings.BGP.Peers, same()); d != "" {
		t.Error(d)
	}
}

// TestTimesCountOnlyWhenOn: the reference judges these flags only with the feature that they belong to.
func TestTimesCountOnlyWhenOn(t *testing.T) {
	for _, arg := range []string{"--bgp-graceful-restart-time=2h", "--bgp-graceful-restart-deferral-time=0s", "--bfd-port=0", "--bfd-detection-multiplier=0"} {
		if _, err := parse(t, plain(), arg); err != nil {
			t.Errorf("%s: %v", arg, err)
		}
	}
}

func TestIPv6Only(t *testing.T) {
	_, err := parse(t, plain(), "--enable-ipv4=false", "--enable-ipv6")
	if err == nil || !strings.Contains(err.Error(), `--service-cluster-ip-range "10.96.0.0/12": IPv4 is not enabled`) {
		t.Errorf("the default range is IPv4: %v", err)
	}
	_, err = parse(t, plain(), "--enable-ipv4=false", "--service-cluster-ip-range=fd00::/112")
	if err == nil || !strings.Contains(err.Error(), "no address family is left") {
		t.Errorf("no family: %v", err)
	}
}

func TestRemarks(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"--service-proxy-engine=nftables --service-udp-timeout=1s", "--service-*-timeout"},
		{"--service-proxy-engine=nftables --ipvs-graceful-termination", "--ipvs-graceful-termination"},
		{"--nodeport-bindon-all-ip --nodeport-addresses=10.0.0.0/8", "--nodeport-bindon-all-ip"},
		{"--strict-external-ip-validation=false", "--strict-external-ip-validation=false"},
		{"--advertise-external-ip", "--advertise-external-ip"},
		{"--advertise-loadbalancer-ip", "--advertise-loadbalancer-ip"},
		{"--netpol-default-deny --run-firewall=false", "--netpol-default-deny"},
		{"--use-nftables-for-netpol", "--use-nftables-for-netpol"},
		{"--gobgp-admin-address=0.0.0.0", "--gobgp-admin-address"},
		{"--peer-router-multihop-ttl=1", "--peer-router-multihop-ttl"},
		{"--enable-bfd --bgp-graceful-restart", "--enable-bfd"},
	} {
		o, err := parse(t, caseHost(), strings.Fields(c.args)...)
		if err != nil || len(o.Remarks) != 1 || !strings.HasPrefix(o.Remarks[0], c.want+":") {
			t.Errorf("%s: %+v, %v", c.args, o, err)
		}
	}
}

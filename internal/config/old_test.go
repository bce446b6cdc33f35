package config

import (
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"kube-router/internal/model"
)

// TestTheFirstUsageText gives every flag of the usage text of the first releases (2017), as it is printed there. None is refused,
// each means what it meant, and those that are obsolete are told.
func TestTheFirstUsageText(t *testing.T) {
	set := pflag.NewFlagSet("test", pflag.ContinueOnError)
	raw := Flags(set)
	err := set.Parse(strings.Fields(`--advertise-cluster-ip --cluster-asn=64512 --cluster-cidr=10.1.0.0/16 --config-sync-period=1m0s
		--cluster-ip-cidr=10.97.0.0/16 --hostname-override=n1 --iptables-sync-period=1m0s --ipvs-sync-period=1m0s --kubeconfig=/k --masquerade-all
		--master=http://10.0.0.1:8080 --nodes-full-mesh --peer-asn=64513 --peer-router=192.0.2.1 --routes-sync-period=1m0s --run-firewall
		--run-router --run-service-proxy --nodeport-bindon-all-ip --hairpin-mode --enable-overlay --enable-pod-egress --cleanup-config=false
		--alsologtostderr --logtostderr=true --stderrthreshold=2 --log_dir=/var/log --log-backtrace-at=:0 --vmodule= -v=1`))
	if err != nil {
		t.Fatal(err)
	}
	o, err := raw.Options(func(string) string { return "" }, os.ReadFile)
	if err != nil {
		t.Fatal(err)
	}
	b := &o.Settings.BGP
	if b.ASN != 64512 || !b.FullMesh || len(b.Peers) != 1 || b.Peers[0].Addr != netip.MustParseAddr("192.0.2.1") || b.Peers[0].ASN != model.ASN(64513) {
		t.Errorf("BGP: %+v", b)
	}
	if !slices.Contains(o.Settings.Services.ClusterRanges, netip.MustParsePrefix("10.97.0.0/16")) {
		t.Errorf("Services: %+v", o.Settings.Services)
	}
	all := strings.Join(o.Remarks, "\n")
	for _, want := range []string{
		"--config-sync-period is obsolete and has no effect", "--peer-router is obsolete and still taken for --peer-router-ips",
		"--peer-asn is obsolete and still taken for --peer-router-asns", "--cluster-ip-cidr", "--logtostderr", "--log_dir", "--vmodule",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is not among the remarks:\n%s", want, all)
		}
	}
	if strings.Contains(set.FlagUsages(), "config-sync-period") {
		t.Error("the usage shows what is obsolete")
	}
}

package takeover

import (
	"errors"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netns"

	"kube-router/internal/row"
)

// left is what v2 and kube-proxy leave, as their sources make it, among things of others.
const left = `
ip link set lo up
for p in iptables-nft ip6tables-nft; do
$p -t nat -N KUBE-SERVICES
$p -t nat -N KUBE-SVC-TCOU7JCQXEZGVUNU
$p -t nat -N KUBE-SEP-ABCDEFGH23456723
$p -t nat -N KUBE-MARK-MASQ
$p -t nat -N KUBE-POSTROUTING
$p -t nat -A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
$p -t nat -A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
$p -t nat -A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING
$p -t nat -A POSTROUTING -m comment --comment "of somebody else" -p tcp --dport 1 -j RETURN
$p -t nat -A KUBE-SERVICES -p tcp -m tcp --dport 80 -j KUBE-SVC-TCOU7JCQXEZGVUNU
$p -t nat -A KUBE-SVC-TCOU7JCQXEZGVUNU -m statistic --mode random --probability 0.5 -j KUBE-SEP-ABCDEFGH23456723
$p -t nat -A KUBE-SEP-ABCDEFGH23456723 -j KUBE-MARK-MASQ
$p -t nat -A KUBE-MARK-MASQ -j MARK --or-mark 0x4000
$p -t filter -N KUBE-FIREWALL
$p -t filter -A OUTPUT -j KUBE-FIREWALL
$p -t filter -N KUBE-ROUTER-FORWARD
$p -t filter -N KUBE-POD-FW-5XQ2CPX5XY2XNPPM
$p -t filter -I FORWARD 1 -m comment --comment "kube-router netpol - TEMCG2JMHZYE7H7T" -j KUBE-ROUTER-FORWARD
$p -t filter -A KUBE-ROUTER-FORWARD -j KUBE-POD-FW-5XQ2CPX5XY2XNPPM
$p -t filter -A KUBE-POD-FW-5XQ2CPX5XY2XNPPM -j REJECT
$p -t filter -A FORWARD -i kube-bridge -m comment --comment "allow outbound traffic from pods" -j ACCEPT
$p -t filter -A FORWARD -i mine -m comment --comment "allow my own" -j ACCEPT
done
ipset create kube-router-pod-subnets hash:net
ipset create kube-router-node-ips hash:ip
ipset create inet6:kube-router-pod-subnets hash:net family inet6
ipset create mine hash:ip
iptables-nft -t nat -A POSTROUTING -m set --match-set kube-router-pod-subnets src -m set ! --match-set kube-router-pod-subnets dst -j MASQUERADE
iptables-nft -t nat -A POSTROUTING -m set --match-set mine src -j MASQUERADE
ip rule add from 10.244.1.0/24 lookup 77
ip -6 rule add from fd00:1::/64 lookup 77
ip rule add fwmark 0x3a1 lookup 78 priority 32764
ip rule add lookup 79 priority 32765
ip rule add from 10.9.0.0/16 lookup 77 protocol 17 priority 32763
ip rule add from 10.9.0.0/16 lookup 78 priority 100
nft add table ip kube-proxy
nft add chain ip kube-proxy services
nft add table ip6 kube-router-filter-ipv6
nft add table ip6 kube-router-filter-ipv4
nft add table inet kube-router
nft add table inet kube-proxy
`

// in runs the test's goroutine in a network namespace of its own.
func in(t *testing.T) {
	t.Helper()
	runtime.LockOSThread()
	home, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	ns, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ns.Close()
		if netns.Set(home) == nil {
			runtime.UnlockOSThread()
		}
		home.Close()
	})
}

func sh(t *testing.T, script string) string {
	t.Helper()
	text, err := exec.Command("bash", "-euc", script).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return string(text)
}

func driver(t *testing.T) *Driver {
	t.Helper()
	d, err := New(netns.None(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

func dump(t *testing.T, d *Driver) []string {
	t.Helper()
	found, err := d.Dump(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, l := range found {
		text, _, _ := strings.Cut(l.String(), " # handle")
		list = append(list, text)
	}
	slices.Sort(list)
	return list
}

func remove(t *testing.T, d *Driver) error {
	t.Helper()
	found, err := d.Dump(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var changes []change
	for _, l := range found {
		changes = append(changes, change{Key: l, Old: &l})
	}
	return d.Apply(t.Context(), changes)
}

func TestFindAndRemove(t *testing.T) {
	in(t)
	d := driver(t)
	if have := dump(t, d); len(have) != 0 {
		t.Fatalf("found in an empty namespace: %v", have)
	}
	sh(t, left)
	var want []string
	for _, p := range []string{"iptables", "ip6tables"} {
		for _, c := range []string{"KUBE-SERVICES", "KUBE-SVC-TCOU7JCQXEZGVUNU", "KUBE-SEP-ABCDEFGH23456723", "KUBE-MARK-MASQ", "KUBE-POSTROUTING"} {
			want = append(want, p+" -t nat -N "+c)
		}
		want = append(want, p+" -t filter -N KUBE-ROUTER-FORWARD", p+" -t filter -N KUBE-POD-FW-5XQ2CPX5XY2XNPPM", p+" -t filter -A FORWARD")
	}
	want = append(want, "iptables -t nat -A POSTROUTING", "ipset kube-router-pod-subnets", "ipset kube-router-node-ips",
		"ipset inet6:kube-router-pod-subnets", "table ip kube-proxy", "table ip6 kube-router-filter-ipv6",
		"rule 32765: from 10.244.1.0/24 lookup 77", "rule 32765: from fd00:1::/64 lookup 77",
		"rule 32764: from all fwmark 0x3a1 lookup 78", "rule 32765: from all lookup 79")
	slices.Sort(want)
	if have := dump(t, d); !slices.Equal(have, want) {
		t.Errorf("found\n%s\nwant\n%s", strings.Join(have, "\n"), strings.Join(want, "\n"))
	}
	if err := remove(t, d); err != nil {
		t.Fatal(err)
	}
	if have := dump(t, d); len(have) != 0 {
		t.Errorf("left: %v", have)
	}
	rules := sh(t, "iptables-nft-save; ip6tables-nft-save; ipset save; nft list tables; ip rule; ip -6 rule")
	for _, stays := range []string{
		"of somebody else", "-i mine", "-A OUTPUT -j KUBE-FIREWALL", "create mine", "--match-set mine src",
		"table inet kube-router\n", "32763:", "100:", "table inet kube-proxy\n", "table ip6 kube-router-filter-ipv4\n",
	} {
		if !strings.Contains(rules, stays) {
			t.Errorf("a stranger's %q is gone", stays)
		}
	}
	for _, goes := range []string{"KUBE-SERVICES", "KUBE-ROUTER", "KUBE-POD", "kube-router-pod-subnets", "outbound traffic", "portals", "32765:", "32764:"} {
		if strings.Contains(rules, goes) {
			t.Errorf("%q is still there:\n%s", goes, rules)
		}
	}
	if err := remove(t, d); err != nil {
		t.Errorf("nothing to do, and yet: %v", err)
	}
}

// What refuses to go names itself and holds nothing else up.
func TestLegacyAndWhatIsInUse(t *testing.T) {
	in(t)
	d := driver(t)
	sh(t, `ip link set lo up
	iptables-legacy -t nat -N KUBE-SERVICES
	iptables-legacy -t nat -A PREROUTING -j KUBE-SERVICES
	iptables-legacy -t nat -N MINE
	ipset create kube-router-svip hash:ip
	iptables-legacy -A INPUT -m set --match-set kube-router-svip dst -j ACCEPT
	nft add table ip kube-proxy`)
	want := []string{"ipset kube-router-svip", "iptables-legacy -t nat -N KUBE-SERVICES", "table ip kube-proxy"}
	if have := dump(t, d); !slices.Equal(have, want) {
		t.Errorf("found %q, want %q", have, want)
	}
	var failed row.Failed[row.Leftover]
	if err := remove(t, d); !errors.As(err, &failed) || len(failed) != 2 {
		t.Fatalf("want two that stay, have %v", err)
	}
	if have := dump(t, d); !slices.Equal(have, want[:2]) {
		t.Errorf("left %q", have)
	}
	if text := failed.Error(); !strings.Contains(text, "iptables-legacy-save") || !strings.Contains(text, "destroy ipset") {
		t.Errorf("who is to fix this? %s", text)
	}
}

func TestNothingIsEverMade(t *testing.T) {
	in(t)
	l := row.Leftover{Kind: row.LeftoverTable, Name: "kube-proxy"}
	if err := driver(t).Apply(t.Context(), []change{{Key: l, New: &l}}); err == nil {
		t.Error("made a leftover")
	}
}

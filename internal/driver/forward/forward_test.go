package forward

import (
	"context"
	"fmt"
	"net/netip"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netns"

	"kube-router/internal/row"
	"kube-router/internal/row/conform"
)

// in runs the test's goroutine in a network namespace of its own.
func in(t testing.TB, script string) {
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
	sh(t, script)
}

func sh(t testing.TB, script string) string {
	t.Helper()
	text, err := exec.Command("bash", "-euc", script).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return string(text)
}

const docker = `for p in iptables-nft ip6tables-nft; do
$p -P FORWARD DROP
$p -N DOCKER-USER
$p -A FORWARD -j DOCKER-USER
$p -A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
$p -A FORWARD -i docker0 ! -o docker0 -j ACCEPT
$p -A DOCKER-USER -m comment --comment "kube-router is not ours to say" -j RETURN
done
`

func rows(n int) []row.Forward {
	var list []row.Forward
	for i := range n {
		net := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), 24)
		if i%2 == 1 {
			net = netip.PrefixFrom(netip.AddrFrom16([16]byte{0xfd, 0, byte(i >> 8), byte(i)}), 33+i%64)
		}
		list = append(list, row.Forward{Net: net, Match: row.ForwardMatch(i % 3), Last: i%5 == 0})
	}
	return list
}

func TestKernelConforms(t *testing.T) {
	conform.Target(t, conform.Config[row.ForwardKey, row.Forward]{
		World: func(t testing.TB) { in(t, docker) },
		Open:  func(testing.TB) row.Target[row.ForwardKey, row.Forward] { return New() },
		Rows:  rows,
		Change: func(w row.Forward) (row.Forward, bool) {
			w.Last = !w.Last
			return w, true
		},
		Foreign: func(t testing.TB) func() error {
			before := sh(t, "iptables-nft -S; ip6tables-nft -S")
			return func() error {
				for line := range strings.Lines(before) {
					if now := sh(t, "iptables-nft -S; ip6tables-nft -S"); !strings.Contains(now, line) {
						return fmt.Errorf("%q is gone from\n%s", line, now)
					}
				}
				return nil
			}
		},
		Many: 300,
	})
}

// What we write reads in iptables as what the row says.
func TestIptablesReadsThem(t *testing.T) {
	in(t, docker)
	var changes []change
	for _, net := range []string{"10.244.0.0/16", "fd00:10:244::/56"} {
		for m := range row.ForwardMatch(3) {
			w := row.Forward{Net: netip.MustParsePrefix(net), Match: m}
			changes = append(changes, change{Key: w.Key(), New: &w})
		}
	}
	if err := New().Apply(t.Context(), changes); err != nil {
		t.Fatal(err)
	}
	text := sh(t, "iptables-nft -S FORWARD; ip6tables-nft -S FORWARD")
	for _, want := range []string{
		`-A FORWARD -d 10.244.0.0/16 -m comment --comment "kube-router: pods" -j ACCEPT`, "-A FORWARD -s 10.244.0.0/16 -i kube-bridge -m comment",
		"-A FORWARD -d fd00:10:244::/56 -m comment", "-A FORWARD -s fd00:10:244::/56 -i kube-bridge -m comment",
		"-A FORWARD -s 10.244.0.0/16 -m conntrack --ctstate RELATED,ESTABLISHED -m comment", "-A FORWARD -j DOCKER-USER",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Index(text, "10.244.0.0/16") > strings.Index(text, "DOCKER-USER") {
		t.Errorf("not before others' rules:\n%s", text)
	}
}

// A chain that isn't there has none of our rules and takes none; nothing is made.
func TestNoChain(t *testing.T) {
	in(t, "true")
	w := rows(1)[0]
	if err := New().Apply(t.Context(), []change{{Key: w.Key(), New: &w}}); err == nil {
		t.Error("a rule in a chain that isn't there")
	}
	if err := New().Apply(t.Context(), []change{{Key: w.Key(), Old: &w}}); err != nil {
		t.Error(err)
	}
	if have, err := New().Dump(t.Context()); err != nil || len(have) != 0 {
		t.Errorf("%v %v", have, err)
	}
	if text := sh(t, "nft list tables"); text != "" {
		t.Errorf("made %s", text)
	}
}

func TestLook(t *testing.T) {
	native := func(policy, rules string) string {
		return "nft -f - <<'EOF'\ntable inet kube-router { chain x { type filter hook forward priority 0; policy drop; }; }\ntable inet mine {\nchain in { type filter hook input priority 0; policy drop; }\nchain other { accept\n}\n" +
			"chain f { type filter hook forward priority 0; policy " + policy + ";\n" + rules + "\n}\n}\nEOF\n"
	}
	mine := func(f Foreign) string {
		f.Family, f.Table, f.Name = "inet", "mine", "f"
		return fmt.Sprintf("%+v", []Foreign{f})
	}
	both := func(f Foreign) string {
		f.Table, f.Name = Table, Chain
		list := []Foreign{f, f}
		list[0].Family, list[1].Family = "ip", "ip6"
		return fmt.Sprintf("%+v", list)
	}
	iptables := func(rules string) string {
		return "for p in iptables-nft ip6tables-nft; do " + strings.ReplaceAll(rules, "R ", "$p ") + "; done"
	}
	cases := map[string]struct{ script, want string }{
		"nothing":            {"true", "[]"},
		"docker":             {docker, both(Foreign{Policy: true, Closed: true})},
		"plain iptables":     {iptables("R -A FORWARD -i mine -j ACCEPT"), both(Foreign{})},
		"a rule drops":       {iptables("R -N X; R -A X -p tcp -j DROP; R -A FORWARD -i eth0 -j X"), both(Foreign{Drops: true})},
		"the last rejects":   {iptables("R -A FORWARD -i mine -j ACCEPT; R -A FORWARD -j REJECT"), both(Foreign{Drops: true, Closed: true})},
		"policy of others":   {iptables("R -N KUBE-X; R -A KUBE-X -j DROP; R -A FORWARD -j KUBE-X"), both(Foreign{})},
		"kube-bridge passes": {iptables("R -P FORWARD DROP; R -A FORWARD -i kube-bridge -j ACCEPT"), both(Foreign{Policy: true, Closed: true, Open: true})},
		"kube+ passes":       {iptables("R -P FORWARD DROP; R -A FORWARD -o kube+ -j ACCEPT"), both(Foreign{Policy: true, Closed: true, Open: true})},
		"policy drop":        {native("drop", "ct state established accept\nmeta l4proto { icmp, ipv6-icmp } accept"), mine(Foreign{Policy: true, Closed: true})},
		"a host passes":      {native("drop", "ip daddr 10.0.0.9 accept"), mine(Foreign{Policy: true, Closed: true})},
		"a range passes":     {native("drop", "ip daddr 10.244.0.0/16 accept"), mine(Foreign{Policy: true, Closed: true, Open: true})},
		"an odd range":       {native("drop", "ip6 saddr fd00::/57 accept"), mine(Foreign{Policy: true, Closed: true, Open: true})},
		"a set passes":       {native("drop", "iifname { kube-bridge, eth1 } jump other"), mine(Foreign{Policy: true, Closed: true, Open: true})},
		"others jump":        {native("drop", "iifname docker0 jump other"), mine(Foreign{Policy: true, Closed: true})},
		"all jump":           {native("drop", "jump other"), mine(Foreign{Policy: true, Closed: true, Open: true})},
		"reject at the end":  {native("accept", "ct state established accept\nct state invalid drop\nreject with icmpx admin-prohibited"), mine(Foreign{Drops: true, Closed: true})},
		"accept":             {native("accept", "accept\ndrop"), mine(Foreign{Drops: true, Open: true})},
	}
	for name, c := range cases {
		if strings.Contains(c.script, "iptables-nft") && !strings.Contains(name, "legacy") { // the same by the other tool
			legacy := strings.ReplaceAll(c.want, "Legacy:false", "Legacy:true")
			cases[name+", legacy"] = struct{ script, want string }{strings.ReplaceAll(c.script, "tables-nft", "tables-legacy"), legacy}
		}
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			in(t, c.script)
			list, err := Look()
			if text := fmt.Sprintf("%+v", list); err != nil || text != c.want {
				t.Errorf("%v\nhave %s\nwant %s", err, text, c.want)
			}
		})
	}
}

func TestWatch(t *testing.T) {
	in(t, docker)
	ctx, cancel := context.WithCancel(t.Context())
	changed, ended := make(chan struct{}, 100), make(chan error, 1)
	ns, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	go func() {
		runtime.LockOSThread()
		if err := netns.Set(ns); err != nil {
			ended <- err
			return
		}
		ended <- New().Watch(ctx, func() { changed <- struct{}{} })
	}()
	wait := func(what string) {
		t.Helper()
		select {
		case <-changed:
		case err := <-ended:
			t.Fatal(err)
		case <-time.After(20 * time.Second):
			t.Fatalf("not told of %s", what)
		}
	}
	wait("the beginning")
	sh(t, "ip6tables-nft -F FORWARD")
	wait("a flush")
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

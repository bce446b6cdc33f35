//go:build !guest

package operate

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// alone runs the doctor as `kubectl exec` does, without any of the daemon's flags.
func (n *node) alone() []finding {
	n.t.Helper()
	cmd := n.space.Command(n.t.Context(), bin, "doctor", "-o", "json", "--control-socket", n.path("run/control.sock"))
	text, err := cmd.Output()
	var list []finding
	if jerr := json.Unmarshal(text, &list); jerr != nil {
		n.t.Fatalf("%v, %v\n%s", err, jerr, text)
	}
	return list
}

// diagnosed waits until the doctor alone tells of a fault and of how to fix it.
func (n *node) diagnosed(t *testing.T, verdict, check, says, fix string) {
	t.Helper()
	n.eventually("diagnosed: "+says, func() error {
		list := n.alone()
		for _, f := range list {
			if f.Verdict == verdict && f.Check == check && strings.Contains(f.What, says) && strings.Contains(f.Fix, fix) {
				return nil
			}
		}
		return fmt.Errorf("want %s %q with %q, fixed by %q; have %+v", verdict, check, says, fix, list[:min(len(list), 6)])
	})
}

// TestAtNight breaks one thing after the other, and asks one command for it.
func TestAtNight(t *testing.T) {
	n := newNode(t, "--overlay-encap", "vxlan", "--run-firewall=true")
	n.check(os.WriteFile(n.path("password"), []byte("right\n"), 0o600))
	n.args = append(n.args, "--ibgp-password-file", n.path("password"))
	n.apply(web)
	n.apply(sticky)
	// Somebody has taken the name of our bridge.
	n.sh("ip link add kube-bridge type veth peer name other")
	n.diagnosed(t, "warn", "daemon", "no kube-router answers", "its log says why")
	n.begin()
	n.diagnosed(t, "bad", "rows: rtnl", "kube-bridge", "")
	n.sh("ip link del kube-bridge")
	n.ready()
	n.eventually("fixed", func() error {
		if f := find(n.alone(), "daemon"); f.Verdict != "ok" {
			return fmt.Errorf("%+v", f)
		}
		return nil
	})
	if f := find(n.alone(), "settings: net/ipv4/ip_forward"); f.Verdict != "ok" {
		t.Errorf("%+v", f)
	}
	// The other node of the manifest is not there.
	n.diagnosed(t, "warn", "BGP", "172.31.77.2 (node n2, AS 64512)", "nc -vz 172.31.77.2")
	// It calls, with another password than ours or none.
	for range 3 {
		_ = n.outside.Command(t.Context(), "timeout", "0.5", "bash", "-c", "echo > /dev/tcp/"+nodeIP.String()+"/179").Run()
	}
	n.diagnosed(t, "warn", "BGP", "with a wrong TCP MD5 signature or without one", "--ibgp-password-file")
	// What is odd about an object.
	n.apply(strings.Replace(sticky, "name: sticky,", "annotations: {kube-router.io/service.scheduler: best}, name: sticky,", 1))
	n.diagnosed(t, "warn", "remarks", `unknown scheduler "best"`, "kube-router show remarks")
	// Another program does the same work.
	n.check(exec.Command("cp", "/bin/sleep", n.path("kube-proxy")).Run())
	proxy := exec.Command(n.path("kube-proxy"), "60")
	n.check(proxy.Start())
	n.diagnosed(t, "bad", "other programs", "kube-proxy runs", "delete daemonset kube-proxy")
	n.check(proxy.Process.Kill())
	_ = proxy.Wait()
	// Others' rules drop what passes.
	n.sh("nft add table inet drops; nft add chain inet drops f '{ type filter hook forward priority 0; policy drop; }'")
	n.diagnosed(t, "bad", "other rules", "inet drops f", "accept")
	n.sh("nft delete table inet drops")
	// What is deleted comes back by itself, and nobody need be woken.
	n.sh("nft delete table inet kube-router || true; sysctl -qw net.ipv4.ip_forward=0") // from Linux 6.9 on the table can't be deleted
	n.eventually("made again", func() error {
		if text := n.sh("nft list tables; sysctl net.ipv4.ip_forward"); !strings.Contains(text, "inet kube-router") || !strings.Contains(text, "= 1") {
			return errors.New(text)
		}
		return nil
	})
	// The API server goes away: the network stays, health stays, the doctor tells.
	n.api.SetDown(true)
	n.diagnosed(t, "bad", "API server", "the watch of", "goes on with what it knows")
	if text := n.get("http://127.0.0.1:20244/healthz"); !strings.HasPrefix(text, "OK") {
		t.Errorf("unhealthy because the API server is away: %s", text)
	}
	n.api.SetDown(false)
	n.views(t)
	n.documented(t)
}

// begin starts the daemon and doesn't wait.
func (n *node) begin() {
	n.t.Helper()
	n.launch()
	n.eventually("answering", func() error { _, err := n.show("summary"); return err })
}

// documented runs every command that the documents give for a node. What it is about may not be here, but the command exists.
func (n *node) documented(t *testing.T) {
	socket, seen := "--control-socket="+n.path("run/control.sock"), 0
	for _, doc := range []string{"README.md", "docs/operating.md", "docs/user-guide.md", "docs/taking-over.md", "docs/tutorial.md"} {
		text, err := os.ReadFile("../../" + doc)
		n.check(err)
		for _, m := range regexp.MustCompile("kube-router ((?:show|why|doctor|config check|version)(?: [^`#|)\n]*)?)").FindAllStringSubmatch(string(text), -1) {
			words := strings.Fields(strings.TrimRight(m[1], " .,;:"))
			if slices.ContainsFunc(words, func(w string) bool {
				return strings.ToUpper(w) == w && strings.ContainsAny(w, "ABCDEFGHIJKLMNOPQRSTUVWXYZ…$")
			}) {
				words = words[:1] // its words stand for others
			}
			if words[0] != "config" && words[0] != "version" {
				words = append(words, socket)
			}
			seen++
			if e := n.once(0, words...); regexp.MustCompile("nothing to show|unknown (command|flag)|no table|requires|accepts").MatchString(e.stderr) && len(words) > 2 {
				t.Errorf("%s: %q: %s", doc, m[0], e.stderr)
			}
		}
	}
	if seen < 15 {
		t.Errorf("only %d commands were found", seen)
	}
}

// views asks for everything that can be shown, in every format.
func (n *node) views(t *testing.T) {
	for _, view := range []string{
		"summary", "tables", "rows nft", "failing", "remarks", "settings", "settings all", "sources", "nodes", "peers", "routes", "services",
		"services web", "policies", "firewalls", "drops",
	} {
		words := strings.Fields(view)
		if text, err := n.show(words...); err != nil || text == "" {
			t.Errorf("show %s: %v %s", view, err, text)
		}
		var data any
		if text, err := n.show(append(words, "-o", "json")...); err != nil || json.Unmarshal([]byte(text), &data) != nil {
			t.Errorf("show %s -o json: %v %s", view, err, text)
		}
		if text, err := n.show(append(words, "-o", "yaml")...); err != nil || yaml.Unmarshal([]byte(text), &data) != nil {
			t.Errorf("show %s -o yaml: %v %s", view, err, text)
		}
	}
	socket := "--control-socket=" + n.path("run/control.sock")
	for _, c := range []struct {
		args       string
		code       int
		out, fault string
	}{
		{"show nonsense", 1, "", `nothing to show by the name "nonsense"; there are summary, tables,`},
		{"show rows nope", 1, "", "there are sysctl, rtnl, nft"},
		{"show summary -o xml", 1, "", "text, json or yaml"},
		{"show balancer", 1, "", "--run-loadbalancer is off"},
		{"why 10.96.0.50", 0, "10.96.0.50:80/tcp", ""},
		{"why 10.96.0.50:80/tcp", 0, "because", ""},
		{"why default/web", 0, "services-slots4", ""},
		{"why default/nope", 1, "", "show remarks"},
		{"why 10.244.1.5", 0, "is pod default/web-1 on node n1", ""},
		{"why 172.31.77.2", 0, "is node n2", ""},
		{"why 192.0.2.200", 1, "", "ip route get 192.0.2.200"},
		{"why 172.31.77.9 default/web-1 8080/tcp", 0, "denied", ""},
		{"why default/x default/y 80/tcp", 1, "", "name pods as NAMESPACE/NAME"},
		{"why", 1, "", "arg"},
		{"nonsense", 1, "", `unknown command "nonsense"`},
	} {
		words := strings.Fields(c.args)
		if words[0] != "nonsense" {
			words = append(words, socket)
		}
		e := n.once(0, words...)
		if e.code != c.code || !strings.Contains(strings.ToLower(e.stdout), strings.ToLower(c.out)) || !strings.Contains(e.stderr, c.fault) {
			t.Errorf("%s: code %d\n%s\n%s", c.args, e.code, e.stdout, e.stderr)
		}
	}
	n.once(0, "show", "--control-socket=/nowhere/s").wants(t, 1, "", "is kube-router running on this node?")
	n.once(0, "config", "check", "--bgp-port=1179").wants(t, 0, "0 faults", "")
	n.check(os.WriteFile(n.path("bad.yaml"), []byte("bgp-port: x\nnone: 1\n"), 0o600))
	e := n.once(0, "config", "check", "--config", n.path("bad.yaml"))
	e.wants(t, 1, "2 faults", "")
	if strings.Count(e.stdout+e.stderr, "no such setting") != 1 {
		t.Errorf("a fault is told more than once:\n%s%s", e.stdout, e.stderr)
	}
	cmd := n.space.Command(t.Context(), "timeout", "2.5", bin, "show", socket, "tables", "--watch")
	text, _ := cmd.Output()
	if strings.Count(string(text), "TABLE") < 2 {
		t.Errorf("--watch:\n%s", text)
	}
}

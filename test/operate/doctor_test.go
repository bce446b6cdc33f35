package operate

import (
	"encoding/json"
	"errors"
	"os/exec"
	"strings"
	"testing"
)

type finding struct{ Verdict, Check, What, Mend string }

// doctor runs the doctor on the node.
func (n *node) doctor(more ...string) ([]finding, error) {
	n.t.Helper()
	cmd := n.space.Command(n.t.Context(), bin, append(append([]string{"doctor", "-o", "json"}, n.flags()...), more...)...)
	cmd.Env = n.env()
	text, err := cmd.Output()
	var list []finding
	if jerr := json.Unmarshal(text, &list); jerr != nil {
		n.t.Fatalf("%v, %v\n%s", err, jerr, text)
	}
	return list, err
}

func find(list []finding, check string) finding {
	for _, f := range list {
		if f.Check == check {
			return f
		}
	}
	return finding{}
}

// The doctor of a real node finds what is there and what is not, and leaves nothing behind.
func TestDoctor(t *testing.T) {
	n := newNode(t, "--run-firewall=false", "--overlay-encap", "vxlan", "--node-routes", "api")
	before := n.state()
	list, _ := n.doctor()
	same(t, "doctor", before, n.state())
	for check, verdict := range map[string]string{
		"kernel: nftables": "ok", "kernel: vxlan": "ok", "kernel: bridge": "ok", "settings": "ok", "leftovers": "ok",
		"API server": "ok", "node": "ok", "MTU": "ok", "CNI file": "warn", "settings: net/ipv4/ip_forward": "ok",
	} {
		if f := find(list, check); f.Verdict != verdict {
			t.Errorf("%s: %+v, want %s", check, f, verdict)
		}
	}
	n.start()
	list, _ = n.doctor()
	if f := find(list, "CNI file"); f.Verdict != "ok" {
		t.Errorf("%+v", f)
	}
	n.sh(proxyLeft + "\nsysctl -qw net.ipv4.ip_forward=0; nft add table inet drops; nft add chain inet drops f '{ type filter hook forward priority 0; policy drop; }'")
	list, _ = n.doctor()
	if f := find(list, "leftovers"); f.Verdict != "warn" || !strings.Contains(f.What, "kube-proxy") {
		t.Errorf("%+v", f)
	}
	if f := find(list, "other rules"); !strings.Contains(f.What, "inet drops f") {
		t.Errorf("%+v", f)
	}
	list, err := n.doctor("--hostname-override", "nobody")
	var exit *exec.ExitError
	if f := find(list, "node"); f.Verdict != "bad" || !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("%+v, %v", f, err)
	}
	text, _ := n.try(bin, append([]string{"doctor"}, n.flags()...)...)
	if !strings.Contains(text, "VERDICT") || !strings.Contains(text, " checks: ") {
		t.Errorf("the page for people:\n%s", text)
	}
}

package operate

import (
	"encoding/json"
	"errors"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

type finding struct{ Verdict, Check, What, Fix string }

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

// loaded are the kernel's modules that are loaded.
func loaded(t *testing.T) []string {
	t.Helper()
	list, err := filepath.Glob("/sys/module/*")
	if err != nil || len(list) == 0 {
		t.Fatalf("no modules: %v", err)
	}
	return list
}

// The doctor of a real node finds what is there and what is not, leaves nothing behind and loads nothing.
func TestDoctor(t *testing.T) {
	n := newNode(t, "--run-firewall=false", "--overlay-encap", "vxlan", "--node-routes", "api")
	before, modules := n.state(), loaded(t)
	list, _ := n.doctor()
	if now := loaded(t); !slices.Equal(now, modules) {
		t.Errorf("the doctor loaded modules: %v, before %v", now, modules)
	}
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

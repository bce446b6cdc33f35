package file

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// types are the plugins of a list, in order.
func types(t *testing.T, text string) string {
	t.Helper()
	var file struct {
		Plugins []struct {
			Type         string          `json:"type"`
			Capabilities map[string]bool `json:"capabilities"`
		} `json:"plugins"`
	}
	must(t, json.Unmarshal([]byte(text), &file))
	var names []string
	for _, p := range file.Plugins {
		names = append(names, p.Type)
	}
	return strings.Join(names, " ")
}

func TestOursStandsInForTheOthersAndBack(t *testing.T) {
	d := NewFake(t.TempDir())
	chain := d.row()
	must(t, apply(t, d, nil, &chain))
	before := read1(t, d.path)
	own := chain
	own.Own = true
	must(t, apply(t, d, &chain, &own))
	has(t, d, own)
	text := read1(t, d.path)
	if got := types(t, text); got != "kube-router-cni" || !strings.Contains(text, `"portMappings": true`) {
		t.Errorf("plugins %s in\n%s", got, text)
	}
	if name, dir, ok := Network(d.path); name != "mynet" || dir != "" || !ok {
		t.Errorf("network %s at %q: %t", name, dir, ok)
	}
	moved := own
	moved.MTU = 1400
	must(t, apply(t, d, &own, &moved))
	has(t, d, moved)
	must(t, apply(t, d, &moved, &chain))
	has(t, d, chain)
	if got := read1(t, d.path); got != before {
		t.Errorf("back is\n%s\nwas\n%s", got, before)
	}
}

func TestAUsersListKeepsItsOtherPlugins(t *testing.T) {
	d := NewFake(t.TempDir())
	must(t, os.WriteFile(d.path, []byte(theirs), 0o600))
	own := d.row()
	own.Own = true
	must(t, apply(t, d, nil, &own))
	has(t, d, own)
	text := read1(t, d.path)
	if got := types(t, text); got != "kube-router-cni tuning kube-router-cni" || !strings.Contains(text, `"rangeStart": "10.244.1.10"`) {
		t.Errorf("plugins %s in\n%s", got, text)
	}
	if _, dir, _ := Network(d.path); dir != "/d" {
		t.Errorf("leases in %q", dir)
	}
	must(t, apply(t, d, &own, nil))
	if got := read1(t, d.path); got != theirs {
		t.Errorf("cleanup brings back\n%s", got)
	}
}

func TestAListThatOursCantServeIsLeftAlone(t *testing.T) {
	d := NewFake(t.TempDir())
	text := strings.Replace(theirs, `"mtu":9000`, `"vlan":7`, 1)
	must(t, os.WriteFile(d.path, []byte(text), 0o600))
	own := d.row()
	own.Own = true
	err := apply(t, d, nil, &own)
	if err == nil || !strings.Contains(err.Error(), "vlan") {
		t.Errorf("a VLAN: %v", err)
	}
	if got := read1(t, d.path); got != text {
		t.Errorf("it was written all the same:\n%s", got)
	}
}

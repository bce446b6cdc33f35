package file

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// seed is the file of the first guide, as it is printed there.
const seed = `{
"name":"mynet",
"type":"bridge",
"bridge":"kube-bridge",
"isDefaultGateway":true,
"hairpinMode":true,
"ipam": {
"type":"host-local"
}
}
`

// TestTheFileOfTheFirstGuide lies in the way of ours, from before or later: what it says goes into ours, and ours alone counts.
func TestTheFileOfTheFirstGuide(t *testing.T) {
	for _, first := range []bool{true, false} {
		d := NewFake(t.TempDir())
		conf := strings.TrimSuffix(d.path, "list")
		lay := func() {
			must(t, os.WriteFile(conf, []byte(strings.Replace(seed, `"hairpinMode":true`, `"hairpinMode":false,"ipMasq":false`, 1)), 0o644))
		}
		want := d.row()
		if first {
			lay()
			has(t, d) // nothing of ours yet
		} else {
			must(t, apply(t, d, nil, &want))
			has(t, d, want)
			lay()
			drifted := want
			drifted.Ranges, drifted.MTU, drifted.Socket = [2]netip.Prefix{}, 0, ""
			has(t, d, drifted)
		}
		must(t, apply(t, d, nil, &want))
		has(t, d, want)
		if _, err := os.Stat(conf); !os.IsNotExist(err) {
			t.Errorf("two files count: %v", err)
		}
		text := read1(t, d.path)
		for _, s := range []string{`"hairpinMode": false`, `"ipMasq": false`, `"subnet": "10.244.1.0/24"`, `"portmap"`, `"kube-router-cni"`, `"name": "mynet"`, `"cniVersion": "1.0.0"`} {
			if !strings.Contains(text, s) {
				t.Errorf("%s is missing in\n%s", s, text)
			}
		}
		must(t, apply(t, d, &want, nil))
		if n := names(t, d); n != filepath.Base(conf) || !strings.Contains(read1(t, conf), "ipMasq") {
			t.Errorf("after cleanup: %s", n)
		}
	}
}

// TestASingleFileOfAnotherKind counts, and says so.
func TestASingleFileOfAnotherKind(t *testing.T) {
	for _, text := range []string{"{", `{"type":"macvlan","ipam":{"type":"dhcp"}}`} {
		d := NewFake(t.TempDir())
		conf := strings.TrimSuffix(d.path, "list")
		must(t, os.WriteFile(conf, []byte(text), 0o644))
		want := d.row()
		if err := apply(t, d, nil, &want); err == nil || !strings.Contains(err.Error(), conf+" was left alone") {
			t.Errorf("%s: %v", text, err)
		}
		if n := names(t, d); n != filepath.Base(conf) {
			t.Errorf("%s: %s", text, n)
		}
	}
}

package podns

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kube-router/internal/row"
)

const cached = `{"kind":"cniCacheV1","containerId":"c1","config":"e30=","ifName":"eth0","networkName":"kubernetes","netns":"/var/run/netns/cni-1",
"cniArgs":[["IgnoreUnknown","1"],["K8S_POD_NAMESPACE","default"],["K8S_POD_NAME","web-0"],["K8S_POD_INFRA_CONTAINER_ID","c1"]],
"result":{"cniVersion":"1.0.0","ips":[{"address":"10.244.1.5/24","gateway":"10.244.1.1"},{"address":"fd00:244:1::5/64"}]}}`

func TestParse(t *testing.T) {
	want := place{
		pod: row.KubeName{Namespace: "default", Name: "web-0"}, path: "/var/run/netns/cni-1",
		addrs: []netip.Addr{netip.MustParseAddr("10.244.1.5"), netip.MustParseAddr("fd00:244:1::5")},
	}
	have, ok := parse([]byte(cached))
	if d := cmp.Diff(want, have, cmp.AllowUnexported(place{}), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" || !ok {
		t.Errorf("%t, want - have +:\n%s", ok, d)
	}
	for _, text := range []string{
		"", "{", `{"kind":"other"}`,
		`{"kind":"cniCacheV1","netns":"","result":{"ips":[{"address":"10.0.0.1/24"}]}}`,
		`{"kind":"cniCacheV1","netns":"relative","result":{"ips":[{"address":"10.0.0.1/24"}]}}`,
		`{"kind":"cniCacheV1","netns":"/run/netns/a","result":{"ips":[{"address":"nonsense"}]}}`,
	} {
		if p, ok := parse([]byte(text)); ok {
			t.Errorf("%q: have %v", text, p)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(cached))
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, ok := parse(b); ok && (!filepath.IsAbs(p.path) || len(p.addrs) == 0) {
			t.Errorf("have %v", p)
		}
	})
}

func TestRecordsOfEveryRoot(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, cacheDir), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"kubernetes-c1-eth0": cached, "kubernetes-c2-eth0": "half a fi"} {
		if err := os.WriteFile(filepath.Join(root, cacheDir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	list := New(Options{Roots: []string{filepath.Join(root, "missing"), root}}).recorded()
	if len(list) != 1 || list[0].path != filepath.Join(root, "var/run/netns/cni-1") {
		t.Errorf("have %v", list)
	}
}

func TestNamespaceOfSandbox(t *testing.T) {
	for info, want := range map[string]string{
		`{"pid":42,"runtimeSpec":{"linux":{"namespaces":[{"type":"pid"},{"type":"network","path":"/run/netns/x"}]}}}`: "/run/netns/x",
		`{"pid":42}`: "/proc/42/ns/net",
		`{}`:         "",
		`nonsense`:   "",
	} {
		if have := namespacePath(info); have != want {
			t.Errorf("%s: have %q, want %q", info, have, want)
		}
	}
}

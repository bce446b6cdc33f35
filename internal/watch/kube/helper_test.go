package kube

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"sigs.k8s.io/yaml"

	"kube-router/internal/model"
)

// decode reads an API object from YAML as a user would write it.
func decode[T any](t *testing.T, text string) *T {
	t.Helper()
	o := new(T)
	if err := yaml.UnmarshalStrict([]byte(strings.ReplaceAll(text, "\t", "  ")), o); err != nil {
		t.Fatalf("bad test input: %v\n%s", err, text)
	}
	return o
}

// same fails the test when two values differ. Secrets are compared as what they hold.
func same(t *testing.T, want, got any) {
	t.Helper()
	if d := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
		cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }), cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }), cmpopts.EquateEmpty()); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

// sameRemarks compares remarks as users read them, without the object.
func sameRemarks(t *testing.T, want []string, got []model.Remark) {
	t.Helper()
	var lines []string
	for _, r := range got {
		lines = append(lines, strings.TrimPrefix(r.String(), r.Object.String()+": "))
	}
	same(t, want, lines)
}

func addrs(list ...string) []netip.Addr {
	var out []netip.Addr
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

func prefixes(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

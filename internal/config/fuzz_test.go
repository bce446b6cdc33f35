package config

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"kube-router/internal/model"
)

func FuzzNodePorts(f *testing.F) {
	for _, s := range []string{"30000-32767", "1:2", "5-5", "", "-", "1-2-3", "0x1-5", " 1 - 2 "} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := nodePorts(s)
		if err != nil {
			return
		}
		if p.first == 0 || p.first >= p.last {
			t.Fatalf("%q: %+v", s, p)
		}
		if again, err := nodePorts(fmt.Sprintf("%d-%d", p.first, p.last)); err != nil || again != p {
			t.Fatalf("%q: %+v is not read back: %+v, %v", s, p, again, err)
		}
	})
}

func FuzzPasswords(f *testing.F) {
	for _, s := range []string{"aGlkZGVu", "aGlkZGVu,\n", ",", `"a"b`, "a\nb", "====", strings.Repeat("aaaa", 30)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		all, err := passwords(s)
		if err != nil && len(s) > 8 && strings.Contains(err.Error(), s) {
			t.Fatalf("the fault tells the secret: %v", err)
		}
		for _, p := range all {
			if len(p) > model.MaxPassword {
				t.Fatalf("%q: a password of %d bytes", s, len(p))
			}
		}
	})
}

func FuzzFile(f *testing.F) {
	for _, s := range []string{"v: 1", "v: 1\nv: 2", "excluded-cidrs: [a, b]", "- a", "a: &x [*x]", "? [a]\n: b", "v: *a", "<<: {v: 1}", "---\n---", "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		values, errs := parseFile([]byte(s))
		for name, v := range values {
			if name == "" || v.source == "" {
				t.Fatalf("%q: %q: %+v", s, name, v)
			}
		}
		h := withFile(s)
		o, err := parse(t, h, "--config=/c.yaml")
		if len(errs) > 0 && err == nil {
			t.Fatalf("%q: accepted in spite of %v", s, errs)
		}
		if (o == nil) == (err == nil) {
			t.Fatalf("%q: %v and %v", s, o, err)
		}
	})
}

func FuzzLists(f *testing.F) {
	for _, s := range []string{"10.0.0.0/8", "10.0.0.0/8,fd00::/8", `"10.0.0.0/8"`, "::ffff:1.2.3.4/120", "10.0.0.1", "fe80::1%a", ",,", "a\r\nb"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d := &draft{}
		var ranges []netip.Prefix
		many(func(*draft) *[]netip.Prefix { return &ranges }, cidr)(d, []string{s})
		for _, p := range ranges {
			if p != p.Masked() || !p.IsValid() || p.Addr().Is4In6() {
				t.Fatalf("%q: %s", s, p)
			}
		}
		var addrs []netip.Addr
		many(func(*draft) *[]netip.Addr { return &addrs }, peer)(d, []string{s})
		for _, a := range addrs {
			if !a.IsValid() || a.Is4In6() || a.Zone() != "" || a.IsUnspecified() {
				t.Fatalf("%q: %s", s, a)
			}
		}
	})
}

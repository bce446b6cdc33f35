package kube

import (
	"fmt"
	"strings"
)

// names takes over domain names as peers. Names can only be accepted: what isn't learned yet would pass a rule that denies, though it has
// the name.
func (c *clusterRules) names(field string, list []string) []string {
	if !c.accepts {
		c.unknown(field, "only rules that accept can name domains")
	}
	if len(list) == 0 {
		c.unknown(field, "there is none")
	}
	names := make([]string, 0, len(list))
	for i, text := range list {
		name, err := parseDomain(text)
		if err != nil {
			c.unknown(fmt.Sprintf("%s[%d]", field, i), "%s", err)
			continue
		}
		names = append(names, name)
	}
	return names
}

// parseDomain reads a domain name as policies have it: at least two labels (RFC 1035, and "_" in them), before which "*." stands for any
// number of labels, and behind which may be a dot.
func parseDomain(text string) (string, error) {
	name := strings.ToLower(strings.TrimSuffix(text, "."))
	labels := strings.Split(strings.TrimPrefix(name, "*."), ".")
	bad := len(labels) < 2 || len(name) > 253
	for _, l := range labels {
		bad = bad || !domainLabel(l)
	}
	if bad {
		return "", fmt.Errorf("%q is no domain name, nor one with *. before it", text)
	}
	return name, nil
}

func domainLabel(l string) bool {
	ends := func(b byte) bool { return b >= 'a' && b <= 'z' || b >= '0' && b <= '9' }
	if l == "" || len(l) > 63 || !ends(l[0]) || !ends(l[len(l)-1]) {
		return false
	}
	return strings.IndexFunc(l, func(r rune) bool { return r > 'z' || r != '-' && r != '_' && !ends(byte(r)) }) < 0
}

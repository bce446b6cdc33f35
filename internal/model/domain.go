package model

import (
	"net/netip"
	"strings"
)

// Domain is what pods of this node were told that a domain name stands for, by resolvers whose answers count.
type Domain struct {
	Name   string       // in lower case, without a dot at the end
	Addrs  []netip.Addr // sorted; policies that name it are about these
	Lapsed []netip.Addr // sorted, none of Addrs: told long ago, so that nothing begins to them; what stands goes on
}

// Ref names the domain.
func (d *Domain) Ref() Ref { return Ref{KindDomain, Name{Name: d.Name}} }

// DomainMatches tells whether a pattern is about a domain name, both in lower case and without a dot at the end: "*.a.b" is about
// all names below a.b, however deep, and not about a.b; any other pattern is about itself.
func DomainMatches(pattern, name string) bool {
	below, wild := strings.CutPrefix(pattern, "*")
	if !wild {
		return pattern == name
	}
	return len(name) > len(below) && strings.HasSuffix(name, below)
}

// DomainPatterns calls f with every pattern that is about a domain name: with itself, and with one for each domain that it is below.
func DomainPatterns(name string, f func(pattern string)) {
	f(name)
	for rest := name; ; {
		_, below, more := strings.Cut(rest, ".")
		if !more {
			return
		}
		f("*." + below)
		rest = below
	}
}

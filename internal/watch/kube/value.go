package kube

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"kube-router/internal/model"
)

// Labels and annotations of Kubernetes itself that we honour.
const (
	labelServiceName = "kubernetes.io/service-name"
	labelHeadless    = "service.kubernetes.io/headless"
	labelProxyName   = "service.kubernetes.io/service-proxy-name"
	labelZone        = "topology.kubernetes.io/zone"
	labelExcludeLB   = "node.kubernetes.io/exclude-from-external-load-balancers"
	ourProxyName     = "kube-router" // the value of labelProxyName that means us
	annotationChange = "endpoints.kubernetes.io/last-change-trigger-time"
)

// remarks collects what a conversion could not take over from one object.
type remarks struct {
	object model.Ref
	list   []model.Remark
}

// add notes that something is wrong with a field.
func (r *remarks) add(field, format string, args ...any) {
	r.list = append(r.list, model.Remark{Object: r.object, Field: field, Message: fmt.Sprintf(format, args...)})
}

// parseAddr reads an address as the API writes them. An IPv4 address in IPv6 form (RFC 4291 2.5.5.2) is
// the IPv4 address that it means. Leading zeros are refused: they are octal to some readers (CVE-2021-29923).
func parseAddr(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(strings.TrimSpace(s))
	if err != nil {
		return netip.Addr{}, fmt.Errorf("%q ignored: not an IP address", s)
	}
	if a.Zone() != "" {
		return netip.Addr{}, fmt.Errorf("%q ignored: an address with a zone has no meaning outside its link", s)
	}
	return a.Unmap(), nil
}

// parseUnicast reads an address that traffic of a cluster may be sent to. Loopback, link-local,
// multicast and unspecified ones would reach the node itself or its neighbours (CVE-2021-25737,
// CVE-2020-8558).
func parseUnicast(s string) (netip.Addr, error) {
	a, err := parseAddr(s)
	if err != nil {
		return a, err
	}
	if why := special(a); why != "" {
		return netip.Addr{}, fmt.Errorf("%s ignored: %s address", a, why)
	}
	return a, nil
}

// special names what makes an address unfit as a destination, or is empty.
func special(a netip.Addr) string {
	switch {
	case a.IsUnspecified():
		return "an unspecified"
	case a.IsLoopback():
		return "a loopback"
	case a.IsLinkLocalUnicast():
		return "a link-local"
	case a.IsMulticast():
		return "a multicast"
	case a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return "the broadcast"
	}
	return ""
}

// parsePrefix reads a block of addresses; host bits are cleared.
func parsePrefix(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(strings.TrimSpace(s))
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q ignored: not a CIDR", s)
	}
	if p.Addr().Is4In6() {
		if p.Bits() < 96 {
			return netip.Prefix{}, fmt.Errorf("%q ignored: a block around IPv4-mapped addresses", s)
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
}

// parsePort takes a port number from 1 to 65535.
func parsePort[I int | int32 | int64 | uint64](n I) (model.Port, error) {
	if n < 1 || n > 65535 {
		return 0, fmt.Errorf("%d is not a port from 1 to 65535", n)
	}
	return model.Port(n), nil
}

// parseProtocol takes a transport protocol; an absent one is TCP, as the API says.
func parseProtocol(p corev1.Protocol) (model.Protocol, error) {
	switch p {
	case corev1.ProtocolTCP, "":
		return model.TCP, nil
	case corev1.ProtocolUDP:
		return model.UDP, nil
	case corev1.ProtocolSCTP:
		return model.SCTP, nil
	}
	return 0, fmt.Errorf("unknown protocol %q", string(p))
}

// addrs reads a list of addresses of one field, keeping the good ones in order. field has one %d for
// the element's index.
func (r *remarks) addrs(field string, list []string) []netip.Addr {
	return collect(r, field, list, parseUnicast)
}

// prefixes reads a list of CIDRs of one field, keeping the good ones in order.
func (r *remarks) prefixes(field string, list []string) []netip.Prefix {
	return collect(r, field, list, parsePrefix)
}

// collect parses each element, keeps the first of equals, and remarks on the rest.
func collect[T comparable](r *remarks, field string, list []string, parse func(string) (T, error)) []T {
	var good []T
	for i, s := range list {
		v, err := parse(s)
		switch {
		case err != nil:
			r.add(element(field, i), "%s", err)
		case slices.Contains(good, v):
			r.add(element(field, i), "%v ignored: already given", v)
		default:
			good = append(good, v)
		}
	}
	return good
}

// element names one element of a list field: "spec.externalIPs[%d]" or, where the list is text in an
// annotation, the annotation's key alone.
func element(field string, i int) string {
	if strings.Contains(field, "%d") {
		return fmt.Sprintf(field, i)
	}
	return field
}

// csv splits a comma separated annotation; an empty text has no elements.
func csv(s string) []string {
	if strings.TrimSpace(s) == "" {
		return nil
	}
	list := strings.Split(s, ",")
	for i := range list {
		list[i] = strings.TrimSpace(list[i])
	}
	return list
}

// text reads an optional string.
func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// truth reads an optional boolean.
func truth(b *bool, absent bool) bool {
	if b == nil {
		return absent
	}
	return *b
}

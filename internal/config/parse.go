package config

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"kube-router/internal/model"
)

// maxSocketPath is the longest path of a unix socket (sun_path without its end).
const maxSocketPath = 107

func anyText(s string) (string, error) { return s, nil }

func boolean(s string) (bool, error) {
	v, err := strconv.ParseBool(s)
	if err != nil {
		return false, errors.New("neither true nor false")
	}
	return v, nil
}

// number parses an unsigned integer, decimal or with 0x, 0o or 0b before it as pflag does.
func number[T ~uint8 | ~uint16 | ~uint32](low, high T) func(string) (T, error) {
	return func(s string) (T, error) {
		n, err := strconv.ParseUint(s, 0, 64)
		if err != nil || n < uint64(low) || n > uint64(high) {
			return 0, fmt.Errorf("not a number from %d to %d", low, high)
		}
		return T(n), nil
	}
}

func level(s string) (int, error) {
	n, err := number[uint8](0, 10)(s)
	return int(n), err
}

func duration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, errors.New("not a duration such as 90s or 1h30m")
	}
	return d, nil
}

// within parses a duration of at least low and, when high is not 0, at most high.
func within(low, high time.Duration) func(string) (time.Duration, error) {
	return func(s string) (time.Duration, error) {
		d, err := duration(s)
		if err == nil && (d < low || high != 0 && d > high) {
			err = span(low, high)
		}
		return d, err
	}
}

func span(low, high time.Duration) error {
	switch {
	case high != 0:
		return fmt.Errorf("not between %s and %s", low, high)
	case low == 0:
		return errors.New("is negative")
	}
	return errors.New("must be greater than 0")
}

// positive is a duration above zero.
func positive(s string) (time.Duration, error) { return within(1, 0)(s) }

func oneOf[T ~string](words ...T) func(string) (T, error) {
	return func(s string) (T, error) {
		if !slices.Contains(words, T(s)) {
			return "", fmt.Errorf("not one of %q", words)
		}
		return T(s), nil
	}
}

// address parses an IP address without zone; an IPv4 address in IPv6 clothes is unmapped.
func address(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(strings.TrimSpace(s))
	if err != nil || a.Zone() != "" {
		return netip.Addr{}, errors.New("not an IP address")
	}
	return a.Unmap(), nil
}

// peer parses the address of a BGP neighbour.
func peer(s string) (netip.Addr, error) {
	a, err := address(s)
	if err == nil && (a.IsUnspecified() || a.IsMulticast()) {
		err = errors.New("not the address of a router")
	}
	return a, err
}

// listen parses the address of a listening socket; empty means every address.
func listen(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	a, err := address(s)
	return a.String(), err
}

// cidr parses an address range and clears the bits behind its length, as the reference does.
func cidr(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(strings.TrimSpace(s))
	if err != nil || p.Addr().Is4In6() {
		return netip.Prefix{}, errors.New("not an address range such as 10.0.0.0/8 or fd00::/8")
	}
	return p.Masked(), nil
}

// asn parses an AS number that a cluster may use: those for private use (RFC 6996) and, as the reference
// does, 65535.
func asn(s string) (model.ASN, error) {
	n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 32)
	if err != nil || !(n >= 64512 && n <= 65535 || n >= 4200000000 && n <= 4294967294) {
		return 0, errors.New("not an AS number for private use: 64512-65535 or 4200000000-4294967294")
	}
	return model.ASN(n), nil
}

// routerASN parses the AS number of a router outside: public or private, and none of those that no speaker may use: 0
// (RFC 7607), AS_TRANS (RFC 6793), 65535 to 131071 (RFC 5398, RFC 7300) and the last one.
func routerASN(s string) (model.ASN, error) {
	n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 32)
	if err != nil || !(n >= 1 && n <= 23455 || n >= 23457 && n <= 65534 || n >= 131072 && n <= 4294967294) {
		return 0, errors.New("not an AS number: 1-23455, 23457-65534 or 131072-4294967294")
	}
	return model.ASN(n), nil
}

// clusterASN is asn with 0 for the default.
func clusterASN(s string) (model.ASN, error) {
	if s == "0" {
		return 64512, nil
	}
	return asn(s)
}

func portOf(s string) (model.Port, error) {
	n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 16)
	if err != nil || n == 0 {
		return 0, errors.New("not a port from 1 to 65535")
	}
	return model.Port(n), nil
}

// ports is a range of node ports.
type ports struct{ first, last model.Port }

// nodePorts parses "30000-32767" or "30000:32767".
func nodePorts(s string) (ports, error) {
	a, b, ok := strings.Cut(s, "-")
	if !ok {
		a, b, ok = strings.Cut(s, ":")
	}
	if !ok {
		return ports{}, errors.New("not a range of ports such as 30000-32767")
	}
	first, err := portOf(a)
	if err != nil {
		return ports{}, err
	}
	last, err := portOf(b)
	if err != nil {
		return ports{}, err
	}
	if first >= last {
		return ports{}, errors.New("the first port is not below the last")
	}
	return ports{first, last}, nil
}

// password parses one BGP password in base64. An empty text is a peer without a password. The text is in
// no error.
func password(s string) (model.Secret, error) {
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(s))
	if err != nil {
		return "", errors.New("a password is not base64")
	}
	return secret(string(raw))
}

func secret(s string) (model.Secret, error) {
	if len(s) > model.MaxPassword {
		return "", fmt.Errorf("a password is longer than %d bytes, the most that TCP MD5 (RFC 2385) takes in Linux", model.MaxPassword)
	}
	return model.Secret(s), nil
}

// passwords parses a file of passwords in base64, separated by commas.
func passwords(text string) ([]model.Secret, error) {
	list, err := split(strings.TrimSpace(text))
	if err != nil {
		return nil, err
	}
	var all []model.Secret
	for i, s := range list {
		p, err := password(s)
		if err != nil {
			return nil, fmt.Errorf("entry %d: %w", i+1, err)
		}
		all = append(all, p)
	}
	return all, nil
}

func routerID(s string) (string, error) {
	if s == "" || s == "generate" {
		return s, nil
	}
	a, err := address(s)
	if err != nil || !a.Is4() || a.IsUnspecified() {
		return "", errors.New(`neither an IPv4 address nor "generate"`)
	}
	return a.String(), nil
}

// admin parses the GoBGP gRPC address; empty means the loopback address.
func admin(s string) (netip.Addr, error) {
	if s == "" {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1}), nil
	}
	return address(s)
}

// nodeName parses a node's name, empty or a DNS subdomain (RFC 1123) as the API server demands.
func nodeName(s string) (string, error) {
	label := `[a-z0-9]([-a-z0-9]*[a-z0-9])?`
	if s != "" && (len(s) > 253 || !regexp.MustCompile(`^`+label+`(\.`+label+`)*$`).MatchString(s)) {
		return "", errors.New("not a node name: lower-case letters, digits, '-' and '.'")
	}
	return s, nil
}

// socket parses the path of a unix socket.
func socket(s string) (string, error) {
	if !filepath.IsAbs(s) || len(s) > maxSocketPath {
		return "", fmt.Errorf("not an absolute path of at most %d bytes", maxSocketPath)
	}
	return filepath.Clean(s), nil
}

// receiver parses the URL of a receiver; empty: none. Settings are shown, so it holds no password.
func receiver(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return "", errors.New("not a URL such as http://collector:4318/v1/logs")
	case u.User != nil:
		return "", errors.New("a URL with a name or password, which would be shown")
	}
	return s, nil
}

// urlPath parses the path of an HTTP page.
func urlPath(s string) (string, error) {
	if !strings.HasPrefix(s, "/") || strings.ContainsAny(s, " {}?#") {
		return "", errors.New("not a path that begins with /")
	}
	return s, nil
}

package kube

import (
	"fmt"
	"strconv"
	"strings"
)

// ParseCommunity checks a BGP community and brings it into one form: "65000:1" for a standard one
// (RFC 1997), also when given as one 32-bit number; "65000:1:2" for a large one (RFC 8092); the name of a
// well-known one in lower case.
func ParseCommunity(s string) (string, error) {
	parts := strings.Split(s, ":")
	bits := []int{32, 16, 32}[min(len(parts), 3)-1]
	var n []string
	for _, p := range parts {
		v, err := strconv.ParseUint(p, 10, bits)
		if err != nil {
			return wellKnown(s)
		}
		n = append(n, strconv.FormatUint(v, 10))
		if len(parts) == 1 {
			n = []string{strconv.FormatUint(v>>16, 10), strconv.FormatUint(v&0xffff, 10)}
		}
	}
	if len(parts) > 3 {
		return wellKnown(s)
	}
	return strings.Join(n, ":"), nil
}

// wellKnown checks a name of the IANA registry of well-known communities.
func wellKnown(s string) (string, error) {
	name := strings.ReplaceAll(strings.ToLower(s), "_", "-")
	switch name {
	case "internet", "planned-shut", "graceful-shutdown", "accept-own", "llgr-stale", "no-llgr", "blackhole",
		"no-export", "no-advertise", "no-export-subconfed", "no-peer",
		"route-filter-v4", "route-filter-v6", "route-filter-translated-v4", "route-filter-translated-v6":
		return name, nil
	}
	return "", fmt.Errorf("%q ignored: not a community (a 32-bit number, 16:16, x:y:z or a well-known name)", s)
}

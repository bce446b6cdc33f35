package kube

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"kube-router/internal/model"
)

// parseOldPeers reads peer.ips with the lists beside it. peer.asns must be as long; the others as long
// or absent. The peers annotation replaces all of them.
func parseOldPeers(n *model.Node, in input) {
	if _, ok := in.other("peers"); ok {
		in.wrong("ignored: %speers is given", prefix)
		return
	}
	ips := csv(in.text)
	columns := map[string][]string{}
	for _, key := range []string{"peer.asns", "peer.ports", "peer.passwords", "peer.localips"} {
		text, _ := in.other(key)
		columns[key] = csv(text)
		if c := len(columns[key]); c != len(ips) && (c != 0 || key == "peer.asns") {
			in.wrong("no peer used: %d addresses but %d values in %s%s", len(ips), c, prefix, key)
			return
		}
	}
	for i := range ips {
		cell := func(key string) string {
			if len(columns[key]) == 0 {
				return ""
			}
			return columns[key][i]
		}
		p, err := oldPeer(ips[i], cell)
		if err != nil {
			in.wrong("peer %d ignored: %s", i+1, err)
			continue
		}
		addPeer(n, in, p)
	}
}

// oldPeer reads one row of the lists; an empty cell of an optional column is an absent value.
func oldPeer(ip string, cell func(string) string) (model.Peer, error) {
	var p model.Peer
	var err error
	if p.Addr, err = parsePeerAddr("peer.ips", ip); err != nil {
		return p, err
	}
	if p.ASN, err = parseASN(cell("peer.asns")); err != nil {
		return p, fmt.Errorf("peer.asns: %w", err)
	}
	if s := cell("peer.ports"); s != "" {
		n, failure := strconv.ParseUint(s, 10, 16)
		if failure != nil {
			return p, fmt.Errorf("peer.ports: %q is not a port", s)
		}
		if p.Port, err = parsePort(n); err != nil {
			return p, fmt.Errorf("peer.ports: %w", err)
		}
	}
	if s := cell("peer.localips"); s != "" {
		if p.Local, err = parsePeerAddr("peer.localips", s); err != nil {
			return p, err
		}
	}
	p.Password, err = parsePassword(cell("peer.passwords"))
	return p, err
}

// needsPeerIPs is the parser of the lists that parseOldPeers reads: it only tells when they stand alone.
func needsPeerIPs(_ *model.Node, in input) {
	if _, ok := in.other("peer.ips"); !ok {
		in.wrong("ignored: needs %speer.ips", prefix)
	}
}

// addPeer keeps the first of several peers with one address.
func addPeer(n *model.Node, in input, p model.Peer) {
	if slices.ContainsFunc(n.Options.Peers, func(o model.Peer) bool { return o.Addr == p.Addr }) {
		in.wrong("peer %s ignored: already given", p.Addr)
		return
	}
	n.Options.Peers = append(n.Options.Peers, p)
}

// parsePeerAddr reads the address of a BGP session. A loopback address is a fair choice there, for
// speakers on one machine.
func parsePeerAddr(field, s string) (netip.Addr, error) {
	a, err := parseAddr(s)
	if err != nil {
		return a, fmt.Errorf("%s: %w", field, err)
	}
	if a.IsUnspecified() || a.IsMulticast() {
		return netip.Addr{}, fmt.Errorf("%s: %s is no host's address", field, a)
	}
	return a, nil
}

// parsePassword decodes a session's password. Its errors never quote it. One that can't protect a session must
// not open it: the speaker goes on without a key that the kernel refuses, and text of blanks is not no text.
func parsePassword(s string) (model.Secret, error) {
	b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(s))
	switch {
	case err != nil:
		return "", errors.New("password: not base64")
	case len(b) > model.MaxPassword:
		return "", fmt.Errorf("password: longer than %d bytes, the most that TCP MD5 (RFC 2385) takes in Linux", model.MaxPassword)
	case len(b) == 0 && s != "":
		return "", errors.New("password: there is nothing in it")
	}
	return model.Secret(b), nil
}

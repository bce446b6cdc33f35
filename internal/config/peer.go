package config

import (
	"fmt"
	"math"
	"strings"
	"time"

	"kube-router/internal/model"
)

// list joins the --peer-router-* flags to peers. Their counts must agree.
func (p *peers) list(d *draft) []model.Peer {
	n := len(p.addrs)
	p.readPasswords(d)
	agree := p.count(d, "peer-router-asns", len(p.asns), false)
	agree = p.count(d, "peer-router-ports", len(p.ports), true) && agree
	agree = p.count(d, "peer-router-passwords", len(p.passwords), true) && agree
	if !agree || n == 0 {
		return nil
	}
	all := make([]model.Peer, n)
	for i, a := range p.addrs {
		all[i] = model.Peer{Addr: a, ASN: p.asns[i], Port: 179, Multihop: p.ttl, Hops: p.hops, BFD: d.Settings.BGP.BFD}
		if len(p.ports) > 0 {
			all[i].Port = p.ports[i]
		}
		if len(p.passwords) > 0 {
			all[i].Password = p.passwords[i]
		}
	}
	return all
}

// count checks that a flag has as many entries as there are routers. Where an entry could not be
// understood the counts say nothing, so they are not judged.
func (p *peers) count(d *draft, flag string, n int, optional bool) bool {
	if n == len(p.addrs) || n == 0 && optional {
		return true
	}
	if !d.unread[flag] && !d.unread["peer-router-ips"] {
		d.faults = append(d.faults, fmt.Errorf("--%s: %d entries for %d addresses in --peer-router-ips", flag, n, len(p.addrs)))
	}
	return false
}

// readPasswords takes the passwords from the file, unless the flag gave them.
func (p *peers) readPasswords(d *draft) {
	if p.file == "" || d.given["peer-router-passwords"] {
		return
	}
	text, err := d.readFile(p.file)
	if err == nil {
		p.passwords, err = passwords(string(text))
	}
	if err != nil {
		d.wrong("peer-router-passwords-file", p.file, "%v", err)
	}
}

// ibgpPassword reads the password of sessions between nodes: one line of plain text. An empty file is a
// fault, for a forgotten secret must not open the sessions.
func (d *draft) ibgpPassword() model.Secret {
	if d.ibgpFile == "" {
		return ""
	}
	text, err := d.readFile(d.ibgpFile)
	if err != nil {
		d.wrong("ibgp-password-file", d.ibgpFile, "%v", err)
		return ""
	}
	line := strings.TrimRight(string(text), "\r\n")
	s, err := secret(line)
	switch {
	case err != nil:
		d.wrong("ibgp-password-file", d.ibgpFile, "%v", err)
	case line == "" || strings.ContainsAny(line, "\r\n\x00"):
		d.wrong("ibgp-password-file", d.ibgpFile, "holds no password of one line")
	}
	return s
}

// session checks the --bfd-* flags, which count only with --enable-bfd, and makes them parameters.
// Intervals travel in microseconds in 32 bits (RFC 5880 section 4.1).
func (b *bfd) session(d *draft) *model.BFD {
	if !b.on {
		return nil
	}
	if b.port < 1 || b.port > math.MaxUint16 {
		d.wrong("bfd-port", b.port, "not a port from 1 to 65535")
	}
	if b.multiplier < 1 || b.multiplier > math.MaxUint8 {
		d.wrong("bfd-detection-multiplier", b.multiplier, "not a number from 1 to 255")
	}
	b.interval(d, "bfd-desired-min-tx-interval", b.tx)
	b.interval(d, "bfd-required-min-rx-interval", b.rx)
	return &model.BFD{
		Port:       model.Port(b.port),
		Multiplier: uint8(b.multiplier),
		MinTx:      time.Duration(b.tx) * time.Millisecond,
		MinRx:      time.Duration(b.rx) * time.Millisecond,
	}
}

func (*bfd) interval(d *draft, flag string, ms uint32) {
	const most = math.MaxUint32 / 1000
	if ms < 1 || ms > most {
		d.wrong(flag, ms, "not a number of milliseconds from 1 to %d", most)
	}
}

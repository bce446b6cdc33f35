package kube

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"kube-router/internal/model"
)

// peerYAML is one element of the peers annotation. Numbers are wide so that one out of range is told
// apart from text.
type peerYAML struct {
	RemoteIP  string   `json:"remoteip"`
	RemoteASN uint64   `json:"remoteasn"`
	LocalIP   string   `json:"localip"`
	Password  string   `json:"password"` // base64
	Port      uint64   `json:"port"`
	Hops      uint64   `json:"ttlsecurity"` // RFC 5082: at most so many hops away; 1: in a subnet of the node
	Limit     *uint64  `json:"prefixlimit"` // 0: any number
	BFD       *bfdYAML `json:"bfd"`
}

// bfdYAML are a peer's BFD parameters (RFC 5880); intervals are milliseconds.
type bfdYAML struct {
	Enabled    *bool  `json:"enabled"`
	Port       uint64 `json:"port"`
	Multiplier uint64 `json:"detection_multiplier"`
	MinRx      uint64 `json:"required_min_rx_interval"`
	MinTx      uint64 `json:"desired_min_tx_interval"`
}

// parsePeers reads the peers annotation. A bad peer falls out alone.
func parsePeers(n *model.Node, in input) {
	text, err := yaml.YAMLToJSON([]byte(in.text))
	var list []json.RawMessage
	if err == nil {
		err = json.Unmarshal(text, &list)
	}
	if err != nil {
		in.wrong("ignored: not a YAML list of peers%s", at(err))
		return
	}
	for i, raw := range list {
		y, extra, err := decodePeer(raw)
		if err != nil {
			in.wrong("peer %d ignored: %s", i+1, err)
			continue
		}
		if extra != nil {
			in.wrong("peer %d: %s", i+1, extra)
		}
		p, err := y.peer()
		if err != nil {
			in.wrong("peer %d ignored: %s", i+1, err)
			continue
		}
		addPeer(n, in, p)
	}
}

// at tells the line of a YAML error and nothing else of it: its text may quote a password.
func at(err error) string {
	for _, part := range strings.Split(err.Error(), ": ") {
		if strings.HasPrefix(part, "line ") {
			return ", " + part
		}
	}
	return ""
}

// decodePeer reads one element. A key that nobody knows is a remark (extra), not the end of the peer.
func decodePeer(raw json.RawMessage) (y peerYAML, extra, err error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if extra = d.Decode(&y); extra == nil {
		return y, nil, nil
	}
	y = peerYAML{}
	if err = json.Unmarshal(raw, &y); err != nil {
		// The decoder's text may quote the value, which may be a password.
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) && wrong.Field != "" {
			return y, nil, fmt.Errorf("%s: not a %s", wrong.Field, wrong.Type)
		}
		return y, nil, errors.New("not a mapping of a peer's fields")
	}
	return y, extra, nil
}

func (y *peerYAML) peer() (model.Peer, error) {
	var p model.Peer
	var err error
	if p.Addr, err = parsePeerAddr("remoteip", y.RemoteIP); err != nil {
		return p, err
	}
	if y.RemoteASN > 1<<32-1 {
		return p, fmt.Errorf("remoteasn: %d is not an AS number", y.RemoteASN)
	}
	if p.ASN, err = checkASN(model.ASN(y.RemoteASN)); err != nil {
		return p, fmt.Errorf("remoteasn: %w", err)
	}
	if y.LocalIP != "" {
		if p.Local, err = parsePeerAddr("localip", y.LocalIP); err != nil {
			return p, err
		}
	}
	if y.Port != 0 {
		if p.Port, err = parsePort(y.Port); err != nil {
			return p, fmt.Errorf("port: %w", err)
		}
	}
	if y.Hops > 254 {
		return p, fmt.Errorf("ttlsecurity: %d is not a number of hops from 1 to 254", y.Hops)
	}
	p.Hops = uint8(y.Hops)
	if y.Limit != nil {
		if *y.Limit > math.MaxInt32 {
			return p, fmt.Errorf("prefixlimit: %d is not a number from 0 to %d", *y.Limit, math.MaxInt32)
		}
		n := uint32(*y.Limit)
		p.Limit = &n
	}
	if p.Password, err = parsePassword(y.Password); err != nil {
		return p, err
	}
	p.BFD, err = y.BFD.bfd()
	return p, err
}

// bfd reads a peer's BFD parameters; absent ones take RFC-conforming defaults of 3 times 1 s.
func (y *bfdYAML) bfd() (*model.BFD, error) {
	if y == nil || !truth(y.Enabled, false) {
		return nil, nil
	}
	b := &model.BFD{Multiplier: 3, MinTx: time.Second, MinRx: time.Second}
	var err error
	if y.Port != 0 {
		if b.Port, err = parsePort(y.Port); err != nil {
			return nil, fmt.Errorf("bfd.port: %w", err)
		}
	}
	if y.Multiplier > 255 {
		return nil, fmt.Errorf("bfd.detection_multiplier: %d is not from 1 to 255", y.Multiplier)
	}
	if y.Multiplier != 0 {
		b.Multiplier = uint8(y.Multiplier)
	}
	if b.MinRx, err = interval("required_min_rx_interval", y.MinRx, b.MinRx); err != nil {
		return nil, err
	}
	b.MinTx, err = interval("desired_min_tx_interval", y.MinTx, b.MinTx)
	return b, err
}

// interval turns milliseconds into time. The packet carries microseconds in 32 bits (RFC 5880 4.1).
func interval(field string, ms uint64, absent time.Duration) (time.Duration, error) {
	if ms == 0 {
		return absent, nil
	}
	if ms > (1<<32-1)/1000 {
		return 0, fmt.Errorf("bfd.%s: %d ms is more than the protocol can carry", field, ms)
	}
	return time.Duration(ms) * time.Millisecond, nil
}

package kube

import (
	"fmt"
	"math"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kube-router/internal/api"
	"kube-router/internal/model"
)

// convertBGPPeer takes over a BGPPeer. Whatever of it can't be read, nobody has a session with it: without its password, its filter or its TTL
// it would be another session than was asked for.
func convertBGPPeer(meta *metav1.ObjectMeta, spec *api.BGPPeerSpec, r *remarks) *model.BGPPeer {
	p := &model.BGPPeer{
		Name:       meta.Name,
		UID:        string(meta.UID),
		Generation: meta.Generation,
		Created:    meta.CreationTimestamp.Time,
		Labels:     meta.Labels,
		Nodes:      selectorOr(r, "spec.nodeSelector", spec.NodeSelector),
	}
	c := &checked{remarks: r}
	o := &p.Peer
	var err error
	if o.Addr, err = parsePeerAddr("address", spec.Address); err != nil {
		r.add("spec.address", "%s", err)
	}
	o.ASN = c.asn("spec.asn", &spec.ASN)
	o.LocalASN = c.asn("spec.localASN", spec.LocalASN)
	if spec.LocalAddress != "" {
		if o.Local, err = parsePeerAddr("localAddress", spec.LocalAddress); err != nil {
			r.add("spec.localAddress", "%s", err)
		}
	}
	o.Port = model.Port(c.number("spec.port", spec.Port, 1, math.MaxUint16))
	o.Hold = time.Duration(c.number("spec.holdTimeSeconds", spec.HoldTimeSeconds, 3, math.MaxUint16)) * time.Second
	o.Keepalive = time.Duration(c.number("spec.keepaliveSeconds", spec.KeepaliveSeconds, 1, math.MaxUint16/3)) * time.Second
	o.Multihop = uint8(c.number("spec.multihopTTL", spec.MultihopTTL, 2, math.MaxUint8))
	o.Hops = uint8(c.number("spec.ttlSecurityHops", spec.TTLSecurityHops, 1, math.MaxUint8-1))
	if o.Multihop > 0 && o.Hops > 0 {
		r.add("spec.multihopTTL", "a router can't have this and ttlSecurityHops")
	}
	if spec.GracefulRestartSeconds != nil {
		d := time.Duration(c.number("spec.gracefulRestartSeconds", spec.GracefulRestartSeconds, 0, 4095)) * time.Second
		o.Restart = &d
	}
	if n := spec.MaxPrefixes; n != nil {
		if *n < 0 || *n > math.MaxInt32 {
			r.add("spec.maxPrefixes", "%d is not from 0 to %d", *n, math.MaxInt32)
		}
		limit := uint32(*n)
		o.Limit = &limit
	}
	o.Shutdown = shutdown(r, spec.GracefulShutdown)
	o.Families = peerFamilies(r, spec.Families)
	o.BFD = c.bfd(spec.BFD)
	o.Import, o.Export = c.rules("spec.import", spec.Import, false), c.rules("spec.export", spec.Export, true)
	if a := spec.Authentication; a != nil {
		p.Key = a.SecretKey
		if a.Type != "MD5" || a.SecretKey == "" {
			r.add("spec.authentication", "it needs type MD5 and a secretKey")
		}
	}
	if p.Remarks = r.list; len(p.Remarks) > 0 {
		p.Broken = p.Remarks[0].Field + ": " + p.Remarks[0].Message
		r.add("", "no node has a session with it: a field that can't be read is not guessed at")
		p.Remarks = r.list
	}
	return p
}

// shutdown reads when a router is asked to use other ways.
func shutdown(r *remarks, text string) model.Shutdown {
	switch text {
	case "", "Drained":
		return model.ShutdownDrained
	case "Always":
		return model.ShutdownAlways
	case "Never":
	default:
		r.add("spec.gracefulShutdown", "%q is none of Drained, Always, Never", text)
	}
	return model.ShutdownNever
}

func peerFamilies(r *remarks, list []string) []model.Family {
	return collect(r, "spec.families[%d]", list, func(s string) (model.Family, error) {
		for _, f := range []model.Family{model.IPv4, model.IPv6} {
			if s == f.String() {
				return f, nil
			}
		}
		return 0, fmt.Errorf("%q is neither IPv4 nor IPv6", s)
	})
}

// checked reads numbers within their bounds.
type checked struct{ *remarks }

// number is a number within its bounds; 0 where it is absent or isn't.
func (c *checked) number(field string, n *int32, least, most int) int {
	switch {
	case n == nil:
		return 0
	case int(*n) < least || int(*n) > most:
		c.add(field, "%d is not from %d to %d", *n, least, most)
		return 0
	}
	return int(*n)
}

func (c *checked) asn(field string, n *int64) model.ASN {
	if n == nil {
		return 0
	}
	if *n < 0 || *n > math.MaxUint32 {
		c.add(field, "%d is not an AS number", *n)
		return 0
	}
	as, err := checkASN(model.ASN(*n))
	if err != nil {
		c.add(field, "%s", err)
	}
	return as
}

// bfd reads parameters of BFD; what is absent is three times a second. The packet carries microseconds in 32 bits (RFC 5880 4.1).
func (c *checked) bfd(o *api.BGPBFD) *model.BFD {
	if o == nil {
		return nil
	}
	const longest = math.MaxUint32 / 1000
	return &model.BFD{
		Port:       model.Port(c.number("spec.bfd.port", o.Port, 1, math.MaxUint16)),
		Multiplier: uint8(c.number("spec.bfd.multiplier", o.Multiplier, 1, math.MaxUint8)),
		MinRx:      time.Duration(c.number("spec.bfd.minRxMilliseconds", o.MinRxMilliseconds, 1, longest)) * time.Millisecond,
		MinTx:      time.Duration(c.number("spec.bfd.minTxMilliseconds", o.MinTxMilliseconds, 1, longest)) * time.Millisecond,
	}
}

// convertKeyring takes over the Secret with passwords of sessions. Remarks name keys and never a value.
func convertKeyring(o *corev1.Secret) *model.Keyring {
	k := &model.Keyring{Name: model.Name{Namespace: o.Namespace, Name: o.Name}, Keys: map[string]model.Secret{}}
	r := &remarks{object: k.Ref()}
	for key, value := range o.Data {
		switch {
		case len(value) == 0:
			r.add("data."+key, "ignored: there is nothing in it")
		case len(value) > model.MaxPassword:
			r.add("data."+key, "ignored: longer than %d bytes, the most that TCP MD5 (RFC 2385) takes in Linux", model.MaxPassword)
		default:
			k.Keys[key] = model.Secret(value)
		}
	}
	k.Remarks = r.list
	return k
}

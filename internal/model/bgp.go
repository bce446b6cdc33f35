package model

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// BGPPeer (kube-router.io/v1alpha1) is a router outside of the cluster with which nodes have a session.
type BGPPeer struct {
	Name       string
	UID        string
	Generation int64
	Created    time.Time // of two with one address the older counts
	Labels     map[string]string
	Nodes      Selector
	Peer       Peer   // without its password
	Key        string // of its password in the Keyring; empty: it has none
	Broken     string // why nobody has a session with it: a field that can't be read, and isn't guessed at; empty: it can
	Remarks    []Remark
}

// Ref names the BGPPeer.
func (p *BGPPeer) Ref() Ref { return Ref{KindBGPPeer, Name{Name: p.Name}} }

// Older orders BGPPeers by who was there first: by Created, then by name.
func (p *BGPPeer) Older(o *BGPPeer) int {
	return cmp.Or(p.Created.Compare(o.Created), strings.Compare(p.Name, o.Name))
}

// BGPPeersByAge are the BGPPeers, the eldest first.
func (m *Model) BGPPeersByAge() []*BGPPeer {
	list := make([]*BGPPeer, 0, len(m.BGPPeers))
	for _, p := range m.BGPPeers {
		list = append(list, p)
	}
	slices.SortFunc(list, (*BGPPeer).Older)
	return list
}

// KeyringName is the name of the Secret that holds passwords of BGP sessions, in the daemon's namespace.
const KeyringName = "kube-router-bgp"

// Keyring is that Secret: passwords by key. One that can't be used is a remark, and isn't in it.
type Keyring struct {
	Name    Name
	Keys    map[string]Secret
	Remarks []Remark
}

// Ref names the Keyring.
func (k *Keyring) Ref() Ref { return Ref{KindKeyring, k.Name} }

// Password is what the Keyring has for a key.
func (m *Model) Password(key string) (Secret, bool) {
	for _, k := range m.Keyrings {
		if p, ok := k.Keys[key]; ok {
			return p, true
		}
	}
	return "", false
}

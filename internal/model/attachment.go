package model

import (
	"encoding/hex"
	"errors"
	"net/netip"
	"strings"
)

// Attachment is a pod's interface that a CNI ADD has just made on this node. It tells a pod's addresses
// before the API does, and more reliably: of two pods with one address the attached one has it.
type Attachment struct {
	Container string       `json:"container"` // CNI_CONTAINERID, the sandbox
	Ifname    string       `json:"ifname"`    // CNI_IFNAME, within the pod
	Netns     string       `json:"netns"`     // path of the pod's network namespace
	Pod       Name         `json:"pod"`
	UID       string       `json:"uid,omitempty"` // of the Pod, where the runtime tells it
	Addrs     []netip.Addr `json:"addrs"`
	// Port is the link at the node's end, and MAC the Ethernet address of the pod's. Empty where the plugin that made
	// the interface told of none, or an older version of ours noted the attachment.
	Port string `json:"port,omitempty"`
	MAC  MAC    `json:"mac,omitzero"`
	// Cookie is that of the pod's network namespace (SO_NETNS_COOKIE, Linux 5.14); 0: not told. No other has it until the next boot.
	Cookie uint64 `json:"cookie,omitempty"`
}

// MAC is an Ethernet address; zero is none.
type MAC [6]byte

var errMAC = errors.New("no Ethernet address: six pairs of hexadecimal digits with colons between them")

// ParseMAC reads "02:00:0a:00:00:01".
func ParseMAC(text string) (m MAC, err error) {
	parts := strings.Split(text, ":")
	b, err := hex.DecodeString(strings.Join(parts, ""))
	if err != nil || len(parts) != len(m) || len(b) != len(m) {
		return m, errMAC
	}
	copy(m[:], b)
	return m, nil
}

// MarshalText writes what ParseMAC reads.
func (m MAC) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText is ParseMAC.
func (m *MAC) UnmarshalText(text []byte) (err error) {
	*m, err = ParseMAC(string(text))
	return err
}

// String prints "02:00:0a:00:00:01".
func (m MAC) String() string {
	var parts []string
	for i := range m {
		parts = append(parts, hex.EncodeToString(m[i:i+1]))
	}
	return strings.Join(parts, ":")
}

// LinkLocal is the IPv6 address that Linux gives to an interface with that Ethernet address (RFC 4291, appendix A).
func (m MAC) LinkLocal() netip.Addr {
	return netip.AddrFrom16([16]byte{0xfe, 0x80, 8: m[0] ^ 2, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]})
}

// Ref names the attachment as CNI does, by container and interface.
func (a *Attachment) Ref() Ref { return Ref{KindAttachment, Name{a.Container, a.Ifname}} }

// AttachVerb is what kube-router-cni asks of the daemon: one JSON AttachRequest per connection to the CNI
// socket, answered by one AttachReply.
type AttachVerb string

// The verbs, named as in the CNI specification 1.1.
const (
	AttachAdd    AttachVerb = "ADD"    // answered when the pod's policy is in the kernel
	AttachDel    AttachVerb = "DEL"    // the interface goes
	AttachCheck  AttachVerb = "CHECK"  // is the pod's policy in the kernel?
	AttachStatus AttachVerb = "STATUS" // could an ADD work now?
	AttachGC     AttachVerb = "GC"     // these interfaces are all there are
	AttachWish   AttachVerb = "WISH"   // ours: what must be known of the pod before it has an interface
)

// AttachRequest is the question.
type AttachRequest struct {
	Verb       AttachVerb  `json:"verb"`
	Attachment *Attachment `json:"attachment,omitempty"` // of ADD, DEL, CHECK and WISH
	Valid      []Name      `json:"valid,omitempty"`      // of GC: container and interface of those that live
}

// AttachReply is the answer; an empty Error is success.
type AttachReply struct {
	Error string `json:"error,omitempty"`
	Wish  Wish   `json:"wish,omitzero"` // of WISH
}

// Wish is what a Pod asks for its interface.
type Wish struct {
	Addrs   []netip.Addr `json:"addrs,omitempty"`   // fixed addresses, at most one of a family; a family without one gets any
	Ingress uint64       `json:"ingress,omitempty"` // most of what it is sent, in bits a second; 0: no limit
	Egress  uint64       `json:"egress,omitempty"`  // most of what it sends
	Wrong   string       `json:"wrong,omitempty"`   // why it can't have what it asks for; empty: it can
}

// IsZero tells whether nothing is asked for.
func (w Wish) IsZero() bool {
	return len(w.Addrs) == 0 && w.Ingress == 0 && w.Egress == 0 && w.Wrong == ""
}

package podlink

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"strings"
)

// Owner is who has an address and a cable: an interface of a container, in a network.
type Owner struct {
	Network   string // name of the CNI configuration
	Container string // CNI_CONTAINERID
	Ifname    string // CNI_IFNAME; empty in leases that host-local wrote before 0.8
}

// linkPrefix begins the name of our end of a cable. Tools that leave pods' links alone know them by "veth"; the k is no digit of
// those that the bridge plugin makes.
const linkPrefix = "vethk"

// Link is the name of the cable's end on the node.
func (o Owner) Link() string {
	sum := sha256.Sum256([]byte(strings.Join([]string{o.Network, o.Container, o.Ifname}, "\x00")))
	return linkPrefix + hex.EncodeToString(sum[:5])
}

// OurLink tells whether a link is named as our ends of cables are.
func OurLink(name string) bool {
	digits, ours := strings.CutPrefix(name, linkPrefix)
	_, err := hex.DecodeString(digits)
	return ours && len(digits) == 10 && err == nil
}

// limiter is the name of the ifb link that what a container sends waits in. It is the bandwidth plugin's own name, so that a pod
// which that plugin limited can be disconnected by us, and the other way round.
func (o Owner) limiter() string {
	sum := sha512.Sum512([]byte(o.Network + o.Container))
	return "bwp" + hex.EncodeToString(sum[:6])
}

// lease is what a file of host-local's store holds.
func (o Owner) lease() string { return strings.TrimSpace(o.Container) + "\r\n" + o.Ifname }

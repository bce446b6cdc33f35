package takeover

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"kube-router/internal/row"
)

// findSets finds ipsets. A kernel without them has none.
func (d *Driver) findSets() ([]row.Leftover, error) {
	names, err := d.sets()
	var found []row.Leftover
	for _, n := range names {
		found = append(found, row.Leftover{Kind: row.LeftoverSet, Of: setOf(n), Name: n})
	}
	return found, err
}

// sets are the names of all leftover sets.
func (d *Driver) sets() ([]string, error) {
	if !d.safe("ip_set") {
		return nil, nil
	}
	answers, err := d.ipset(nl.IPSET_CMD_LIST, unix.NLM_F_DUMP,
		nl.NewRtAttr(nl.IPSET_ATTR_FLAGS|int(nl.NLA_F_NET_BYTEORDER), binary.BigEndian.AppendUint32(nil, namesOnly)))
	if absent(err) || errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list ipsets: %w", err)
	}
	var names []string
	for _, a := range answers {
		if name, _, _ := strings.Cut(string(attribute(a, nl.IPSET_ATTR_SETNAME)), "\x00"); setOf(name) != "" {
			names = append(names, name)
		}
	}
	return names, nil
}

// absent tells whether an error says that this kernel has no such facility.
func absent(err error) bool {
	return errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EPROTONOSUPPORT) ||
		errors.Is(err, os.ErrNotExist)
}

func (d *Driver) removeSet(name string) error {
	err := d.link.IpsetDestroy(name)
	if err == nil || errors.Is(err, unix.ENOENT) {
		return nil
	}
	return fmt.Errorf("destroy ipset %s: %w", name, err)
}

// What the netlink library has no words for (include/uapi/linux/netfilter/ipset/ip_set.h).
const (
	getByName     = 14     // IPSET_CMD_GET_BYNAME: a set's number, by which rules refer to it (Linux 5.0, protocol 7)
	attrIndex     = 11     // IPSET_ATTR_INDEX
	namesOnly     = 1 << 1 // IPSET_FLAG_LIST_SETNAME
	ipsetProtocol = 7
)

// setNumbers are the numbers of all leftover sets. Where the kernel doesn't tell them, rules that use the sets
// are not recognised, and the sets, being in use, stay as well.
func (d *Driver) setNumbers() map[uint16]bool {
	names, err := d.sets()
	if err != nil {
		return nil
	}
	numbers := map[uint16]bool{}
	for _, n := range names {
		if number, ok := d.setNumber(n); ok {
			numbers[number] = true
		}
	}
	return numbers
}

func (d *Driver) setNumber(name string) (uint16, bool) {
	answers, err := d.ipset(getByName, 0, nl.NewRtAttr(nl.IPSET_ATTR_SETNAME, nl.ZeroTerminated(name)))
	if err != nil {
		return 0, false
	}
	for _, a := range answers {
		if b := attribute(a, attrIndex); len(b) >= 2 {
			return binary.BigEndian.Uint16(b), true
		}
	}
	return 0, false
}

// ipset asks the kernel one question about sets.
func (d *Driver) ipset(cmd, flags int, attrs ...nl.NetlinkRequestData) ([][]byte, error) {
	at := d.ns
	if at <= 0 {
		at = netns.None()
	}
	s, err := nl.GetNetlinkSocketAt(at, netns.None(), unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	defer s.Close()
	req := nl.NewNetlinkRequest(cmd|unix.NFNL_SUBSYS_IPSET<<8, flags)
	req.Sockets = map[int]*nl.SocketHandle{unix.NETLINK_NETFILTER: {Socket: s}}
	req.AddData(&nl.Nfgenmsg{NfgenFamily: unix.AF_INET, Version: nl.NFNETLINK_V0})
	req.AddData(nl.NewRtAttr(nl.IPSET_ATTR_PROTOCOL, nl.Uint8Attr(ipsetProtocol)))
	for _, a := range attrs {
		req.AddData(a)
	}
	return req.Execute(unix.NETLINK_NETFILTER, 0)
}

// attribute is the value of an attribute in an answer, or nil.
func attribute(answer []byte, typ uint16) []byte {
	if len(answer) < nl.SizeofNfgenmsg {
		return nil
	}
	attrs, err := nl.ParseRouteAttr(answer[nl.SizeofNfgenmsg:])
	if err != nil {
		return nil
	}
	for _, a := range attrs {
		if a.Attr.Type&nl.NLA_TYPE_MASK == typ {
			return a.Value
		}
	}
	return nil
}

// native16 reads the number of a set as the kernel keeps it in a rule (struct xt_set_info).
func native16(b []byte) uint16 { return binary.NativeEndian.Uint16(b) }

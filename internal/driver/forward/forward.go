package forward

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"github.com/google/nftables/xt"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"kube-router/internal/row"
)

// The chain of iptables-nft that we write to.
const (
	Table = "filter"
	Chain = "FORWARD"
)

type change = row.Change[row.ForwardKey, row.Forward]

// Driver is the row.Target of our rules in chain FORWARD of tables ip filter and ip6 filter.
type Driver struct{}

// New makes a driver for the network namespace that the process is in.
func New() *Driver { return &Driver{} }

// families are those whose chain FORWARD we write to.
var families = []nftables.TableFamily{nftables.TableFamilyIPv4, nftables.TableFamilyIPv6}

func chain(f nftables.TableFamily) *nftables.Chain {
	return &nftables.Chain{Name: Chain, Table: &nftables.Table{Name: Table, Family: f}}
}

func familyOf(p netip.Prefix) nftables.TableFamily {
	if p.Addr().Is6() {
		return nftables.TableFamilyIPv6
	}
	return nftables.TableFamilyIPv4
}

// open opens nftables. The kernel answers each rule of a transaction, and all answers must find room.
func open() (*nftables.Conn, error) {
	const room = 4 << 20
	return nftables.New(nftables.WithSockOptions(func(c *netlink.Conn) error { return c.SetReadBuffer(room) }))
}

// rules lists the rules of a chain; one that isn't there has none.
func rules(c *nftables.Conn, ch *nftables.Chain) ([]*nftables.Rule, error) {
	list, err := c.GetRules(ch.Table, ch)
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return nil, fmt.Errorf("list chain %s %s: %w", ch.Table.Name, ch.Name, err)
	}
	return list, nil
}

// ours tells whether we made a rule.
func ours(r *nftables.Rule) bool {
	text, ok := userdata.GetString(r.UserData, userdata.TypeComment)
	return ok && strings.HasPrefix(text, row.ForwardComment)
}

// Dump reads our rules of both families.
func (d *Driver) Dump(context.Context) (map[row.ForwardKey]row.Forward, error) {
	c, err := open()
	if err != nil {
		return nil, fmt.Errorf("open nftables: %w", err)
	}
	have := map[row.ForwardKey]row.Forward{}
	for _, f := range families {
		list, err := rules(c, chain(f))
		if err != nil {
			return nil, err
		}
		for _, r := range list {
			if ours(r) {
				w, ok := parse(r)
				if !ok {
					w = unknown(f)
				}
				have[w.Key()] = w
			}
		}
	}
	return have, nil
}

// Apply makes and removes rules, each family in one transaction. A chain that isn't there takes no rule, and has none.
func (d *Driver) Apply(_ context.Context, changes []change) error {
	failed := row.Failed[row.ForwardKey]{}
	for _, f := range families {
		here := slices.DeleteFunc(slices.Clone(changes), func(c change) bool { return familyOf(c.Key.Net) != f })
		if len(here) == 0 {
			continue
		}
		if err := apply(f, here); err != nil {
			for _, c := range here {
				failed[c.Key] = row.Foreign{Err: err}
			}
		}
	}
	if len(failed) > 0 {
		return failed
	}
	return nil
}

// apply changes one chain: what is new comes before what it replaces goes, and a rule that we don't know any more goes with it.
func apply(f nftables.TableFamily, changes []change) error {
	c, err := open()
	if err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}
	ch := chain(f)
	list, err := rules(c, ch)
	if err != nil {
		return err
	}
	for _, w := range changes {
		there := false
		for _, r := range list {
			if !ours(r) {
				continue
			}
			old, ok := parse(r)
			if ok && old.Key() != w.Key {
				continue
			}
			if ok && w.New != nil && old == *w.New && !there {
				there = true
				continue
			}
			if err := c.DelRule(r); err != nil {
				return err
			}
			// A rule that says nothing that we know is deleted once.
			list = slices.DeleteFunc(slices.Clone(list), func(o *nftables.Rule) bool { return o == r })
		}
		if w.New != nil && !there {
			r := &nftables.Rule{Table: ch.Table, Chain: ch, Exprs: exprs(*w.New), UserData: userdata.AppendString(nil, userdata.TypeComment, w.New.Comment())}
			if w.New.Last {
				c.AddRule(r)
			} else {
				c.InsertRule(r)
			}
		}
	}
	if err := c.Flush(); err != nil {
		return fmt.Errorf("change chain %s %s: %w", Table, Chain, err)
	}
	return nil
}

// Offsets of addresses in the headers of IPv4 (RFC 791) and IPv6 (RFC 8200).
const (
	src4, dst4 = 12, 16
	src6, dst6 = 8, 24
)

// exprs are the expressions of a rule, such that iptables-nft prints them as its own.
func exprs(w row.Forward) []expr.Any {
	var list []expr.Any
	if w.Match == row.ForwardFrom {
		name := make([]byte, unix.IFNAMSIZ)
		copy(name, row.BridgeName)
		list = append(list, &expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: name})
	}
	addr := w.Net.Masked().Addr().AsSlice()
	offset := uint32(dst4)
	switch from := w.Match != row.ForwardTo; {
	case from && len(addr) == 4:
		offset = src4
	case from:
		offset = src6
	case len(addr) == 16:
		offset = dst6
	}
	mask := make([]byte, len(addr))
	for i := range w.Net.Bits() {
		mask[i/8] |= 0x80 >> (i % 8)
	}
	list = append(list,
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: uint32(len(addr))},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: uint32(len(addr)), Mask: mask, Xor: make([]byte, len(addr))},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: addr})
	if w.Match == row.ForwardReply {
		list = append(list, established(len(addr)))
	}
	return append(list, &expr.Counter{}, &expr.Verdict{Kind: expr.VerdictAccept})
}

// stateOf are the bits of xt_conntrack for RELATED and ESTABLISHED (include/uapi/linux/netfilter/xt_conntrack.h).
const stateOf = 1<<1 | 1<<2

// established is the match of iptables. With the ct expression of nftables iptables would refuse the whole chain as "incompatible".
func established(size int) *expr.Match {
	none, mask := make(net.IP, size), make(net.IPMask, size)
	info := &xt.ConntrackMtinfo3{ConntrackMtinfo2: xt.ConntrackMtinfo2{StateMask: stateOf}}
	info.ConntrackMtinfoBase = xt.ConntrackMtinfoBase{
		OrigSrcAddr: none, OrigSrcMask: mask, OrigDstAddr: none, OrigDstMask: mask,
		ReplSrcAddr: none, ReplSrcMask: mask, ReplDstAddr: none, ReplDstMask: mask,
		MatchFlags: uint16(xt.ConntrackState),
	}
	return &expr.Match{Name: "conntrack", Rev: 3, Info: info}
}

// parse reads one of our rules back; false: somebody changed it, or another version made it.
func parse(r *nftables.Rule) (row.Forward, bool) {
	text, _ := userdata.GetString(r.UserData, userdata.TypeComment)
	w := row.Forward{Last: strings.TrimRight(text, "\x00") == row.Forward{Last: true}.Comment()}
	bits, from, state := 0, false, false
	for _, e := range r.Exprs {
		switch e := e.(type) {
		case *expr.Meta:
			w.Match = row.ForwardFrom
		case *expr.Match:
			info, ok := e.Info.(*xt.ConntrackMtinfo3)
			state = ok && info.MatchFlags == uint16(xt.ConntrackState) && info.StateMask == stateOf && info.InvertFlags == 0
		case *expr.Payload:
			from = e.Offset == src4 || e.Offset == src6
		case *expr.Bitwise:
			for _, b := range e.Mask {
				for ; b != 0; b <<= 1 {
					bits++
				}
			}
		case *expr.Cmp:
			if a, ok := netip.AddrFromSlice(e.Data); ok && !w.Net.IsValid() && bits > 0 {
				w.Net = netip.PrefixFrom(a, bits)
			}
		}
	}
	switch {
	case state:
		w.Match = row.ForwardReply
	case w.Match == row.ForwardTo && from, w.Match == row.ForwardFrom && !from:
		return w, false
	}
	return w, w.Net.IsValid() && sameRule(r.Exprs, exprs(w))
}

// unknown stands for a rule of ours that another version made: nobody wants it, so it goes.
func unknown(f nftables.TableFamily) row.Forward {
	if f == nftables.TableFamilyIPv6 {
		return row.Forward{Net: netip.PrefixFrom(netip.IPv6Unspecified(), 0)}
	}
	return row.Forward{Net: netip.PrefixFrom(netip.IPv4Unspecified(), 0)}
}

// sameRule tells whether a rule still is what we made.
func sameRule(have, want []expr.Any) bool {
	return slices.EqualFunc(have, want, func(a, b expr.Any) bool {
		v, verdict := a.(*expr.Verdict)
		w, accept := b.(*expr.Verdict)
		return fmt.Sprintf("%T", a) == fmt.Sprintf("%T", b) && verdict == accept && (!verdict || v.Kind == w.Kind)
	})
}

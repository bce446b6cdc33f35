package forward

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"kube-router/internal/row"
)

// Foreign is a base chain of another program at hook forward.
type Foreign struct {
	Family, Table, Name string
	Policy              bool // its policy is drop
	Drops               bool // a rule of it, or of a chain that it leads to, drops or rejects
	Closed              bool // it drops or rejects whatever none of its rules accepts
	Open                bool // it has a rule that accepts by kube-bridge, by ranges of addresses, or everything: packets of pods may pass
	Legacy              bool // of iptables-legacy, outside of nftables
}

var names = map[nftables.TableFamily]string{
	nftables.TableFamilyIPv4: "ip", nftables.TableFamilyIPv6: "ip6", nftables.TableFamilyINet: "inet",
}

// Look reads the base chains of others at hook forward, sorted by their names; those of iptables-legacy come last.
func Look() ([]Foreign, error) {
	list, err := lookNft()
	if err != nil {
		return nil, err
	}
	legacy, err := lookLegacy()
	return append(list, legacy...), err
}

func lookNft() ([]Foreign, error) {
	c, err := open()
	if err != nil {
		return nil, fmt.Errorf("open nftables: %w", err)
	}
	chains, err := c.ListChains()
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list chains: %w", err)
	}
	var list []Foreign
	for _, ch := range chains {
		family, known := names[ch.Table.Family]
		if !known || ch.Hooknum == nil || *ch.Hooknum != *nftables.ChainHookForward || ch.Table.Name == row.NftTable {
			continue
		}
		w := &walk{conn: c, Foreign: Foreign{Family: family, Table: ch.Table.Name, Name: ch.Name}}
		if ch.Policy != nil && *ch.Policy == nftables.ChainPolicyDrop {
			w.Policy, w.Closed = true, true
		}
		if err := w.chain(ch, true, false, 0); err != nil {
			return nil, err
		}
		list = append(list, w.Foreign)
	}
	slices.SortFunc(list, func(a, b Foreign) int {
		return strings.Compare(a.Family+" "+a.Table+" "+a.Name, b.Family+" "+b.Table+" "+b.Name)
	})
	return list, nil
}

// deepest is how far the kernel lets chains lead to each other (NFT_JUMP_STACK_SIZE), and most bounds how many are read.
const deepest, most = 16, 2000

// walk reads a base chain and what it leads to.
type walk struct {
	Foreign
	conn *nftables.Conn
	seen int
}

// chain reads one chain. All tells that every packet comes here; pods, that a rule on the way looked for packets of pods.
func (w *walk) chain(ch *nftables.Chain, all, pods bool, depth int) error {
	if w.seen++; depth > deepest || w.seen > most {
		return nil
	}
	list, err := rules(w.conn, ch)
	if err != nil {
		return err
	}
	for _, r := range list {
		if ours(r) {
			continue
		}
		f := read(r.Exprs)
		if every, about := w.judge(f, all, pods); f.chain != "" && !kubernetes(f.chain) {
			if err := w.chain(&nftables.Chain{Name: f.chain, Table: ch.Table}, every, about, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// judge takes in one rule of a chain that all packets come to, or those of pods are looked for, and tells the same of what it leads to.
func (w *walk) judge(f facts, all, pods bool) (every, about bool) {
	every, about = all && !f.narrow, pods || f.pods
	switch {
	case f.drop:
		w.Drops = true
		w.Closed = w.Closed || every && !w.Open
	case f.accept:
		w.Open = w.Open || every && (w.Policy || !w.Closed) || about && !f.state
	case f.maps:
		w.Open = w.Open || about
	}
	return every, about
}

// kubernetes tells the chains of kube-proxy, kubelet, kube-router v2 and of network policy: what they drop is meant so.
func kubernetes(chain string) bool {
	return slices.ContainsFunc([]string{"KUBE-", "cali-", "CILIUM_", "WEAVE-", "ANTREA-"}, func(p string) bool { return strings.HasPrefix(chain, p) })
}

// facts are what matters of a rule.
type facts struct {
	narrow       bool // not every packet
	pods         bool // it looks for kube-bridge, or for a range of addresses
	state        bool // it asks connection tracking: such a rule lets no pod begin anything
	drop, accept bool
	maps         bool   // the verdict is in a map
	chain        string // that it jumps or goes to
}

// read goes through the expressions of a rule, as much as is needed to tell whether it is about pods.
func read(list []expr.Any) facts {
	var f facts
	var link, addr, part bool // what was loaded last: the name of a link, an address, a part of one
	for _, e := range list {
		switch e := e.(type) {
		case *expr.Meta:
			link = slices.Contains([]expr.MetaKey{expr.MetaKeyIIFNAME, expr.MetaKeyOIFNAME, expr.MetaKeyIIF, expr.MetaKeyOIF}, e.Key)
			addr, part = false, e.Key == expr.MetaKeyIIF || e.Key == expr.MetaKeyOIF
		case *expr.Payload:
			link, addr = false, e.Base == expr.PayloadBaseNetworkHeader && slices.Contains([]uint32{src4, dst4, src6, dst6}, e.Offset)
			part = addr && e.Len != 4 && e.Len != 16
		case *expr.Bitwise:
			part = part || addr && slices.Contains(e.Mask, 0)
		case *expr.Range:
			f.narrow, f.pods = true, f.pods || addr
		case *expr.Cmp:
			f.narrow = true
			f.pods = f.pods || e.Op == expr.CmpOpEq && (part || link && bridge(e.Data))
		case *expr.Lookup:
			f.narrow = true
			f.pods = f.pods || addr || link
			f.maps = f.maps || e.IsDestRegSet && e.DestRegister == 0
		case *expr.Match:
			f.narrow = f.narrow || e.Name != "comment"
			f.pods = f.pods || e.Name == "set" || e.Name == "iprange"
			f.state = f.state || e.Name == "conntrack" || e.Name == "state"
		case *expr.Ct:
			f.state, link, addr, part = true, false, false, false
		case *expr.Limit, *expr.Fib, *expr.Socket, *expr.Connlimit, *expr.Hash, *expr.Numgen, *expr.Rt, *expr.Exthdr:
			f.narrow, link, addr, part = true, false, false, false
		case *expr.Reject:
			f.drop = true
		case *expr.Target:
			f.drop = f.drop || e.Name == "REJECT" || e.Name == "DROP"
		case *expr.Verdict:
			f.drop, f.accept = f.drop || e.Kind == expr.VerdictDrop, e.Kind == expr.VerdictAccept
			f.chain = e.Chain
		}
	}
	return f
}

// bridge tells whether a compared name of a link is our bridge's, or the beginning of it.
func bridge(name []byte) bool {
	text := string(bytes.TrimRight(name, "\x00"))
	if len(name) > len(text) {
		return text == row.BridgeName
	}
	return strings.HasPrefix(row.BridgeName, text)
}

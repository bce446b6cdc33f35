package nft

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"kube-router/internal/intent"
	"kube-router/internal/row"
)

// seed is that of every hash, the same on every node so that all nodes choose alike.
const seed = 0x6b72

// masking says whose source address is replaced by the node's.
type masking string

const (
	maskNone    masking = "plain"   // nobody's
	maskAll     masking = "all"     // everybody's
	maskOutside masking = "outside" // of clients that are neither pods nor this node at an address that others know
	maskNoPod   masking = "nopod"   // of clients that are not pods: the node may have chosen the front's own address as its source
	maskNode    masking = "node"    // of this node alone, for the same reason
)

// class is all that the rules of a front depend on. Fronts of one class share a chain.
type class struct {
	family
	pick    pick
	far     bool
	near    pick // of outside clients, if far
	mask    masking
	sources bool // clients are checked
}

func classOf(s *intent.Service) class {
	f := familyOf(s.Addr)
	if s.Silent {
		return class{family: f, pick: pick{kind: "nobody"}, mask: maskNone}
	}
	c := class{family: f, pick: pickOf(s, len(spread(s.Scheduler, s.Backends))), far: s.Far, mask: maskOf(s), sources: len(s.Sources) > 0}
	if s.Far {
		c.near = pickOf(s, len(spread(s.Scheduler, s.Near)))
	}
	return c
}

// maskOf decides whose address is replaced. An outside client's must be where its backend may be on
// another node, for that node would answer past us; under policy Local it never is. Pods keep theirs: every
// node has a route back to them. So does this node, but where the way to the Service's address, which is no way at
// all, gave it the address of another link of its own: a second network's, or one that every machine has.
func maskOf(s *intent.Service) masking {
	switch {
	case s.Masquerade:
		return maskAll
	case s.KeepSource:
		return maskNode
	case s.Kind == intent.ClusterFront:
		return maskOutside
	}
	return maskNoPod
}

// name spells every field, so that two classes never share a chain.
func (c class) name() string {
	parts := []string{"services", "v" + c.suffix, c.pick.name()}
	if c.far {
		parts = append(parts, "near", c.near.name())
	}
	parts = append(parts, string(c.mask))
	if c.sources {
		parts = append(parts, "sources")
	}
	return strings.Join(parts, "-")
}

// kindNumbers and maskNumbers number what a class's wire form spells.
func kindNumbers() []string { return []string{"random", "rr", "sh", "dh", "mh", "mhport", "nobody"} }

func maskNumbers() []masking {
	return []masking{maskNone, maskAll, maskOutside, maskNoPod, maskNode}
}

// wire spells every field for the map of heads: how many endpoints, how many near ones, and the rest in one number. Classes for one front
// alone (rr, affinity) are alike here, and told apart by the front.
func (c class) wire() row.NftWire {
	rest := slices.Index(kindNumbers(), c.pick.kind) + 10*slices.Index(maskNumbers(), c.mask) + 10_000*int(c.pick.sticky/time.Second) // a day at most
	if c.sources {
		rest += 100
	}
	if c.far {
		rest += 1000
	}
	return row.NftWire{}.Host(uint32(c.pick.n)).Host(uint32(c.near.n)).Host(uint32(rest))
}

// ways lead from the class to its chain.
func (c class) ways(s *intent.Service) []row.Nft {
	way := elementsOf(c.classes()).key(c.wire())
	if c.pick.front == "" {
		way.Verdict = row.NftJump{Op: row.NftGotoChain, Chain: c.name()}
		return []row.Nft{way}
	}
	chain := "services-v" + c.suffix + "-own"
	way.Verdict = row.NftJump{Op: row.NftGotoChain, Chain: chain}
	own := elementsOf(c.own()).key(frontWire(s))
	own.Verdict = row.NftJump{Op: row.NftGotoChain, Chain: c.name()}
	rows := []row.Nft{c.own(), row.NftChain{Name: chain}}
	rows = append(rows, row.NftRules(chain, body(c.vmap(c.own())), body(c.vmap(c.own())))...) // twice, as what leads here (ServiceSkeleton)
	return append(rows, way, own)
}

// rows are the chain and its rules, and the chain that it leads to.
func (c class) rows() []row.Nft {
	var rows []row.Nft
	rules := c.before()
	if !c.far {
		rules = append(rules, c.pick.rules(c.family, c.everybody())...)
	} else {
		inner := class{family: c.family, pick: c.pick, mask: maskNone}
		rows = inner.rows()
		to := row.NftStmt{Op: row.NftGotoChain, Chain: inner.name()}
		rules = append(rules, body(c.fromInside(false), to), body(c.fromNode(false), to))
		rules = append(rules, c.near.rules(c.family, c.family.near())...)
	}
	if c.pick.sticky > 0 {
		rows = append(rows, c.affinity(c.pick.front))
	}
	rows = append(rows, row.NftChain{Name: c.name()})
	return append(rows, row.NftRules(c.name(), rules...)...)
}

// before are the rules ahead of the choice: may the client come in, and must it be masked. A packet that is
// dropped leaves no connection behind, so the client's next try is judged anew.
func (c class) before() []row.NftBody {
	var rules []row.NftBody
	if c.sources {
		key := row.NftKeyOf(c.frontKey(c.saddr())...)
		rules = append(rules, body(row.NftStmt{Op: row.NftLookup, Not: true, Key: key, Set: c.family.sources().Name}, goTo(chainSource)))
	}
	mark := row.NftStmt{Op: row.NftSetMark, Num: MasqueradeMark, Mask: MasqueradeMark}
	switch c.mask {
	case maskAll:
		rules = append(rules, body(mark))
	case maskOutside:
		unknown := row.NftStmt{Op: row.NftLookup, Not: true, Key: row.NftKeyOf(c.saddr()), Set: c.home().Name}
		rules = append(rules, body(c.fromInside(true), unknown, mark))
	case maskNoPod:
		rules = append(rules, body(c.fromInside(true), mark))
	case maskNode:
		rules = append(rules, body(c.fromNode(false), mark))
	}
	return rules
}

func (c class) fromInside(not bool) row.NftStmt {
	return row.NftStmt{Op: row.NftLookup, Not: not, Key: row.NftKeyOf(c.saddr()), Set: c.inside().Name}
}

func (c class) fromNode(not bool) row.NftStmt {
	return row.NftStmt{Op: row.NftMatchLocal, Not: not, Key: row.NftKeyOf(c.saddr())}
}

// pick is how one of n backends is chosen.
type pick struct {
	n      int           // each as often as its weight asks for
	kind   string        // random, rr, sh, dh, mh or mhport
	sticky time.Duration // a client stays with its backend for so long
	front  string        // of rr and affinity: a counter can't be shared, or two fronts that are used in turn would each see every other number; nor
	// can a memory of clients, or one front's clients would push out another's
}

// kindOf is the scheduler as this engine knows it. Weights are in how often a backend is among the slots, so wrr is rr.
func kindOf(s *intent.Service) string {
	switch s.Scheduler {
	case "rr", "wrr":
		return "rr"
	case "sh", "dh":
		return string(s.Scheduler)
	case "mh":
		for _, f := range s.Flags {
			if f == "mh-port" {
				return "mhport"
			}
		}
		return "mh"
	}
	return "random"
}

func pickOf(s *intent.Service, n int) pick {
	p := pick{n: n, kind: kindOf(s), sticky: s.Affinity}
	if p.kind == "rr" || p.sticky > 0 {
		p.front = fmt.Sprintf("%s-%s-%d", strings.ReplaceAll(s.Addr.StringExpanded(), ":", "."), intent.ProtocolName(s.Protocol), s.Port)
	}
	return p
}

func (p pick) name() string {
	name := fmt.Sprintf("%s-%d", p.kind, p.n)
	if p.sticky > 0 {
		name += fmt.Sprintf("-sticky-%d", p.sticky/time.Second)
	}
	if p.front != "" {
		name += "-" + p.front
	}
	return name
}

// slot is the term that numbers the slot.
func (p pick) slot(v6 bool) row.NftTerm {
	t := row.NftTerm{Op: row.NftHash, V6: v6, Mod: uint32(p.size()), Seed: seed}
	switch p.kind {
	case "rr":
		return row.NftTerm{Op: row.NftNumInc, Mod: uint32(p.n)}
	case "dh":
		t.Hash[0] = row.NftDaddr
	case "sh", "mh":
		t.Hash[0] = row.NftSaddr
	case "mhport":
		t.Hash[0], t.Hash[1] = row.NftSaddr, row.NftSport
	default:
		return row.NftTerm{Op: row.NftNumRandom, Mod: uint32(p.n)}
	}
	return t
}

// size is the number of slots.
func (p pick) size() int {
	if p.kind == "mh" || p.kind == "mhport" {
		return maglevSize(p.n)
	}
	return p.n
}

// fill puts the backends into their slots.
func (p pick) fill(backends []intent.Backend) []intent.Backend {
	if p.size() == len(backends) {
		return backends
	}
	return maglev(backends, p.size())
}

// rules choose a backend and send the packet there. A packet may meet the old rules with the new elements
// for a moment, because the kernel reads its generation anew in each look-up: then its slot may be gone, and
// the first slot, which is always there, takes it. What finds nothing is dropped and comes again.
func (p pick) rules(f family, l list) []row.NftBody {
	if p.n == 0 {
		return []row.NftBody{body(goTo(chainNoLocal))}
	}
	var rules []row.NftBody
	if p.sticky > 0 {
		rules = p.stick(f, l)
	}
	rules = append(rules, dnat(f, l, p.slot(f.v6)))
	if p.size() > 1 {
		rules = append(rules, dnat(f, l, row.NftTerm{Op: row.NftNumRandom, Mod: 1}))
	}
	return append(rules, body(dropIt()))
}

func dnat(f family, l list, slot row.NftTerm) row.NftBody {
	return body(row.NftStmt{Op: row.NftDnatTo, Key: row.NftKeyOf(f.frontKey(slot)...), Set: l.slots.Name})
}

// stick are the rules of session affinity. A client that is remembered goes where it went, if that is a
// backend still, and is remembered anew. Any other is forgotten, since the kernel would keep what it has
// (nft_dynset: an update refreshes the time, never the data), gets a backend, and goes there. When the front's map
// is full the rules that follow serve it without.
func (p pick) stick(f family, l list) []row.NftBody {
	client, affinity := f.clientKey(), f.affinity(p.front).Name
	known := row.NftStmt{Op: row.NftLookup, Key: row.NftKeyOf(f.frontKey()...), Data: client, Via: affinity, Set: l.valid.Name}
	again := row.NftStmt{Op: row.NftUpdate, Set: affinity, Key: client, Timeout: p.sticky, Data: client, Via: affinity}
	first := again
	first.Data, first.Via = row.NftKeyOf(f.frontKey(p.slot(f.v6))...), l.slots.Name
	forget := row.NftStmt{Op: row.NftForget, Set: affinity, Key: client, Data: client} // a map's element has data, which the kernel asks for and ignores
	to := row.NftStmt{Op: row.NftDnatTo, Key: client, Set: affinity}
	return []row.NftBody{body(known, again, to), body(forget), body(first, to)}
}

package row

import (
	"fmt"
	"strings"
)

// NftTable is the name of the nftables tables that are ours: one in family inet, for packets, and one in family
// bridge, for the frames that come in at the ports of pods. Nothing outside of them is written.
const NftTable = "kube-router"

// Nft is a row of our nftables tables: an NftChain, NftSet, NftRule or NftElement. One target holds them
// all because they refer to each other and change in one transaction. Those with Bridge set are in the table of
// family bridge; no row refers to one of the other table.
type Nft interface {
	Key() NftKey
	String() string
}

// NftKind is the kind of an Nft row, in the order in which rows are made.
type NftKind uint8

// The kinds of Nft rows.
const (
	NftKindSet NftKind = iota + 1
	NftKindChain
	NftKindRule
	NftKindElement
)

// NftKey is the key of an Nft row: the kind, the name of the set or chain, and within it the rule's
// position or the element's key bytes.
type NftKey struct {
	Kind   NftKind
	Bridge bool // in the table of family bridge
	Name   string
	Pos    int    // of a rule
	Elem   string // of an element
}

// String prints the key for people: "chain services", "rule services[2]", "element @heads4 0a600001…", "bridge chain guard".
func (k NftKey) String() string {
	if k.Bridge {
		k.Bridge = false
		return "bridge " + k.String()
	}
	switch k.Kind {
	case NftKindSet:
		return "set " + k.Name
	case NftKindChain:
		return "chain " + k.Name
	case NftKindRule:
		return fmt.Sprintf("rule %s[%d]", k.Name, k.Pos)
	}
	return fmt.Sprintf("element @%s %x", k.Name, k.Elem)
}

// nftFamily names the family of a table.
func nftFamily(bridge bool) string {
	if bridge {
		return "bridge"
	}
	return "inet"
}

// NftHook is a netfilter hook, of family inet or bridge.
type NftHook uint8

// The hooks. NftNoHook is a chain that is only jumped to.
const (
	NftNoHook NftHook = iota
	NftPrerouting
	NftInput
	NftForward
	NftOutput
	NftPostrouting
)

var nftHooks = [...]string{"", "prerouting", "input", "forward", "output", "postrouting"}

// String prints the hook as nft does.
func (h NftHook) String() string { return nftHooks[h] }

// NftChain is a chain. A base chain (Hook set) hangs in the packet's way at Priority; Nat tells its type.
type NftChain struct {
	Name     string
	Hook     NftHook
	Nat      bool // type nat, else filter
	Priority int  // as nft prints it in family inet: -100 dstnat, 0 filter, 100 srcnat
	Drop     bool // policy drop, else accept
	Bridge   bool // in the table of family bridge
}

// Key is the chain's name.
func (c NftChain) Key() NftKey { return NftKey{Kind: NftKindChain, Bridge: c.Bridge, Name: c.Name} }

// String prints the chain as nft's add command.
func (c NftChain) String() string {
	s := "add chain " + nftFamily(c.Bridge) + " " + NftTable + " " + c.Name
	if c.Hook == NftNoHook {
		return s
	}
	typ, policy := "filter", "accept"
	if c.Nat {
		typ = "nat"
	}
	if c.Drop {
		policy = "drop"
	}
	return fmt.Sprintf("%s { type %s hook %s priority %d ; policy %s ; }", s, typ, c.Hook, c.Priority, policy)
}

// NftRule is one rule. Rules of a chain stand at positions 0, 1, 2 … , so a rule that comes or goes in the
// middle shifts those behind it; chains are short. A position that is missing (because the kernel refused
// its rule) is held by a rule that does nothing, so that the others keep theirs.
type NftRule struct {
	Chain  string
	Bridge bool // in the table of family bridge
	Pos    int
	Body   NftBody
}

// Key is the chain and position.
func (r NftRule) Key() NftKey {
	return NftKey{Kind: NftKindRule, Bridge: r.Bridge, Name: r.Chain, Pos: r.Pos}
}

// String prints the rule as nft's add command.
func (r NftRule) String() string {
	return "add rule " + nftFamily(r.Bridge) + " " + NftTable + " " + r.Chain + " " + r.Body.String()
}

// NftBody is the list of statements of a rule, kept in the compact form in which the driver also leaves it
// in the kernel beside the rule (see Wire). Equal bodies are equal strings: cheap to hold and to compare.
type NftBody struct {
	wire string
}

// NftMakeBody makes a body of statements.
func NftMakeBody(stmts ...NftStmt) NftBody {
	var b []byte
	for _, s := range stmts {
		b = s.appendWire(b)
	}
	return NftBody{string(b)}
}

// NftForeignBody is the body of a rule that somebody else put into a chain of ours. A dump shows it so that
// the difference to what is wanted shows too; nobody can want it.
func NftForeignBody(why string) NftBody {
	return NftMakeBody(NftStmt{Op: NftForeign, Text: why})
}

// Wire is the compact form. The driver refuses a rule whose body is longer than NftBodyMax bytes.
func (b NftBody) Wire() string { return b.wire }

// NftBodyMax is the longest body in bytes: the kernel keeps at most 256 bytes of user data with a rule
// (NFT_USERDATA_MAXLEN), of which six are spent on type, length and checksum. A body of three statements
// takes 20 to 60 bytes and the names of its sets and chains.
const NftBodyMax = 250

// NftBodyOfWire reads the compact form.
func NftBodyOfWire(wire string) (NftBody, error) {
	_, err := nftReadStmts(wire)
	return NftBody{wire}, err
}

// Stmts are the statements in order.
func (b NftBody) Stmts() []NftStmt {
	stmts, _ := nftReadStmts(b.wire)
	return stmts
}

// String prints the statements as nft does.
func (b NftBody) String() string {
	var parts []string
	for _, s := range b.Stmts() {
		parts = append(parts, s.String())
	}
	return strings.Join(parts, " ")
}

// NftRules numbers the rules of a chain in family inet.
func NftRules(chain string, bodies ...NftBody) []Nft { return nftRules(false, chain, bodies) }

// NftBridgeRules numbers the rules of a chain in family bridge.
func NftBridgeRules(chain string, bodies ...NftBody) []Nft { return nftRules(true, chain, bodies) }

func nftRules(bridge bool, chain string, bodies []NftBody) []Nft {
	rows := make([]Nft, len(bodies))
	for i, b := range bodies {
		rows[i] = NftRule{Chain: chain, Bridge: bridge, Pos: i, Body: b}
	}
	return rows
}

package takeover

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"github.com/google/nftables/xt"
	"golang.org/x/sys/unix"

	"kube-router/internal/row"
)

// iptablesTables are the tables that iptables-nft keeps, one of each name in both families.
var iptablesTables = []string{"filter", "nat", "mangle", "raw"}

func isV6(t *nftables.Table) bool { return t.Family == nftables.TableFamilyIPv6 }

func family(v6 bool) nftables.TableFamily {
	if v6 {
		return nftables.TableFamilyIPv6
	}
	return nftables.TableFamilyIPv4
}

// findRules finds tables of nftables, and chains and rules of iptables-nft.
func (d *Driver) findRules() ([]row.Leftover, error) {
	if !d.safe("nf_tables") {
		return nil, nil
	}
	c, err := d.nft()
	if err != nil {
		return nil, fmt.Errorf("open nftables: %w", err)
	}
	var found []row.Leftover
	for _, f := range []nftables.TableFamily{nftables.TableFamilyIPv4, nftables.TableFamilyIPv6} {
		tables, err := c.ListTablesOfFamily(f)
		if err != nil {
			return nil, fmt.Errorf("list tables: %w", err)
		}
		chains, err := c.ListChainsOfTableFamily(f)
		if err != nil {
			return nil, fmt.Errorf("list chains: %w", err)
		}
		for _, t := range tables {
			if of := tableOf(t.Name, isV6(t)); of != "" {
				found = append(found, row.Leftover{Kind: row.LeftoverTable, V6: isV6(t), Of: of, Name: t.Name})
			}
		}
		list, err := d.findInChains(c, chains)
		if err != nil {
			return nil, err
		}
		found = append(found, list...)
	}
	return found, nil
}

// findInChains finds chains by their names, and in the others rules that are v2's own.
func (d *Driver) findInChains(c *nftables.Conn, chains []*nftables.Chain) ([]row.Leftover, error) {
	var found []row.Leftover
	sets := d.setNumbers()
	for _, ch := range chains {
		if !slices.Contains(iptablesTables, ch.Table.Name) {
			continue
		}
		l := row.Leftover{Kind: row.LeftoverChain, V6: isV6(ch.Table), Table: ch.Table.Name, Name: ch.Name}
		if l.Of = chainOf(ch.Name); l.Of != "" {
			found = append(found, l)
			continue
		}
		rules, err := rulesOf(c, ch)
		if err != nil {
			return nil, err
		}
		for _, r := range rules {
			if jumpTo(r) == "" && routerRule(r, sets) {
				found = append(found, row.Leftover{
					Kind: row.LeftoverRule, V6: l.V6, Of: kubeRouter, Table: l.Table, Name: ch.Name, Num: r.Handle,
				})
			}
		}
	}
	return found, nil
}

// rulesOf lists the rules of a chain; that it went in the meantime is no error.
func rulesOf(c *nftables.Conn, ch *nftables.Chain) ([]*nftables.Rule, error) {
	rules, err := c.GetRules(ch.Table, ch)
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list chain %s %s: %w", ch.Table.Name, ch.Name, err)
	}
	return rules, nil
}

// jumpTo is the chain that a rule jumps or goes to, or empty.
func jumpTo(r *nftables.Rule) string {
	for _, e := range r.Exprs {
		if v, ok := e.(*expr.Verdict); ok && (v.Kind == expr.VerdictJump || v.Kind == expr.VerdictGoto) {
			return v.Chain
		}
	}
	return ""
}

// routerRule tells whether a rule in a chain of the kernel's was made by v2: by its comment, by an ipset of
// v2's, or by being its masquerade of IPVS traffic.
func routerRule(r *nftables.Rule, sets map[uint16]bool) bool {
	if text, ok := userdata.GetString(r.UserData, userdata.TypeComment); ok && slices.Contains(routerComments, text) {
		return true
	}
	ipvs, uncommented := false, false
	for _, e := range r.Exprs {
		m, ok := e.(*expr.Match)
		if !ok {
			continue
		}
		switch m.Name {
		case "comment":
			text := comment(m.Info)
			if slices.Contains(routerComments, text) {
				return true
			}
			uncommented = uncommented || text == ""
		case "set":
			if info, ok := m.Info.(*xt.Unknown); ok && len(*info) >= 2 && sets[native16(*info)] {
				return true
			}
		case "ipvs":
			ipvs = true
		}
	}
	// v2 writes an empty comment there, which nobody else would.
	return ipvs && uncommented
}

func comment(info xt.InfoAny) string {
	switch i := info.(type) {
	case *xt.Comment:
		return string(*i)
	case *xt.Unknown:
		return strings.TrimRight(string(*i), "\x00")
	}
	return ""
}

// removeRules removes chains and rules of iptables-nft, one transaction a table.
func (d *Driver) removeRules(gone []row.Leftover, failed row.Failed[row.Leftover]) {
	for _, v6 := range []bool{false, true} {
		for _, table := range iptablesTables {
			var here []row.Leftover
			for _, l := range gone {
				if l.V6 == v6 && l.Table == table && (l.Kind == row.LeftoverChain || l.Kind == row.LeftoverRule) {
					here = append(here, l)
				}
			}
			if len(here) == 0 {
				continue
			}
			if err := d.removeFrom(v6, table, here); err != nil {
				for _, l := range here {
					failed[l] = err
				}
			}
		}
	}
}

// removeFrom takes leftovers out of one table: first what jumps to them, then their rules, then the chains. What
// has gone in the meantime is left out, since one missing thing fails a whole transaction.
func (d *Driver) removeFrom(v6 bool, table string, here []row.Leftover) error {
	c, err := d.nft()
	if err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}
	chains, err := c.ListChainsOfTableFamily(family(v6))
	if err != nil {
		return fmt.Errorf("list chains: %w", err)
	}
	chains = slices.DeleteFunc(chains, func(ch *nftables.Chain) bool { return ch.Table.Name != table })
	gone, handles := map[string]bool{}, map[uint64]bool{}
	for _, l := range here {
		if l.Kind == row.LeftoverChain {
			gone[l.Name] = true
		} else {
			handles[l.Num] = true
		}
	}
	for _, ch := range chains {
		if gone[ch.Name] {
			c.FlushChain(ch)
			continue
		}
		if err := d.cut(c, ch, gone, handles); err != nil {
			return err
		}
	}
	for _, ch := range chains {
		if gone[ch.Name] {
			c.DelChain(ch)
		}
	}
	if err := c.Flush(); err != nil {
		return fmt.Errorf("remove from table %s: %w", table, err)
	}
	return nil
}

// cut deletes the rules of a chain that stays: those that jump to what goes, and those named by handle.
func (d *Driver) cut(c *nftables.Conn, ch *nftables.Chain, gone map[string]bool, handles map[uint64]bool) error {
	list, err := d.nft() // a dump can't share the connection that collects a transaction
	if err != nil {
		return err
	}
	rules, err := rulesOf(list, ch)
	if err != nil {
		return err
	}
	for _, r := range rules {
		if gone[jumpTo(r)] || handles[r.Handle] {
			if err := c.DelRule(r); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *Driver) removeTable(l row.Leftover) error {
	c, err := d.nft()
	if err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}
	c.DelTable(&nftables.Table{Name: l.Name, Family: family(l.V6)})
	if err := c.Flush(); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("delete table %s: %w", l.Name, err)
	}
	return nil
}

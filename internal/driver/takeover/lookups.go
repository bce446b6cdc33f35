package takeover

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"kube-router/internal/row"
)

// lookupOf tells whose a policy rule is. Those of v2 bear no protocol number: pods' packets, marked packets of DSR
// services and replies from external addresses look into its three tables.
func lookupOf(r *netlink.Rule) string {
	switch {
	case r.Protocol == row.RouteProtocol:
		return ""
	case row.Table(r.Table) == row.TablePods && r.Src != nil && r.Mark == 0,
		row.Table(r.Table) == row.TableDSR && r.Mark != 0 && r.Priority == row.RuleDSR,
		row.Table(r.Table) == row.TableExternal && r.Src == nil && r.Mark == 0 && r.Priority == row.RuleExternal:
		return kubeRouter
	}
	return ""
}

func lookup(r *netlink.Rule) row.Leftover {
	from := "all"
	if r.Src != nil {
		from = r.Src.String()
	}
	text := "from " + from
	if r.Mark != 0 {
		text += fmt.Sprintf(" fwmark 0x%x", r.Mark)
	}
	return row.Leftover{
		Kind: row.LeftoverLookup, V6: r.Family == unix.AF_INET6, Of: lookupOf(r),
		Table: row.Table(r.Table).String(), Name: text, Num: uint64(max(r.Priority, 0)),
	}
}

func (d *Driver) findLookups() ([]row.Leftover, error) {
	var found []row.Leftover
	err := d.rules(func(r *netlink.Rule) error {
		found = append(found, lookup(r))
		return nil
	})
	return found, err
}

func (d *Driver) removeLookup(l row.Leftover) error {
	return d.rules(func(r *netlink.Rule) error {
		if lookup(r) != l {
			return nil
		}
		if err := d.link.RuleDel(r); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("delete %s: %w", l, err)
		}
		return nil
	})
}

// rules calls f for each leftover rule of both families.
func (d *Driver) rules(f func(*netlink.Rule) error) error {
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		list, err := d.link.RuleList(family)
		if err != nil {
			return fmt.Errorf("list rules: %w", err)
		}
		for _, r := range list {
			r.Family = family
			if lookupOf(&r) != "" {
				if err := f(&r); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

package rtnl

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"kube-router/internal/row"
)

func fromRule(r netlink.Rule, family int) row.Rule {
	out := row.Rule{
		Priority: uint32(max(r.Priority, 0)), V6: family == unix.AF_INET6, Src: prefix(r.Src), Mark: r.Mark, Table: row.Table(r.Table),
	}
	if r.Mask != nil && r.Mark != 0 {
		out.Mask = *r.Mask
	}
	return out
}

func toRule(r row.Rule) *netlink.Rule {
	out := netlink.NewRule()
	out.Priority, out.Table, out.Protocol = int(r.Priority), int(r.Table), row.RouteProtocol
	out.Family = unix.AF_INET
	if r.V6 {
		out.Family = unix.AF_INET6
	}
	if r.Src.IsValid() {
		out.Src = ipNet(r.Src)
	}
	if r.Mark != 0 {
		out.Mark, out.Mask = r.Mark, &r.Mask
	}
	return out
}

// setRule makes a rule. One that is equal but for who made it does the same and stays.
func (d *Driver) setRule(r row.Rule) error {
	if err := d.h.RuleAdd(toRule(r)); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("add rule: %w", err)
	}
	return nil
}

func (d *Driver) removeRule(r row.Rule) error {
	if err := d.h.RuleDel(toRule(r)); err != nil && !gone(err) {
		return fmt.Errorf("remove rule: %w", err)
	}
	return nil
}

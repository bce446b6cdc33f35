package view

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"kube-router/internal/model"
	"kube-router/internal/plan/policy"
	"kube-router/internal/show"
	domains "kube-router/internal/watch/names"
)

// namesView prints what the domain names of policies stand for: all, those that a pattern is about, or those of an address.
func (d *Daemon) namesView(ctx context.Context, args []string) (show.Page, error) {
	if d.Names == nil {
		return show.Page{}, errNoFirewall
	}
	known, over := d.Names()
	if len(args) > 0 {
		want := strings.ToLower(strings.TrimSuffix(args[0], "."))
		addr, _ := netip.ParseAddr(want)
		known = slices.DeleteFunc(known, func(k domains.Known) bool { return k.Addr != addr && !model.DomainMatches(want, k.Name) })
	}
	barred := make([]string, len(known))
	err := d.Think(ctx, func(w World) {
		for i, k := range known {
			barred[i] = policy.Barred(w.Model, k.Name, k.Addr)
		}
	})
	p := show.Page{Columns: []string{"name", "address", "new flows"}, Data: known}
	now := time.Now()
	for i, k := range known {
		what := timeOf(k, now)
		if barred[i] != "" {
			what = "refused: " + barred[i]
		}
		p.Rows = append(p.Rows, []string{k.Name, k.Addr.String(), what})
	}
	if len(over) > 0 {
		p.Note = fmt.Sprintf("more than %d addresses, which is what is opened, are told of %s", domains.MostOfPattern, strings.Join(over, ", "))
	}
	return p, err
}

func timeOf(k domains.Known, now time.Time) string {
	if k.Lapsed {
		return fmt.Sprintf("refused: its time was over %s ago", now.Sub(k.Until).Round(time.Second))
	}
	return fmt.Sprintf("for %s more", k.Until.Sub(now).Round(time.Second))
}

// toldMost is how many names of an address are told to who asks why.
const toldMost = 8

// namesWhy tells what names stand for the addresses that flows go to.
func (d *Daemon) namesWhy(flows []policy.Flow) (rows [][]string) {
	if d.Names == nil {
		return nil
	}
	known, _ := d.Names()
	for _, k := range known {
		if len(rows) < toldMost && slices.ContainsFunc(flows, func(f policy.Flow) bool { return f.To == k.Addr }) {
			rows = append(rows, []string{fmt.Sprintf("  domain name: %s is %s, new flows %s", k.Name, k.Addr, timeOf(k, time.Now()))})
		}
	}
	return rows
}

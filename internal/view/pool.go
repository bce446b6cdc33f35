package view

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"kube-router/internal/intent"
	"kube-router/internal/model"
	"kube-router/internal/show"
)

// pools shows the AddressPools in the order of age, which is that of their claims.
func (d *Daemon) pools(ctx context.Context, _ []string) (show.Page, error) {
	p := show.Page{Columns: []string{"pool", "uses", "priority", "free ipv4", "free ipv6", "addresses", "note"}}
	var pools []*model.Pool
	if err := d.Think(ctx, func(w World) { pools = w.Model.PoolsByAge() }); err != nil {
		return p, err
	}
	if len(pools) == 0 && d.Allocator == nil {
		return p, errors.New("there is no AddressPool, and --run-loadbalancer is off")
	}
	left := map[string]intent.Pool{}
	if d.Allocator != nil {
		for _, o := range d.Allocator().Pools {
			left[o.Name] = o
		}
	} else {
		p.Note = "ask a node with --run-loadbalancer for what is left"
	}
	for _, o := range pools {
		l := left[o.Name]
		note := cmp.Or(l.Idle, l.Conflict)
		if note == "" && l.Exhausted != "" {
			note = "nothing left: " + l.Exhausted
		}
		p.Rows = append(p.Rows, []string{o.Name, uses(o), fmt.Sprint(o.Priority), free(l.V4), free(l.V6), strings.Trim(fmt.Sprint(o.Ranges), "[]"), note})
	}
	p.Data = map[string]any{"pools": left}
	return p, nil
}

func uses(p *model.Pool) string {
	var list []string
	if p.Balancer {
		list = append(list, "LoadBalancer")
	}
	if p.Egress {
		list = append(list, "Egress")
	}
	return strings.Join(list, ",")
}

func free(u *intent.Usage) string {
	if u == nil {
		return "-"
	}
	return fmt.Sprintf("%d of %d", u.Available, u.Total)
}

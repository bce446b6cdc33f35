package view

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"kube-router/internal/intent"
	"kube-router/internal/model"
	"kube-router/internal/show"
)

// Views are everything that can be asked. Of an empty Daemon only their names and words count.
func (d *Daemon) Views() []show.View {
	return append([]show.View{
		{Name: "summary", Doc: "is this node well? the first look", Make: d.summary},
		{Name: "tables", Doc: "every table that we write: rows wanted, there, failing", Make: d.tablesView},
		{Name: "rows", Args: "TABLE", Doc: "the rows of a table, with their state and owners", Make: d.rows},
		{Name: "failing", Doc: "rows that could not be made so, and since when", Make: d.failing},
		{Name: "remarks", Doc: "what is odd about objects and settings", Make: d.remarksView},
		{Name: "settings", Args: "[all]", Doc: "the settings that somebody gave, with where; or all", Make: d.settingsView},
		{Name: "sources", Doc: "the API server's watches", Make: d.sourcesView},
		{Name: "nodes", Doc: "the cluster's nodes with their pod ranges", Make: d.nodes},
		{Name: "encryption", Doc: "with which nodes traffic is encrypted, and why not with the others", Make: d.encryption},
		{Name: "balancer", Doc: "the addresses given to LoadBalancer Services, and the leader", Make: d.balancer},
		{Name: "pools", Doc: "AddressPools: whom they are for and what is left", Make: d.pools},
		{Name: "egress", Doc: "addresses from which pods leave the cluster, and the nodes that they leave by", Make: d.egress},
		{Name: "services", Args: "[NAME]", Doc: "frontends and the endpoints that answer", Make: d.servicesView},
		{Name: "sockets", Doc: "whose connect() becomes one to an endpoint, and how often (--socket-lb)", Make: d.socketsView},
	}, append(d.bgpViews(), d.policyViews()...)...)
}

// Help describes the views for the command's help.
func Help() string {
	var b strings.Builder
	for _, v := range (&Daemon{}).Views() {
		fmt.Fprintf(&b, "  %-18s %s\n", strings.TrimSpace(v.Name+" "+v.Args), v.Doc)
	}
	return b.String()
}

func (d *Daemon) tablesView(context.Context, []string) (show.Page, error) {
	list := d.Tables()
	p := show.Page{Columns: []string{"table", "want", "have", "failing", "changes", "looks", "last", "state"}, Data: list}
	for _, s := range list {
		state := "settled"
		switch {
		case !s.Known:
			state = "not read yet"
		case s.Broken != "":
			state = s.Broken
		case !s.Settled():
			state = "working"
		}
		p.Rows = append(p.Rows, []string{
			s.Table, strconv.Itoa(s.Want), strconv.Itoa(s.Have), strconv.Itoa(len(s.Failing)),
			strconv.FormatUint(s.Stats.Changes, 10), strconv.FormatUint(s.Stats.Looks, 10),
			s.Stats.Last.Round(time.Microsecond).String(), state,
		})
	}
	return p, nil
}

func (d *Daemon) rows(_ context.Context, args []string) (show.Page, error) {
	var names []string
	for _, t := range d.Tables() {
		names = append(names, t.Table)
	}
	if len(args) != 1 {
		return show.Page{}, fmt.Errorf("which table? one of %s", strings.Join(names, ", "))
	}
	if !slices.Contains(names, args[0]) {
		return show.Page{}, fmt.Errorf("no table %q; there are %s", args[0], strings.Join(names, ", "))
	}
	lines := d.Lines(args[0])
	p := show.Page{Columns: []string{"state", "row", "owners"}, Data: lines}
	for _, l := range lines {
		state := "missing"
		switch {
		case l.Error != "":
			state = "fails"
		case l.Foreign:
			state = "unwanted"
		case l.Have:
			state = "ok"
		}
		p.Rows = append(p.Rows, []string{state, l.Row, some(l.Owners)})
	}
	return p, nil
}

// some prints the first of a list and how many more there are.
func some(list []string) string {
	if len(list) <= 2 {
		return strings.Join(list, ", ")
	}
	return fmt.Sprintf("%s, %s and %d more", list[0], list[1], len(list)-2)
}

func (d *Daemon) failing(context.Context, []string) (show.Page, error) {
	p := show.Page{Columns: []string{"table", "since", "tries", "row", "error"}}
	data := []show.FailingRow{}
	for _, s := range d.Tables() {
		if s.Broken != "" {
			data = append(data, show.FailingRow{Table: s.Table, Row: "the whole table", Error: s.Broken, Since: s.Since, Foreign: s.Foreign})
		}
		for _, f := range s.Failing {
			data = append(data, show.FailingRow{
				Table: s.Table, Row: f.Row, Owner: f.Owner, Error: f.Error, Since: f.Since, Attempts: f.Attempts, Foreign: f.Foreign,
			})
		}
	}
	for _, f := range data {
		p.Rows = append(p.Rows, []string{f.Table, f.Since.Format(time.TimeOnly), strconv.Itoa(f.Attempts), f.Row, f.Error})
	}
	p.Data = data
	return p, nil
}

// Remarks are all that plans and the conversion of objects found odd, sorted.
func (d *Daemon) Remarks(ctx context.Context) ([]model.Remark, error) {
	all := d.Planned()
	err := d.Think(ctx, func(w World) {
		all = append(all, w.Model.Remarks()...)
		if w.Policies != nil {
			all = append(all, w.Policies.Remarks()...)
		}
	})
	for _, r := range d.Options.Remarks {
		all = append(all, model.Remark{Object: model.Ref{Kind: model.KindSettings}, Message: r})
	}
	slices.SortFunc(all, model.Remark.Compare)
	return slices.Compact(all), err
}

func (d *Daemon) remarksView(ctx context.Context, _ []string) (show.Page, error) {
	all, err := d.Remarks(ctx)
	p := show.Page{Columns: []string{"object", "field", "remark"}, Data: all}
	for _, r := range all {
		p.Rows = append(p.Rows, []string{r.Object.String(), r.Field, r.Message})
	}
	return p, err
}

// settingsView shows what was said; programs get the options as a whole, without secrets.
func (d *Daemon) settingsView(_ context.Context, args []string) (show.Page, error) {
	p := show.Page{Columns: []string{"setting", "value", "from"}, Data: d.Options}
	defaults := 0
	for _, s := range d.Options.Said {
		if s.From == "default" && !slices.Contains(args, "all") {
			defaults++
			continue
		}
		p.Rows = append(p.Rows, []string{s.Name, s.Value, s.From})
	}
	if defaults > 0 {
		p.Note = fmt.Sprintf("%d others have their defaults: kube-router show settings all", defaults)
	}
	return p, nil
}

func (d *Daemon) sourcesView(context.Context, []string) (show.Page, error) {
	list := d.Sources()
	p := show.Page{Columns: []string{"kind", "synced", "connected", "since", "events", "error"}, Data: list}
	for _, s := range list {
		p.Rows = append(p.Rows, []string{string(s.Kind), yes(s.Synced), yes(s.Connected), s.Since.Format(time.TimeOnly),
			strconv.FormatUint(s.Events, 10), s.LastError})
	}
	return p, nil
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func (d *Daemon) nodes(ctx context.Context, _ []string) (show.Page, error) {
	p := show.Page{Columns: []string{"node", "addresses", "pod cidrs", "zone", "state"}}
	var list []*model.Node
	err := d.Think(ctx, func(w World) { list = slices.Collect(maps.Values(w.Model.Nodes)) })
	slices.SortFunc(list, func(a, b *model.Node) int { return cmp.Compare(a.Name, b.Name) })
	for _, n := range list {
		state := "ready for pods"
		if n.Unschedulable {
			state = "cordoned"
		}
		if n.Name == d.Options.Settings.Node {
			state += ", this node"
		}
		p.Rows = append(p.Rows, []string{n.Name, show.List(n.InternalIPs), show.List(n.PodCIDRs), n.Zone, state})
	}
	p.Data = list
	return p, err
}

func (d *Daemon) servicesView(_ context.Context, args []string) (show.Page, error) {
	var list []*intent.Service
	for _, s := range d.Fronts.All {
		if len(args) == 0 || frontMatches(s, args[0]) {
			list = append(list, s)
		}
	}
	if len(list) == 0 && len(args) > 0 {
		return show.Page{}, fmt.Errorf("no Service is served at %q on this node; `kube-router why %s` says more", args[0], args[0])
	}
	slices.SortFunc(list, func(a, b *intent.Service) int { return a.Front.Compare(b.Front) })
	p := show.Page{Columns: []string{"frontend", "kind", "service", "endpoints"}, Data: list}
	for _, s := range list {
		text := show.List(s.Backends)
		if s.Far {
			text += ", from outside " + show.List(s.Near)
		}
		p.Rows = append(p.Rows, []string{s.Front.String(), s.Kind.String(), s.Owner.String(), text})
	}
	d.addSockets(&p, list)
	return p, nil
}

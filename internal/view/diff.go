package view

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"kube-router/internal/model"
	"kube-router/internal/plan/policy"
	"kube-router/internal/show"
	"kube-router/internal/watch/kube"
)

// diffView tells what would change if the policies of a manifest were applied. Only what the world is made of is taken in the thinking
// goroutine; judging it is slow in a large cluster.
func (d *Daemon) diffView(ctx context.Context, args []string) (show.Page, error) {
	if len(args) != 1 {
		return show.Page{}, errors.New("ask: kube-router policy diff -f FILE")
	}
	changes, err := kube.ReadPolicies([]byte(args[0]))
	if err != nil {
		return show.Page{}, err
	}
	if len(changes) == 0 {
		return show.Page{}, errors.New("no policy is in there")
	}
	var settings *model.Settings
	var world []model.Object
	if err := d.Think(ctx, func(w World) {
		if w.Policies != nil {
			s := w.Model.Settings
			settings, world = &s, objects(w.Model)
		}
	}); err != nil {
		return show.Page{}, err
	}
	if settings == nil {
		return show.Page{}, errNoFirewall
	}
	now, then := model.New(*settings), model.New(*settings)
	for _, o := range world {
		now.Put(o)
		then.Put(o)
	}
	for _, o := range changes {
		then.Put(o)
	}
	return diffPage(policy.Compare(now, then), changes), nil
}

// objects are those of a model that policies are judged by.
func objects(m *model.Model) (list []model.Object) {
	list = make([]model.Object, 0, len(m.Pods)+len(m.Namespaces)+len(m.Policies)+len(m.Cluster)+len(m.Nodes)+len(m.Attached)+len(m.Links)+len(m.Domains))
	return slices.Concat(appendAll(list, m.Pods), appendAll(nil, m.Namespaces), appendAll(nil, m.Policies), appendAll(nil, m.Cluster),
		appendAll(nil, m.Nodes), appendAll(nil, m.Attached), appendAll(nil, m.Links), appendAll(nil, m.Domains))
}

func appendAll[K comparable, O model.Object](list []model.Object, all map[K]O) []model.Object {
	for _, o := range all {
		list = append(list, o)
	}
	return list
}

func diffPage(diff policy.Diff, changes []model.Object) show.Page {
	p := show.Page{Columns: []string{"change", "what", "now", "then"}, Data: diff}
	for _, o := range changes {
		for _, r := range model.RemarksOf(o) {
			p.Rows = append(p.Rows, []string{"remark", r.Object.String(), "", strings.TrimPrefix(r.Field+": "+r.Message, ": ")})
		}
	}
	for _, d := range diff.Pods {
		what := "rules"
		if d.Rehearsal {
			what = "rehearsal"
		}
		p.Rows = append(p.Rows, []string{what, d.Direction + " of " + d.Pod.String(), d.Now, d.Then})
	}
	// Flows that differ in their port and family alone are one line.
	type line struct {
		from, to, refused string
		passes            bool
	}
	var order []line
	ports := map[line][]string{}
	for _, f := range diff.Flows {
		l := line{f.From, f.To, f.Refused.String(), f.Passes}
		if ports[l] == nil {
			order = append(order, l)
		}
		text := fmt.Sprintf("%s/%d", f.Flow.Protocol, f.Flow.Port)
		if f.Other {
			text = f.Flow.Protocol.String() + " at any other port"
		}
		if !slices.Contains(ports[l], text) {
			ports[l] = append(ports[l], text)
		}
	}
	for _, l := range order {
		row := []string{"would be refused", l.from + " → " + l.to + ": " + strings.Join(ports[l], ", "), "passes", l.refused}
		if l.passes {
			row[0], row[2], row[3] = "would pass", l.refused, "passes"
		}
		p.Rows = append(p.Rows, row)
	}
	switch {
	case diff.Left > 0:
		p.Note = fmt.Sprintf("%d flows were judged; %s of ends were not tried, for there are too many", diff.Tried, show.Count(diff.Left, "pair"))
	case len(p.Rows) == 0:
		p.Note = "nothing changes on this node"
	}
	return p
}

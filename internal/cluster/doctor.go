package cluster

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"kube-router/internal/console"
)

// examining is how long a node's doctor may take: it tries what the kernel has, and asks the API server.
const examining = 30 * time.Second

// least is the width that texts have beside long names of nodes.
const least = 40

// NodeFinding is what the doctors of one or more nodes say.
type NodeFinding struct {
	Verdict string   `json:"verdict"` // bad, warn, ok; silent: the doctor could not be asked
	Check   string   `json:"check"`
	What    string   `json:"what"`
	Fix     string   `json:"fix,omitempty"`
	Nodes   []string `json:"nodes"` // that say the same
}

// Doctor has every node examine itself and prints what they say, the same things once; what is well only with all. Where an address or number differs
// from node to node, lines differ.
func (c *Cluster) Doctor(ctx context.Context, names []string, all bool, w io.Writer, format string) (Verdict, error) {
	patient := *c
	patient.Patience = max(c.Patience, examining)
	nodes, err := patient.named(ctx, names)
	if err != nil {
		return Unknown, err
	}
	answers := patient.AskAll(ctx, nodes, "doctor", "-o", "json")
	list := findings(answers)
	v, counts := Well, map[string]int{}
	p := printable{columns: []string{"VERDICT", "CHECK", "NODES", "WHAT, AND → HOW TO FIX IT"}}
	var shown []NodeFinding
	room := console.Width
	for _, f := range list {
		counts[f.Verdict]++
		switch f.Verdict {
		case "silent":
			v = Unknown
		case "bad":
			v = max(v, Unwell)
		}
		if f.Verdict == "ok" && !all {
			continue
		}
		shown = append(shown, f)
		room = min(room, console.Room("VERDICT", f.Check, someOf(f.Nodes)))
	}
	for _, f := range shown {
		p.rows = append(p.rows, console.Finding([]string{f.Verdict, f.Check, someOf(f.Nodes)}, f.What, f.Fix, max(room, least))...)
	}
	p.data = listOf("NodeFindingList", shown)
	p.notes = []string{fmt.Sprintf("%s: %d findings bad, %d warn, %d ok; %d silent", counted(len(nodes)), counts["bad"], counts["warn"], counts["ok"], counts["silent"])}
	return v, p.print(w, format)
}

// findings puts the same things of several nodes together, the worst first.
func findings(answers []Answer) (list []NodeFinding) {
	add := func(node string, f NodeFinding) {
		i := slices.IndexFunc(list, func(g NodeFinding) bool {
			return f.Verdict == g.Verdict && f.Check == g.Check && f.What == g.What && f.Fix == g.Fix
		})
		if i < 0 {
			list = append(list, f)
			i = len(list) - 1
		}
		list[i].Nodes = append(list[i].Nodes, node)
	}
	for _, a := range answers {
		var found []NodeFinding
		switch {
		case a.Silent != "":
			add(a.Node.Name, NodeFinding{Verdict: "silent", Check: "doctor", What: a.Silent})
			continue
		case json.Unmarshal(a.Out, &found) != nil:
			add(a.Node.Name, NodeFinding{Verdict: "silent", Check: "doctor", What: cmp.Or(a.Said, fmt.Sprintf("its answer can't be read: %.60q", a.Out))})
			continue
		}
		for _, f := range found {
			f.Nodes = nil
			add(a.Node.Name, f)
		}
	}
	order := []string{"silent", "bad", "warn", "ok"}
	slices.SortStableFunc(list, func(a, b NodeFinding) int {
		return cmp.Or(cmp.Compare(slices.Index(order, a.Verdict), slices.Index(order, b.Verdict)), -cmp.Compare(len(a.Nodes), len(b.Nodes)), strings.Compare(a.Check, b.Check))
	})
	return list
}

func (c *Cluster) named(ctx context.Context, names []string) ([]Node, error) {
	all, err := c.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	return Named(all, names)
}

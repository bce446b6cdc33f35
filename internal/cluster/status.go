package cluster

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Verdict is how a cluster or node is.
type Verdict int

// The verdicts, and with which code the command ends.
const (
	Well    Verdict = iota // all answer, and are well
	Unwell                 // somebody says that he isn't
	Unknown                // somebody doesn't answer
)

// NodeStatus is one node as `status` shows it.
type NodeStatus struct {
	Node          string   `json:"node"`
	State         string   `json:"state"`                   // well, starting, unwell; silent: no answer
	Causes        []string `json:"causes,omitempty"`        // of another state than well, the first the most important
	Version       string   `json:"version,omitempty"`       // of kube-router
	Up            string   `json:"up,omitempty"`            // how long it has been running, such as 3h12m5s
	ServiceEngine string   `json:"serviceEngine,omitempty"` // nftables or ipvs
	Sessions      string   `json:"sessions,omitempty"`      // BGP sessions, such as "1 of 2 established"
	Rows          int      `json:"rows"`                    // how many things it keeps in the kernel
	Failing       int      `json:"failing"`                 // of them, those that could not be made so
	Remarks       int      `json:"remarks"`                 // on objects and settings; -1: not told
}

// summary is what `kube-router show -o json` says.
type summary struct {
	State    string   `json:"state"`
	Version  string   `json:"version"`
	Up       string   `json:"up"`
	Engine   string   `json:"service_engine"`
	API      string   `json:"API_server"`
	Sessions string   `json:"BGP_sessions"`
	Rows     string   `json:"rows"`
	Failing  string   `json:"failing"`
	Remarks  string   `json:"remarks"`
	Why      []string `json:"why"`
}

// Status prints a line for every node, the unwell first, then what is odd about the cluster as a whole.
func (c *Cluster) Status(ctx context.Context, names []string, w io.Writer, format string) (Verdict, error) {
	all, err := c.Nodes(ctx)
	if err != nil {
		return Unknown, err
	}
	some, err := Named(all, names)
	if err != nil {
		return Unknown, err
	}
	var list []NodeStatus
	for _, a := range c.AskAll(ctx, some, "show", "-o", "json") {
		list = append(list, statusOf(a))
	}
	slices.SortStableFunc(list, func(a, b NodeStatus) int { return cmp.Compare(urgency(a), urgency(b)) })
	p := printable{columns: []string{"NODE", "STATE", "VERSION", "UP", "ENGINE", "BGP", "FAILING", "REMARKS", "CAUSE"}, data: listOf("NodeStatusList", list)}
	for _, s := range list {
		p.rows = append(p.rows, s.row())
	}
	p.notes = append(oddities(all, list), closing(list))
	return verdictOf(list), p.print(w, format)
}

func statusOf(a Answer) NodeStatus {
	s := NodeStatus{Node: a.Node.Name, State: "silent", Remarks: -1}
	var v summary
	switch {
	case a.Silent != "":
		s.Causes = []string{a.Silent}
		return s
	case a.Code != 0:
		s.Causes = []string{cmp.Or(a.Said, fmt.Sprintf("its program ends with code %d", a.Code))}
		return s
	case json.Unmarshal(a.Out, &v) != nil || v.State == "":
		s.Causes = []string{fmt.Sprintf("its answer can't be read: %.60q", a.Out)}
		return s
	}
	s.State, s.Causes, s.Version, s.Up, s.ServiceEngine, s.Sessions = v.State, v.Why, v.Version, v.Up, v.Engine, v.Sessions
	if i := strings.IndexByte(s.Sessions, ';'); i > 0 {
		s.Sessions = s.Sessions[:i]
	}
	for text, into := range map[string]*int{v.Rows: &s.Rows, v.Failing: &s.Failing, v.Remarks: &s.Remarks} {
		if n, err := strconv.Atoi(text); err == nil {
			*into = n
		}
	}
	if v.API != "" && v.API != "answers" {
		s.Causes = append(s.Causes, "API server: "+v.API)
	}
	if s.lame() {
		s.Causes = append(s.Causes, "BGP: "+s.Sessions)
	}
	if s.Failing > 0 && len(s.Causes) == 0 {
		s.Causes = []string{"rows fail: kubectl kuberouter show failing --node " + s.Node}
	}
	return s
}

// counts are the established sessions, and all; not ok when it isn't known.
func (s NodeStatus) counts() (have, want int, ok bool) {
	n, err := fmt.Sscanf(s.Sessions, "%d of %d", &have, &want)
	return have, want, err == nil && n == 2
}

// lame tells whether a BGP session is missing.
func (s NodeStatus) lame() bool {
	have, want, ok := s.counts()
	return s.Sessions != "" && (!ok || have < want)
}

// urgency is 0 for what must be looked at first.
func urgency(s NodeStatus) int {
	switch {
	case s.State == "silent":
		return 0
	case s.State == "unwell":
		return 1
	case s.State != "well":
		return 2
	case len(s.Causes) > 0:
		return 3
	}
	return 4
}

func (s NodeStatus) row() []string {
	if s.State == "silent" {
		return []string{s.Node, "SILENT", "", "", "", "", "", "", strings.Join(s.Causes, "; ")}
	}
	remarks := "?"
	if s.Remarks >= 0 {
		remarks = strconv.Itoa(s.Remarks)
	}
	state, cause := s.State, ""
	if state != "well" {
		state = strings.ToUpper(state)
	}
	if len(s.Causes) > 0 {
		cause = s.Causes[0]
		if more := len(s.Causes) - 1; more > 0 {
			cause += fmt.Sprintf(" (and %d more)", more)
		}
	}
	sessions := s.Sessions
	if have, want, ok := s.counts(); ok {
		sessions = fmt.Sprintf("%d/%d", have, want)
	}
	return []string{s.Node, state, s.Version, s.Up, s.ServiceEngine, sessions,
		strconv.Itoa(s.Failing), remarks, cause}
}

func verdictOf(list []NodeStatus) Verdict {
	v := Well
	for _, s := range list {
		switch {
		case s.State == "silent":
			return Unknown
		case s.State != "well" || len(s.Causes) > 0:
			v = Unwell
		}
	}
	return v
}

func closing(list []NodeStatus) string {
	silent, unwell := 0, 0
	for _, s := range list {
		switch {
		case s.State == "silent":
			silent++
		case s.State != "well" || len(s.Causes) > 0:
			unwell++
		}
	}
	return fmt.Sprintf("%s: %d well, %d with a cause, %d silent", counted(len(list)), len(list)-silent-unwell, unwell, silent)
}

// oddities are what no node can see alone.
func oddities(nodes []Node, list []NodeStatus) (lines []string) {
	versions, engines := map[string][]string{}, map[string][]string{}
	for _, s := range list {
		if s.State != "silent" {
			versions[s.Version] = append(versions[s.Version], s.Node)
			engines[s.ServiceEngine] = append(engines[s.ServiceEngine], s.Node)
		}
	}
	for what, by := range map[string]map[string][]string{"versions": versions, "service engines": engines} {
		if len(by) > 1 {
			var parts []string
			for value, names := range by {
				parts = append(parts, fmt.Sprintf("%s on %s", value, someOf(names)))
			}
			slices.Sort(parts)
			lines = append(lines, "different "+what+": "+strings.Join(parts, ", "))
		}
	}
	slices.Sort(lines)
	return append(lines, sharedRanges(nodes)...)
}

// sharedRanges names nodes whose pod ranges overlap: no route can lead to both.
func sharedRanges(nodes []Node) (lines []string) {
	type owned struct {
		p    netip.Prefix
		node string
	}
	var all []owned
	for _, n := range nodes {
		if n.Object == nil {
			continue
		}
		for _, text := range podRanges(n.Object) {
			if p, err := netip.ParsePrefix(text); err == nil {
				all = append(all, owned{p.Masked(), n.Name})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b owned) int {
		return cmp.Or(a.p.Addr().Compare(b.p.Addr()), cmp.Compare(a.p.Bits(), b.p.Bits()))
	})
	for i := 1; i < len(all); i++ { // sorted so, a range that holds another stands before it
		for j := i - 1; j >= 0 && all[j].p.Overlaps(all[i].p); j-- {
			if all[j].node != all[i].node {
				lines = append(lines, fmt.Sprintf("pod ranges overlap: %s of %s and %s of %s", all[j].p, all[j].node, all[i].p, all[i].node))
			}
		}
	}
	return lines
}

// podRanges are the ranges of a node's pods: those of the annotations go before the spec's, as the daemon has it.
func podRanges(n *corev1.Node) []string {
	for _, key := range []string{"kube-router.io/pod-cidrs", "kube-router.io/pod-cidr"} {
		if text := n.Annotations[key]; text != "" {
			var list []string
			for _, one := range strings.Split(text, ",") {
				list = append(list, strings.TrimSpace(one))
			}
			return list
		}
	}
	if len(n.Spec.PodCIDRs) == 0 && n.Spec.PodCIDR != "" {
		return []string{n.Spec.PodCIDR}
	}
	return n.Spec.PodCIDRs
}

// someOf names the first of many.
func someOf(names []string) string {
	slices.SortFunc(names, natural)
	if len(names) <= 4 {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:3], ", "), len(names)-3)
}

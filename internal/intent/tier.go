package intent

import (
	"fmt"
	"slices"
	"strings"
)

// Action is what becomes of a packet of a flow that begins.
type Action uint8

// The actions.
const (
	Accept Action = iota // this end allows the flow, no later tier is asked
	Deny                 // the flow ends, and nobody is told
	Pass                 // no later rule of the tier is asked, the next tier is
	Refuse               // the flow ends, and its sender is told
)

// String prints "Accept", "Deny", "Pass" or "Refuse".
func (a Action) String() string { return [...]string{"Accept", "Deny", "Pass", "Refuse"}[a] }

// Level is where a tier stands among those that a pod has, first to last.
type Level uint8

// The levels, in the order in which they judge.
const (
	AdminLevel    Level = iota // ClusterNetworkPolicies of tier Admin
	NetworkLevel               // NetworkPolicies
	BaselineLevel              // ClusterNetworkPolicies of tier Baseline
)

// String prints the tier as its API does; that of NetworkPolicies has no name there.
func (l Level) String() string { return [...]string{"Admin", "NetworkPolicy", "Baseline"}[l] }

// Source names the rule of an API object that a Rule comes from.
type Source struct {
	Policy string // name of the ClusterNetworkPolicy
	UID    string
	Index  int    // of the rule in its direction
	Name   string // as the rule calls itself; may be empty, and need not be unique
	Audit  bool   // the policy is only rehearsed
}

// String prints "policy rule 2 (name)", counting from 0 as fields do.
func (s Source) String() string {
	text := fmt.Sprintf("%s rule %d", s.Policy, s.Index)
	if s.Name != "" {
		text += fmt.Sprintf(" (%q)", s.Name)
	}
	return text
}

// Rule does something with what any of its matches holds of.
type Rule struct {
	Action  Action
	Matches []Match // none: the rule is about nothing
	Source  Source  // zero where rules of several policies were joined
}

// String prints the action, whose rule it is and what it is about.
func (r Rule) String() string {
	return fmt.Sprintf("%s by %s: %v", r.Action, r.Source, r.Matches)
}

// Tier is an ordered list of rules about one direction of pods: the first that matches decides, and Default what none
// matches. Pods with the same tier share it, whichever policies it comes from.
type Tier struct {
	ID        string // told from any other tier by its content: see NewTier and NewNetworkTier
	Level     Level
	Direction Direction
	Rules     []Rule
	Default   Action

	Place     Place    // whom it judges
	Rehearsal bool     // what would end here is counted, and goes on
	Policies  []string // in a rehearsal: the NetworkPolicies to whose account goes what Default refuses
}

// Rehearsed is a tier as a rehearsal has it, where what none of its rules accepts goes to the account of policies. What it counts is
// theirs alone, so they are in its name.
func (t *Tier) Rehearsed(policies []string) *Tier {
	r := *t
	r.Rehearsal, r.Policies = true, policies
	text := fmt.Sprintf("rehearsal %s %q", t.ID, policies)
	for _, rule := range t.Rules {
		text += fmt.Sprint(" ", rule.Source.Audit)
	}
	r.ID = Digest(text)
	return &r
}

// NewTier makes a tier of ordered rules, which hands on what none of them matches. Its name has the sources of the rules in
// it, so that what a rule counts is that rule's alone.
func NewTier(l Level, d Direction, rules []Rule) *Tier {
	t := &Tier{Level: l, Direction: d, Rules: rules, Default: Pass}
	var text strings.Builder
	text.WriteString(l.String() + " " + d.String())
	for _, r := range rules {
		fmt.Fprintf(&text, "\n%q %s", r.Source.UID, r)
	}
	t.ID = Digest(text.String())
	return t
}

// NewNetworkTier makes the tier of NetworkPolicies of what they accept: the order means nothing, and what none of them accepts is
// refused. It is in canonical form: what differs in its ports or in its block alone becomes one, so that the tier is as long as its
// distinct peers, not as its policies.
func NewNetworkTier(d Direction, accepts []Match) *Tier {
	accepts = merge(accepts, Match.peer, func(same []Match) Match {
		var ports []PortRange
		for _, m := range same {
			if len(m.Ports) == 0 {
				return m
			}
			ports = append(ports, m.Ports...)
		}
		same[0].Ports = MergePorts(ports)
		return same[0]
	})
	accepts = merge(accepts, Match.service, func(same []Match) Match {
		var spans []Span
		for _, m := range same {
			spans = append(spans, m.Block...)
		}
		same[0].Block = MergeSpans(spans)
		return same[0]
	})
	if i := slices.IndexFunc(accepts, Match.All); i >= 0 {
		accepts = accepts[i : i+1]
	}
	type entry struct {
		text  string
		match Match
	}
	entries := make([]entry, len(accepts))
	for i, m := range accepts {
		entries[i] = entry{m.String(), m}
	}
	slices.SortFunc(entries, func(x, y entry) int { return strings.Compare(x.text, y.text) })
	sorted := make([]Match, 0, len(entries))
	var text strings.Builder
	text.WriteString(d.String())
	for _, e := range entries {
		sorted = append(sorted, e.match)
		text.WriteString("\n" + e.text)
	}
	return &Tier{ID: Digest(text.String()), Level: NetworkLevel, Direction: d, Rules: []Rule{{Action: Accept, Matches: sorted}}, Default: Refuse}
}

// Key is the tier's name.
func (t *Tier) Key() string { return t.ID }

// Matches is how many matches its rules have together.
func (t *Tier) Matches() int {
	n := 0
	for _, r := range t.Rules {
		n += len(r.Matches)
	}
	return n
}

// Ends tells whether anything may end here.
func (t *Tier) Ends() bool {
	ends := func(a Action) bool { return a == Deny || a == Refuse }
	return ends(t.Default) || slices.ContainsFunc(t.Rules, func(r Rule) bool { return ends(r.Action) && len(r.Matches) > 0 })
}

// Text is the rules in words: of NetworkPolicies what they accept, "nothing" if it is that.
func (t *Tier) Text() string {
	if t.Level != NetworkLevel {
		return fmt.Sprint(t.Level, " ", t.Rules)
	}
	if t.Matches() == 0 {
		return "nothing"
	}
	return fmt.Sprint(t.Rules[0].Matches)
}

// String prints the direction and the rules.
func (t *Tier) String() string { return t.Direction.String() + " " + t.Text() }

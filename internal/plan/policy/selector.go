package policy

import (
	"slices"
	"strconv"
	"strings"

	"kube-router/internal/model"
)

// selects tells whether labels fulfil a selector (meta/v1 LabelSelector).
func selects(s *model.Selector, labels map[string]string) bool {
	if s.Invalid {
		return false
	}
	for i := range s.Requirements {
		if !holds(&s.Requirements[i], labels) {
			return false
		}
	}
	return true
}

func holds(r *model.Requirement, labels map[string]string) bool {
	v, has := labels[r.Key]
	switch r.Op {
	case model.In:
		return has && slices.Contains(r.Values, v)
	case model.NotIn:
		return !has || !slices.Contains(r.Values, v)
	case model.Exists:
		return has
	default:
		return !has
	}
}

// selection is what a pair of selectors picks among the pods of the cluster, or another one among its nodes, or a pattern among
// domain names.
type selection struct {
	scope      string          // the namespace, when Namespaces is nil
	namespaces *model.Selector // nil: scope alone
	pods       *model.Selector // nil: every pod
	nodes      *model.Selector // not nil: nodes, and no pod
	domain     string          // not empty: domain names that this pattern is about, and no pod
}

// has tells whether a pod with labels in a namespace is selected. A namespace that is not known yet has no
// labels to select it by.
func (s selection) has(namespace string, ns *model.Namespace, labels map[string]string) bool {
	if s.nodes != nil || s.domain != "" {
		return false
	}
	if s.namespaces == nil {
		if namespace != s.scope {
			return false
		}
	} else if ns == nil || !selects(s.namespaces, ns.Labels) {
		return false
	}
	return s.pods == nil || selects(s.pods, labels)
}

// never tells whether nothing can be selected.
func (s selection) never() bool {
	return s.nodes != nil && s.nodes.Invalid || s.namespaces != nil && s.namespaces.Invalid || s.pods != nil && s.pods.Invalid
}

// String is the canonical text: equal texts select the same. No part can hold a quote unescaped, so texts
// of different selections differ.
func (s selection) String() string {
	var b strings.Builder
	if s.domain != "" {
		return "domain " + strconv.Quote(s.domain)
	}
	if s.nodes != nil {
		b.WriteString("nodes")
		write(&b, s.nodes)
		return b.String()
	}
	if s.namespaces == nil {
		b.WriteString("namespace " + strconv.Quote(s.scope))
	} else {
		b.WriteString("namespaces")
		write(&b, s.namespaces)
	}
	if s.pods != nil && len(s.pods.Requirements) > 0 {
		b.WriteString(" pods")
		write(&b, s.pods)
	}
	return b.String()
}

func write(b *strings.Builder, s *model.Selector) {
	for _, r := range s.Requirements {
		b.WriteString(" " + [...]string{"in", "not-in", "exists", "missing"}[r.Op] + " " + strconv.Quote(r.Key))
		for _, v := range r.Values {
			b.WriteString(" " + strconv.Quote(v))
		}
	}
}

// anchor is one condition that everything selected fulfils: a label with its value, a label with any value
// (any), or nothing (the zero anchor).
type anchor struct {
	key, value string
	any        bool
}

// anchors are conditions one of which everything selected fulfils. The first label with few values is as
// good as any; without one, a label that must be there.
func anchors(s *model.Selector) []anchor {
	if s == nil {
		return []anchor{{}}
	}
	best := []anchor{{}}
	for _, r := range s.Requirements {
		switch {
		case r.Op == model.In && (best[0].value == "" || len(r.Values) < len(best)):
			best = nil
			for _, v := range r.Values {
				best = append(best, anchor{key: r.Key, value: v})
			}
			if len(best) == 0 {
				return nil
			}
		case r.Op == model.Exists && best[0] == (anchor{}):
			best = []anchor{{key: r.Key, any: true}}
		}
	}
	return best
}

// each calls f with every anchor that something labelled so can be found under.
func each(labels map[string]string, f func(anchor)) {
	f(anchor{})
	for k, v := range labels {
		f(anchor{key: k, value: v})
		f(anchor{key: k, any: true})
	}
}

package kube

import (
	"strings"

	"kube-router/internal/model"
)

// lackingAnnotation is what a node's daemon says of policies that it can't write.
func lackingAnnotation() annotation[model.Node] {
	return annotation[model.Node]{"policies-not-in-force", "list of policies, or all", "written by the node's own daemon while rules of policies can't be written there: whose they are", func(n *model.Node, in input) {
		for _, text := range csv(in.text) {
			r, ok := parseLacking(text)
			if !ok {
				in.wrong("%q is no policy: a kind and a name, or all", text)
				continue
			}
			n.Options.Lacking = append(n.Options.Lacking, r)
		}
	}}
}

// parseLacking reads "NetworkPolicy a/b", "ClusterNetworkPolicy c" or "all".
func parseLacking(text string) (model.Ref, bool) {
	if text == "all" {
		return model.Ref{}, true
	}
	kind, name, ok := strings.Cut(text, " ")
	r := model.Ref{Kind: model.Kind(kind)}
	switch r.Kind {
	case model.KindPolicy:
		var both bool
		r.Name.Namespace, r.Name.Name, both = strings.Cut(name, "/")
		ok = ok && both && r.Name.Namespace != ""
	case model.KindClusterPolicy, model.KindNodePolicy:
		r.Name.Name = name
	default:
		return r, false
	}
	return r, ok && r.Name.Name != ""
}

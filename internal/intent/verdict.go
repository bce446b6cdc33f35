package intent

import "fmt"

// PolicyVerdict is what the nodes found of a policy.
type PolicyVerdict struct {
	Kind, Name string
	Generation int64    // of the object that it is about
	Nodes      int64    // on which it ought to be in force
	Ignored    []string // what of it isn't understood, in words
	Lacking    []string // nodes on which it is not in force, sorted
}

// String prints "ClusterNetworkPolicy a: 3 nodes, not on [n1]".
func (v PolicyVerdict) String() string {
	text := fmt.Sprintf("%s %s: %d nodes", v.Kind, v.Name, v.Nodes)
	if len(v.Lacking) > 0 {
		text += fmt.Sprintf(", not on %v", v.Lacking)
	}
	for _, what := range v.Ignored {
		text += ", " + what
	}
	return text
}

// PolicyReport is what the nodes found of all policies together.
type PolicyReport struct {
	Nodes   int64           // of the cluster
	Silent  int64           // those of them that are not ready, and may not tell
	Lacking []PolicyVerdict // those policies that are not in force everywhere, sorted by kind and name; one without a name stands for all
}

// String prints "40 nodes, 1 silent; …".
func (r PolicyReport) String() string {
	text := fmt.Sprintf("%d nodes, %d silent", r.Nodes, r.Silent)
	for _, v := range r.Lacking {
		text += "; " + v.String()
	}
	return text
}

// LackingName is how a node names a policy that it lacks: "NetworkPolicy a/b", or "all" where there is no name.
func LackingName(kind, name string) string {
	if kind == "" {
		return "all"
	}
	return kind + " " + name
}

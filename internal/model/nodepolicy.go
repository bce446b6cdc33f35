package model

// NodePolicy says what may come to nodes and leave them: the rules of a ClusterPolicy, about nodes in place of pods. Of the embedded policy
// Subject means nothing.
type NodePolicy struct {
	ClusterPolicy
	Nodes  Selector // whom it is about
	Closes bool     // it denies what a node can't be reached or live without as well
}

// Ref names the NodePolicy.
func (p *NodePolicy) Ref() Ref { return Ref{KindNodePolicy, Name{Name: p.Name}} }

package model

// Silence is a node whose kernel does not answer probes, although it did before. There is one only of nodes that somebody has to know so much of:
// those that own addresses which another would take over. A node that never answered is one only if its link has nobody at its address: echo
// requests may be filtered.
type Silence struct {
	Node string
	Link string // the link of ours that it was probed on; empty: whatever route leads there
}

// Ref names the Silence by link and node.
func (s *Silence) Ref() Ref { return SilenceOf(s.Node, s.Link) }

// SilenceOf is the name of the Silence of a node on a link.
func SilenceOf(node, link string) Ref {
	return Ref{KindSilence, Name{Namespace: link, Name: node}}
}

// Silent tells whether a node has fallen silent on a link, or, for no link, on whatever way leads there.
func (m *Model) Silent(node, link string) bool {
	return m.Silences[SilenceOf(node, link).Name] != nil
}

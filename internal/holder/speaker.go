package holder

import "kube-router/internal/model"

// Speaks tells whether a node is the one that tells the API of something: the first of those that are ready when each is hashed with it
// (rendezvous hashing), so that all agree without talking.
func Speaks(m *model.Model, node string, of model.Ref) bool {
	mine := weight([]byte(of.String()), []byte(node))
	for name, n := range m.Nodes {
		if w := weight([]byte(of.String()), []byte(name)); name != node && !n.NotReady && !n.Leaving && (w > mine || w == mine && name < node) {
			return false
		}
	}
	return true
}

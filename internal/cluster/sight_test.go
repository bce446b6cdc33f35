package cluster

import (
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"kube-router/internal/intent"
)

// TestKindsAreTheDaemons: numbers of frontends' kinds mean what the daemon means.
func TestKindsAreTheDaemons(t *testing.T) {
	for i, kind := range kinds() {
		if got := intent.FrontKind(i).String(); got != kind {
			t.Errorf("%d is %q, the daemon says %q", i, kind, got)
		}
	}
}

// TestWhoIsFollowed: another daemon's pod on a node, or another node, is followed anew; anything else goes on.
func TestWhoIsFollowed(t *testing.T) {
	with := func(uid string) []Node {
		pod := daemonPod("a", "n1")
		pod.UID = types.UID(uid)
		return []Node{{Name: "n1", Pod: &pod}, {Name: "n2"}}
	}
	if who(with("1")) != who(with("1")) || who(with("1")) == who(with("2")) || who(with("1")) == who(with("1")[:1]) {
		t.Error("sets of nodes are mistaken for each other")
	}
}

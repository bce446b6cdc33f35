package policy

import (
	"fmt"
	"testing"

	"kube-router/internal/intent"
)

// TestShelfForgets keeps the tiers that pods have, and no others, however often policies change.
func TestShelfForgets(t *testing.T) {
	s := newShelf()
	pods := make([]state, 3)
	for round := range 100 {
		for i := range pods {
			var now tiers
			for d := range now {
				if (round+i)%5 == 0 {
					continue // nothing selects the pod
				}
				key := [32]byte{byte(round), byte(i / 2), byte(d)} // the first two have the same
				now[d] = append(now[d], s.get(key, func() *intent.Tier { return &intent.Tier{ID: fmt.Sprint(key)} }))
			}
			s.use(&pods[i], now)
		}
		held := map[*intent.Tier]bool{}
		for _, pod := range pods {
			for _, list := range pod.tiers {
				for _, tier := range list {
					held[tier] = true
				}
			}
		}
		if len(s.byKey) != len(held) || len(s.of) != len(held) {
			t.Fatalf("round %d: the shelf has %d and %d tiers, pods %d", round, len(s.byKey), len(s.of), len(held))
		}
	}
	for i := range pods {
		s.use(&pods[i], tiers{})
	}
	if len(s.byKey)+len(s.of) > 0 {
		t.Errorf("%d tiers left without a pod", len(s.byKey))
	}
}

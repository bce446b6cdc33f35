//go:build policy

package policy

import (
	"fmt"
	"math/rand/v2"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"

	"kube-router/internal/lab/netpol"
)

// TestGenerated compares packets with the API's words for random sets of policies: a sample of what the
// planner's own test compares for a thousand.
func TestGenerated(t *testing.T) {
	const sets = 40
	g := netpol.Generator{Rand: rand.New(rand.NewPCG(7, 1))}
	for i := range sets {
		var list []*networkingv1.NetworkPolicy
		for j := range 1 + g.IntN(6) {
			p := g.Policy(fmt.Sprintf("g%d", j))
			p.APIVersion, p.Kind = "networking.k8s.io/v1", "NetworkPolicy"
			list = append(list, p)
		}
		shared.one(t, fmt.Sprint(i), func(t *testing.T) { shared.holds(t, list) })
	}
}

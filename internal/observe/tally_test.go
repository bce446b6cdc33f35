package observe

import (
	"fmt"
	"testing"

	"kube-router/internal/flow"
)

// TestTallyIsBounded: however many there are, no more series than said, and every flow is counted once.
func TestTallyIsBounded(t *testing.T) {
	tally := NewTally(ByWorkload, 50)
	here := &flow.Owner{Namespace: "shop", Pod: "web-1", Kind: "Deployment", Workload: "web", Here: true}
	for i := range 10_000 {
		peer := &flow.Owner{Namespace: "a", Pod: fmt.Sprintf("client-%d", i), Kind: "Job", Workload: fmt.Sprintf("client-%d", i)}
		reason := flow.Passed
		if i%3 == 0 {
			reason = flow.DefaultDeny
		}
		tally.Add(flow.Flow{Source: peer, Dest: here, Reason: reason}, flow.Flow{Source: here, Dest: peer})
	}
	list, sum, others := tally.Counts(), uint64(0), uint64(0)
	for _, c := range list {
		if sum += c.Flows; c.Source.Namespace == other {
			others += c.Flows
		}
	}
	if len(list) != 52 || sum != 10_000 || others != 9_950 {
		t.Errorf("%d series of %d flows, %d of them by others", len(list), sum, others)
	}
}

// TestTallyCountsOnce: a flow between two nodes is counted where its server is, what leaves the cluster where its client is.
func TestTallyCountsOnce(t *testing.T) {
	client, web := flow.Owner{Namespace: "a", Pod: "c", Workload: "client"}, flow.Owner{Namespace: "shop", Pod: "w"}
	at := func(o flow.Owner) *flow.Owner { o.Here = true; return &o }
	world := &flow.Owner{}
	for finest, want := range map[Finest]string{
		Uncounted:   "[]",
		ByNamespace: "[{{ world} {shop } FORWARDED 1} {{a } { world} FORWARDED 1} {{a } {shop } DROPPED 1} {{a } {shop } FORWARDED 1}]",
		ByWorkload:  "[{{ world} {shop none} FORWARDED 1} {{a client} { world} FORWARDED 1} {{a client} {shop none} DROPPED 1} {{a client} {shop none} FORWARDED 1}]",
	} {
		tally := NewTally(finest, 100)
		tally.Add(flow.Flow{Source: at(client), Dest: &web}, flow.Flow{Source: &client, Dest: at(web)}) // both nodes
		tally.Add(flow.Flow{Source: at(client), Dest: world}, flow.Flow{Source: world, Dest: &web}, flow.Flow{Source: world, Dest: at(web)})
		tally.Add(flow.Flow{Source: at(client), Dest: &web, Reason: flow.DenyRule})
		if got := fmt.Sprint(tally.Counts()); got != want {
			t.Errorf("%d: %s, want %s", finest, got, want)
		}
	}
}

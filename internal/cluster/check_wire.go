package cluster

import (
	"context"
	"fmt"
)

// crossed is how much a check sends from each node to each other one at least, in each family: the answer to the probe "big".
const crossed = 300_000

// wires are the bytes that nodes have sent each other through WireGuard, by sender and receiver; empty: encryption is off.
func (s *stage) wires(ctx context.Context) map[[2]string]int64 {
	sent := map[[2]string]int64{}
	for _, w := range (Sight{Cluster: s.Cluster}).encryptionSeen(ctx, s.nodes).Items {
		sent[[2]string{w.From, w.To}] = w.Sent
	}
	return sent
}

// encrypted judges that what probes sent between nodes went through WireGuard, by what its devices have counted since.
func (s *stage) encrypted(ctx context.Context, before map[[2]string]int64) (list []CheckResult) {
	if len(before) == 0 {
		return nil
	}
	after := s.wires(ctx)
	want := int64(crossed * len(s.probes[0].Status.PodIPs))
	for _, from := range s.nodes {
		for _, to := range s.nodes {
			if from.Name == to.Name {
				continue
			}
			pair := [2]string{from.Name, to.Name}
			sent := after[pair] - before[pair]
			list = append(list, CheckResult{Check: "encrypted between nodes", Family: "all", From: from.Name, To: to.Name, Probe: "bytes sent through WireGuard",
				Passed: sent >= want, Saw: fmt.Sprintf("%d bytes, of %d at least", sent, want)})
		}
	}
	return list
}

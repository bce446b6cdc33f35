package cluster

import (
	"context"
	"fmt"
)

// crossed is how many bytes a check sends from each node to each other one at least, in each family: the answer to a large TCP request.
const crossed = 300_000

// wires are the bytes that nodes have sent each other through WireGuard, by sender and receiver. Nothing: encryption is off, or a node didn't say.
func (s *stage) wires(ctx context.Context, tell func(string)) map[[2]string]int64 {
	seen := (Sight{Cluster: s.Cluster}).encryptionSeen(ctx, s.nodes)
	for _, why := range seen.Silent {
		tell("left out: whether packets were encrypted: " + why)
	}
	if len(seen.Silent) > 0 {
		return nil
	}
	sent := map[[2]string]int64{}
	for _, w := range seen.Items {
		sent[[2]string{w.From, w.To}] = w.Sent
	}
	return sent
}

// encrypted judges that what probes sent between nodes went through WireGuard, by what its devices have counted since.
func (s *stage) encrypted(ctx context.Context, before map[[2]string]int64, tell func(string)) (list []CheckResult) {
	if len(before) == 0 {
		return nil
	}
	after := s.wires(ctx, tell)
	if after == nil {
		return nil
	}
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

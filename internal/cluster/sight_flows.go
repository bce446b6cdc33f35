package cluster

import (
	"context"
	"strings"
	"sync"
	"time"

	"kube-router/internal/flow"
)

const (
	relisting = 15 * time.Second       // between two looks for nodes that came or went
	eager     = 500 * time.Millisecond // for what other nodes saw of a flow: somebody watches
)

// Flows follows the flows of all nodes, put together, until ctx ends: the latest of each, then what comes. Nodes that come are followed, too, and a daemon
// whose pod is another one; then some flows are told again. What nodes can't see of the traffic is a record with a NodeStatus of NODE_ERROR.
func (s Sight) Flows(ctx context.Context, latest int, take func(flow.Record)) error {
	var running sync.WaitGroup
	stop := func() {}
	defer func() {
		stop()
		running.Wait()
	}()
	var mu sync.Mutex // one round of followers may end while the next begins
	tell := func(r flow.Record) error {
		mu.Lock()
		defer mu.Unlock()
		take(r)
		return nil
	}
	for followed := ""; ; {
		nodes, err := s.Nodes(ctx)
		if who := who(nodes); err == nil && who != followed {
			stop()
			running.Wait()
			followed = who
			one, cancel := context.WithCancel(ctx)
			stop = cancel
			running.Go(func() { s.follow(one, latest, tell) })
		}
		if err != nil && followed == "" && ctx.Err() == nil {
			_ = tell(flow.Unavailable("API server", err.Error(), time.Now()))
		} else if err == nil {
			_ = tell(flow.Connected("API server", time.Now()))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(relisting):
		}
	}
}

func (s Sight) follow(ctx context.Context, latest int, tell func(flow.Record) error) {
	_, err := s.Cluster.Flows(ctx, Flows{
		Choice: &flow.Choice{Last: latest, Follow: true}, Hold: eager, Heard: tell,
		Note: func(text string) {
			nodes, what, _ := strings.Cut(text, ": ")
			_ = tell(flow.Record{NodeStatus: &flow.NodeStatus{Change: "NODE_ERROR", Nodes: []string{nodes}, Why: what}, Time: time.Now()})
		},
	})
	if err != nil && ctx.Err() == nil {
		_ = tell(flow.Unavailable("all nodes", err.Error(), time.Now()))
	}
}

// who tells sets of nodes and daemons' pods apart.
func who(nodes []Node) string {
	var b strings.Builder
	for _, n := range nodes {
		b.WriteString(n.Name + " ")
		if n.Pod != nil {
			b.WriteString(string(n.Pod.UID) + "\n")
		}
	}
	return b.String()
}

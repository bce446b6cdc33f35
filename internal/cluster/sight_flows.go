package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"kube-router/internal/flow"
)

const (
	relisting  = 15 * time.Second // between two looks for new nodes
	firstRetry = time.Second      // after a node's flows ended
	lastRetry  = 15 * time.Second
	settled    = 2 * time.Second // a program that has run so long is not one that fails at once
	longest    = 256 << 10       // bytes of a line; a flow is a few hundred
)

// Flows follows the flows of every node until ctx ends: of each the latest, then what comes. Where there are none, take gets a record that says why,
// and it is tried again; nodes that come are followed, too. take is called by many goroutines.
func (s Sight) Flows(ctx context.Context, latest int, take func(flow.Record)) error {
	var all sync.WaitGroup
	defer all.Wait()
	followed := map[string]context.CancelFunc{}
	for {
		nodes, err := s.Nodes(ctx)
		if err != nil && len(followed) == 0 && ctx.Err() == nil {
			take(away("API server", err.Error()))
		}
		if err == nil {
			take(back("API server"))
			there := map[string]bool{}
			for _, n := range nodes {
				if there[n.Name] = true; followed[n.Name] == nil {
					one, stop := context.WithCancel(ctx)
					followed[n.Name] = stop
					all.Go(func() { s.follow(one, n, latest, take) })
				}
			}
			for name, stop := range followed {
				if !there[name] {
					stop()
					delete(followed, name)
					take(back(name))
				}
			}
		}
		if !pause(ctx, relisting) {
			return ctx.Err()
		}
	}
}

// status makes a record about a node.
func status(node, change, why string) flow.Record {
	return flow.Record{NodeStatus: &flow.NodeStatus{Change: change, Nodes: []string{node}, Why: why}, NodeName: node, Time: time.Now()}
}

func away(node, why string) flow.Record { return status(node, "NODE_UNAVAILABLE", why) }

func back(node string) flow.Record { return status(node, "NODE_CONNECTED", "") }

// pause waits, and is false when ctx ends first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// follow has a node's program print its flows, again and again when that ends.
func (s Sight) follow(ctx context.Context, n Node, latest int, take func(flow.Record)) {
	since, wait := time.Time{}, firstRetry
	for ctx.Err() == nil {
		out := &lines{each: func(line []byte) {
			var r flow.Record
			if json.Unmarshal(line, &r) != nil {
				return // half a line, of a program that was ended
			}
			if r.Flow != nil && r.Time.After(since) {
				since = r.Time
			}
			wait = firstRetry
			take(r)
		}}
		why := s.stream(ctx, n, out, take, followArgs(latest, since))
		if ctx.Err() != nil {
			return
		}
		take(away(n.Name, why))
		if !pause(ctx, wait) {
			return
		}
		wait = min(2*wait, lastRetry)
		if nodes, err := s.Nodes(ctx); err == nil { // its pod may be another one by now
			if some, err := Named(nodes, []string{n.Name}); err == nil {
				n = some[0]
			}
		}
	}
}

// followArgs ask for the latest at first, and later for what came since.
func followArgs(latest int, since time.Time) []string {
	args := []string{program, "flows", "--follow", "-o", "json"}
	if since.IsZero() {
		return append(args, fmt.Sprintf("--last=%d", latest))
	}
	return append(args, "--since="+since.UTC().Format(time.RFC3339))
}

// stream runs the program until it ends and returns why it did. What it says beside its flows is what the node can't see.
func (s Sight) stream(ctx context.Context, n Node, out *lines, take func(flow.Record), args []string) string {
	if n.Pod == nil {
		return "no kube-router pod on this node" + n.unready()
	}
	var last string
	said := &lines{each: func(line []byte) {
		if last = strings.TrimPrefix(string(line), program+": "); last != "" {
			take(status(n.Name, "NODE_ERROR", last))
		}
	}}
	running := time.AfterFunc(settled, func() { take(back(n.Name)) }) // where nobody talks, this alone tells that it is heard
	err := s.exec(ctx, n.Pod, container(n.Pod), nil, out, said, args...)
	running.Stop()
	switch {
	case err != nil && last == "":
		return s.silence(n, err)
	case last != "":
		return last
	}
	return "its program ended"
}

// lines splits what is written into lines.
type lines struct {
	each func([]byte)
	rest []byte
}

func (l *lines) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	for {
		i := bytes.IndexByte(l.rest, '\n')
		if i < 0 {
			break
		}
		l.each(l.rest[:i])
		l.rest = l.rest[i+1:]
	}
	if len(l.rest) > longest {
		return 0, fmt.Errorf("a line is longer than %d bytes", longest)
	}
	l.rest = bytes.Clone(l.rest) // what was before it can go
	return len(p), nil
}

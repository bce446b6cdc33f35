package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"kube-router/internal/flow"
)

// seen is what a node saw of a connection at a second.
func seen(node, from, to string, second int) flow.Record {
	return flow.Record{NodeName: node, Time: time.Unix(int64(second), 0), Own: &flow.Own{},
		Flow: &flow.Body{Verdict: flow.Forwarded, IP: flow.IP{Source: from, Destination: to}, L4: &flow.L4{TCP: &flow.Ports{Source: 4000, Destination: 80}}}}
}

// TestLatestOfAllNodes: a node with much to tell reaches less far back than others, and what these tell of before lacks its part.
func TestLatestOfAllNodes(t *testing.T) {
	var told []string
	choice := &flow.Choice{Last: 2, Follow: true}
	filter, err := choice.Filter()
	if err != nil {
		t.Fatal(err)
	}
	m := &merging{filter: filter, merge: flow.NewMerge(), reach: map[string]reach{}, Flows: Flows{Choice: choice, Heard: func(r flow.Record) error {
		told = append(told, fmt.Sprintf("%s at %d", r.Flow.IP.Source, r.Time.Unix()))
		return nil
	}}}
	for _, r := range []flow.Record{seen("quiet", "10.0.0.1", "10.0.1.1", 10), seen("quiet", "10.0.0.2", "10.0.1.1", 50),
		seen("busy", "10.0.0.3", "10.0.1.1", 40), seen("busy", "10.0.0.2", "10.0.1.1", 50)} {
		if err := m.take(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.settle(func(_, _ time.Time) bool { return true }); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(told); got != "[10.0.0.3 at 40 10.0.0.2 at 50]" {
		t.Errorf("told %s", got)
	}
}

// TestFlowsOfBeforeTheQuestion: what began after the question is left out, by the node's own clock, and nothing of before is, however late an answer is read.
func TestFlowsOfBeforeTheQuestion(t *testing.T) {
	for _, ahead := range []time.Duration{0, -time.Hour, time.Hour} {
		asked := time.Now()
		var text bytes.Buffer
		write := json.NewEncoder(&text)
		before, after := seen("n1", "10.0.0.1", "10.0.1.1", 0), seen("n1", "10.0.0.2", "10.0.1.1", 0)
		before.Time, after.Time = asked.Add(ahead-time.Second), asked.Add(ahead+time.Minute)
		for _, r := range []flow.Record{flow.Connected("n1", asked.Add(ahead)), before, after} {
			if err := write.Encode(r); err != nil {
				t.Fatal(err)
			}
		}
		s := &stream{node: Node{Name: "n1"}, records: make(chan flow.Record, 3), begun: asked}
		if err := s.decode(t.Context(), &text); err != nil {
			t.Fatal(err)
		}
		close(s.records)
		time.Sleep(1100 * time.Millisecond) // another node is slow
		m := &merging{asked: asked, clocks: map[string]time.Duration{}, notes: map[string][]string{}}
		var told []string
		for {
			if err := m.next(context.Background(), s); err != nil {
				t.Fatal(err)
			}
			if s.head == nil {
				break
			}
			told = append(told, s.head.Flow.IP.Source)
			s.head = nil
		}
		if got := fmt.Sprint(told); got != "[10.0.0.1]" {
			t.Errorf("a clock %s ahead: told %s", ahead, got)
		}
	}
}

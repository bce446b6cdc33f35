package cluster

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"kube-router/internal/flow"
)

const (
	// held is how long a flow waits for what other nodes saw of it, while it is followed.
	held = time.Second
	// beginning is how long all wait for nodes that have said nothing yet, when they begin to be followed.
	beginning = 3 * time.Second
	// look is the time between two looks at what has waited long enough.
	look = 200 * time.Millisecond
	// again is the time before a node that went away is asked again.
	again = 5 * time.Second
	// skew is from which difference on nodes' clocks are told of.
	skew = time.Second
	// together is how many records are put together before the settled ones are taken out.
	together = 512
)

// Flows are flows of all nodes, or of those named, put together: what several nodes saw of one connection is one record, in the order of time. Records of events
// that were lost, and of nodes that give no answer, are among them.
type Flows struct {
	Nodes  []string // names; none: all
	Choice *flow.Choice
	Heard  func(flow.Record) error // for every record; called by one goroutine
	Hold   time.Duration           // for what other nodes saw of a flow, with Choice.Follow; 0: a second
	Note   func(text string)       // for what nodes say beside them; nil: nobody wants to know
}

// Flows asks for flows until all have been told, or with Choice.Follow until ctx ends.
func (c *Cluster) Flows(ctx context.Context, f Flows) (Verdict, error) {
	all, err := c.Nodes(ctx)
	if err != nil {
		return Unknown, err
	}
	nodes, err := Named(all, f.Nodes)
	if err != nil {
		return Unknown, err
	}
	filter, err := f.Choice.Filter()
	if err != nil {
		return Unknown, err
	}
	if f.Note == nil {
		f.Note = func(string) {}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	m := &merging{Flows: f, filter: filter, merge: flow.NewMerge(), asked: time.Now(), clocks: map[string]time.Duration{}, notes: map[string][]string{}, reach: map[string]reach{}}
	if f.Choice.Follow {
		return m.follow(ctx, c, nodes)
	}
	return m.all(ctx, c, nodes)
}

// merging is an answer that is being put together.
type merging struct {
	Flows
	filter  *flow.Filter
	merge   *flow.Merge
	pending int
	latest  []flow.Record // where the latest alone are wanted
	silent  []string
	clocks  map[string]time.Duration // how far a node's clock is ahead of this one
	notes   map[string][]string      // nodes by what they say
	told    bool

	asked time.Time
	begun time.Time // when every node that is followed had said something, or was waited for long enough
	reach map[string]reach
	floor time.Time // what is older than this some node has forgotten, or wasn't asked for
}

// reach is how far back a node's answer goes.
type reach struct {
	oldest  time.Time
	records int
}

// back notes a record of a node that was asked for its latest: when these are all there, what other nodes tell of before them lacks its part.
func (m *merging) back(r flow.Record) {
	n := m.reach[r.NodeName]
	if n.records++; n.records == 1 {
		n.oldest = r.Time
	}
	if n.records == m.Choice.Limit() && n.oldest.After(m.floor) {
		m.floor = n.oldest
	}
	m.reach[r.NodeName] = n
}

// take takes one record. What is no flow is told at once.
func (m *merging) take(r flow.Record) error {
	switch {
	case r.NodeStatus != nil && r.NodeStatus.Change == flow.NodeConnected:
		m.clocks[r.NodeName] = time.Until(r.Time)
		return nil
	case r.Flow == nil:
		return m.Heard(r)
	}
	if m.Choice.Follow {
		m.back(r)
	}
	m.pending++
	return m.merge.Add(r, time.Now())
}

// away tells of a node that can't be asked.
func (m *merging) away(node, why string) error {
	m.silent = append(m.silent, node)
	return m.Heard(flow.Unavailable(node, why, time.Now()))
}

// settle tells what matches of the flows that are settled.
func (m *merging) settle(settled func(seen, came time.Time) bool) error {
	m.pending = 0
	for _, r := range m.merge.Take(settled) {
		f, err := r.Read()
		if err != nil {
			return err
		}
		switch {
		case !m.filter.Matches(&f), r.Time.Before(m.floor):
		case m.Choice.Follow || m.Choice.Limit() == 0:
			if err := m.Heard(r); err != nil {
				return err
			}
		default:
			if m.latest = append(m.latest, r); len(m.latest) >= 2*m.Choice.Limit() {
				m.latest = slices.Delete(m.latest, 0, len(m.latest)-m.Choice.Limit())
			}
		}
	}
	return nil
}

// all reads what every node has, the oldest first whoever has it, so that little is kept here.
func (m *merging) all(ctx context.Context, c *Cluster, nodes []Node) (Verdict, error) {
	var streams []*stream
	for _, n := range nodes {
		streams = append(streams, c.stream(ctx, n, m.Choice.Words()))
	}
	var last time.Time
	for {
		var first *stream
		for _, s := range streams {
			if err := m.next(ctx, s); err != nil {
				return Unknown, err
			}
			if s.head != nil && (first == nil || s.head.Time.Before(first.head.Time)) {
				first = s
			}
		}
		if first == nil {
			break
		}
		last = first.head.Time
		if err := m.take(*first.head); err != nil {
			return Unknown, err
		}
		if first.head = nil; m.pending >= together {
			if err := m.settle(func(seen, _ time.Time) bool { return seen.Before(last.Add(-held)) }); err != nil {
				return Unknown, err
			}
		}
	}
	if err := m.settle(func(time.Time, time.Time) bool { return true }); err != nil {
		return Unknown, err
	}
	if limit := m.Choice.Limit(); limit > 0 && len(m.latest) > limit {
		m.latest = m.latest[len(m.latest)-limit:]
	}
	for _, r := range m.latest {
		if err := m.Heard(r); err != nil {
			return Unknown, err
		}
	}
	m.say(len(nodes))
	if len(m.silent) > 0 {
		return Unknown, nil
	}
	return Well, ctx.Err()
}

// next waits for a node's next record, if that isn't there and there is one.
func (m *merging) next(ctx context.Context, s *stream) error {
	for s.head == nil && !s.ended {
		r, ok, err := s.read(ctx)
		switch {
		case err != nil:
			return err
		case !ok:
			s.ended = true
			m.note(s)
			if s.silent != "" {
				return m.away(s.node.Name, s.silent)
			}
		case r.NodeStatus != nil && r.NodeStatus.Change == flow.NodeConnected:
			m.clocks[r.NodeName] = s.ahead
		case r.NodeStatus != nil:
			if err := m.take(r); err != nil {
				return err
			}
		case r.Flow != nil && r.Time.After(m.asked.Add(s.off())):
			// It began after the question: who was asked before has not seen it.
		default:
			s.head = &r
		}
	}
	return nil
}

func (m *merging) note(s *stream) {
	for line := range strings.Lines(s.said) {
		if line = strings.TrimSpace(line); line != "" && !slices.Contains(m.notes[line], s.node.Name) {
			m.notes[line] = append(m.notes[line], s.node.Name)
		}
	}
	s.said = ""
}

// say tells what nodes said beside their flows, once, and whose clocks differ.
func (m *merging) say(of int) {
	for text, nodes := range m.notes {
		slices.SortFunc(nodes, natural)
		who := strings.Join(nodes, ", ")
		if len(nodes) == of && of > 3 {
			who = "all nodes"
		}
		m.Note(who + ": " + text)
	}
	clear(m.notes)
	if len(m.clocks) < 2 || m.told {
		return
	}
	m.told = true
	var ahead []time.Duration
	for _, d := range m.clocks {
		ahead = append(ahead, d)
	}
	slices.Sort(ahead)
	middle := ahead[len(ahead)/2]
	for node, d := range m.clocks {
		if off := d - middle; off.Abs() > skew {
			m.Note(fmt.Sprintf("%s: its clock is %s off: its flows stand at another place, and may be told twice", node, off.Round(100*time.Millisecond)))
		}
	}
}

// from is something that a node said while it is followed.
type from struct {
	node   Node
	record flow.Record
	said   string
	why    string // it went away
	back   bool   // it is here again
}

// follow tells what comes, each a second later: so long it waits for what other nodes saw of it.
func (m *merging) follow(ctx context.Context, c *Cluster, nodes []Node) (Verdict, error) {
	news, quiet := make(chan from), map[string]bool{}
	for _, n := range nodes {
		quiet[n.Name] = true
		go func() { c.watch(ctx, n, m.Choice, news) }()
	}
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return Well, nil
		case x := <-news:
			delete(quiet, x.node.Name)
			switch {
			case x.why != "":
				err = m.away(x.node.Name, x.why)
			case x.back:
				err = m.Heard(flow.Connected(x.node.Name, time.Now()))
			case x.said != "":
				m.note(&stream{node: x.node, said: x.said})
			default:
				err = m.take(x.record)
			}
		case now := <-tick.C:
			m.say(len(nodes))
			if m.begun.IsZero() && (len(quiet) == 0 || now.Sub(m.asked) >= beginning) {
				m.begun = now
			}
			if m.begun.IsZero() {
				continue
			}
			err = m.settle(func(_, came time.Time) bool { return now.Sub(later(came, m.begun)) >= cmp.Or(m.Hold, held) })
		}
		if err != nil {
			return Unknown, err
		}
	}
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// Flow is the flow with an identifier, as the node saw it that gave it that.
func (c *Cluster) Flow(ctx context.Context, names []string, id string) (flow.Record, error) {
	var found *flow.Record
	var silent []string
	_, err := c.Flows(ctx, Flows{
		Nodes: names, Choice: &flow.Choice{Values: map[string]*[]string{"id": {id}}, All: true},
		Heard: func(r flow.Record) error {
			switch {
			case r.Flow != nil:
				found = &r
			case r.NodeStatus != nil:
				silent = append(silent, r.NodeStatus.Nodes...)
			}
			return nil
		},
	})
	if err != nil {
		return flow.Record{}, err
	}
	if found == nil {
		why := ""
		if len(silent) > 0 {
			why = "; no answer from " + strings.Join(silent, ", ")
		}
		return flow.Record{}, fmt.Errorf("no node keeps a flow %s: flows -o wide has identifiers%s", id, why)
	}
	return *found, nil
}

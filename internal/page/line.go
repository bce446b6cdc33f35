package page

import (
	"cmp"
	"time"

	"kube-router/internal/flow"
)

// End is one end of a flow.
type End struct {
	Kind      string `json:"kind"` // pod, node, world
	Namespace string `json:"namespace,omitempty"`
	Pod       string `json:"pod,omitempty"`
	Workload  string `json:"workload,omitempty"`     // its name
	Made      string `json:"workloadKind,omitempty"` // such as Deployment
	Node      string `json:"node,omitempty"`         // that it is
	Address   string `json:"address"`
	Port      uint16 `json:"port,omitempty"`
}

// Line is a flow as the page lists it.
type Line struct {
	ID        uint64    `json:"id"`
	Time      time.Time `json:"time"`
	Verdict   string    `json:"verdict"` // forwarded; sent: only the client's node told of it; refused: its sender was told; dropped: he was not
	Protocol  string    `json:"protocol"`
	Source    End       `json:"source"`
	Dest      End       `json:"destination"`
	Service   string    `json:"service,omitempty"`  // NAMESPACE/NAME that the client sent to
	Frontend  string    `json:"frontend,omitempty"` // ADDRESS:PORT of it
	Seen      string    `json:"clientAsSeen,omitempty"`
	Direction string    `json:"direction,omitempty"` // in which it ended: ingress, egress
	Reason    string    `json:"reason,omitempty"`
	Policies  []Policy  `json:"policies,omitempty"` // that ended it
	Tier      string    `json:"tier,omitempty"`
	Rule      string    `json:"rule,omitempty"`
	Times     uint64    `json:"times,omitempty"`
	Bytes     uint64    `json:"bytes,omitempty"` // both ways, once it has ended
	Nodes     []string  `json:"nodes"`           // who told of it
	Text      string    `json:"text"`            // as `kube-router flows` prints it
}

// Policy names a policy.
type Policy struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
}

// The verdicts of a Line.
const (
	forwarded = "forwarded"
	sent      = "sent"
	refused   = "refused"
	dropped   = "dropped"
)

// lineOf makes the line of a record that has a flow.
func lineOf(r flow.Record) Line {
	b, own := r.Flow, r.Own
	if own == nil {
		own = &flow.Own{}
	}
	l := Line{Time: b.Time, Verdict: forwarded, Source: endOf(b.Source, b.IP.Source, own.SourceNode), Dest: endOf(b.Destination, b.IP.Destination, own.DestNode),
		Frontend: own.Frontend, Seen: own.Seen, Reason: own.Reason, Tier: own.Tier, Rule: own.Rule, Times: own.Times, Bytes: own.BytesOut + own.BytesIn,
		Nodes: nodesOf(r), Text: r.Line(false)}
	l.Protocol, l.Source.Port, l.Dest.Port = portsOf(b.L4)
	if b.Service != nil {
		l.Service = b.Service.Namespace + "/" + b.Service.Name
	}
	if b.Verdict != flow.Forwarded {
		if l.Verdict = refused; own.Silent {
			l.Verdict = dropped
		}
		l.Reason = cmp.Or(l.Reason, b.Reason)
	}
	by := b.IngressBy
	if l.Direction = "ingress"; len(b.EgressBy) > 0 {
		by, l.Direction = b.EgressBy, "egress"
	}
	for _, p := range by {
		l.Policies = append(l.Policies, Policy{p.Kind, p.Namespace, p.Name})
	}
	if len(by) == 0 {
		l.Direction = ""
	}
	if half(r, &l) {
		l.Verdict = sent
	}
	return l
}

func endOf(e flow.End, address, node string) End {
	out := End{Kind: "world", Namespace: e.Namespace, Pod: e.Pod, Node: node, Address: address}
	switch {
	case e.Pod != "":
		out.Kind = "pod"
	case node != "":
		out.Kind = "node"
	}
	if len(e.Workloads) > 0 {
		out.Workload, out.Made = e.Workloads[0].Name, e.Workloads[0].Kind
	}
	return out
}

func portsOf(l *flow.L4) (protocol string, from, to uint16) {
	switch {
	case l == nil:
		return "IP", 0, 0
	case l.TCP != nil:
		return "TCP", l.TCP.Source, l.TCP.Destination
	case l.UDP != nil:
		return "UDP", l.UDP.Source, l.UDP.Destination
	case l.SCTP != nil:
		return "SCTP", l.SCTP.Source, l.SCTP.Destination
	case l.ICMPv6 != nil:
		return "ICMPv6", 0, 0
	}
	return "ICMP", 0, 0
}

// ended tells whether a rule ended it.
func (l *Line) ended() bool { return l.Verdict == refused || l.Verdict == dropped }

// nodesOf are the nodes that told of a flow.
func nodesOf(r flow.Record) []string {
	if r.Own != nil && len(r.Own.SeenBy) > 0 {
		return r.Own.SeenBy
	}
	return []string{r.NodeName}
}

// half tells that only the client's node told of what another node decides.
func half(r flow.Record, l *Line) bool {
	return len(l.Nodes) == 1 && r.Flow.Direction != "INGRESS" && l.Verdict == forwarded && l.Dest.Kind != "world"
}

// old is when a flow is one that nodes remember, and none that came while somebody looked.
const old = 5 * time.Second

// misleading tells of a remembered connection between nodes of which only the end is there: nodes remember different stretches of time, and without the
// client's part it would look as if no Service had been asked. What was ended is told all the same.
func misleading(r flow.Record, l *Line, now time.Time) bool {
	return len(l.Nodes) == 1 && r.Flow.Direction == "INGRESS" && l.Verdict == forwarded && l.Frontend == "" && l.Seen == "" && l.Source.Kind != "world" && now.Sub(l.Time) > old
}

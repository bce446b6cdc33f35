package flow

import (
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"time"
)

// Record is a line of JSON: Hubble's ExportEvent with the fields that we know, and a key of our own beside them. Fields keep their names,
// types and meaning.
type Record struct {
	Flow       *Body       `json:"flow,omitempty"`
	Lost       *LostEvents `json:"lost_events,omitempty"`
	NodeStatus *NodeStatus `json:"node_status,omitempty"`
	Own        *Own        `json:"kube_router,omitempty"`
	NodeName   string      `json:"node_name"`
	Time       time.Time   `json:"time"`
}

// Body is Hubble's Flow, as far as we know it.
type Body struct {
	Time        time.Time `json:"time"`
	UUID        string    `json:"uuid"`
	Verdict     string    `json:"verdict"` // FORWARDED or DROPPED
	Reason      string    `json:"drop_reason_desc,omitempty"`
	IP          IP        `json:"IP"`
	L4          *L4       `json:"l4,omitempty"`
	Source      End       `json:"source"`
	Destination End       `json:"destination"`
	Type        string    `json:"Type"` // L3_L4
	NodeName    string    `json:"node_name"`
	EventType   EventType `json:"event_type"`
	Service     *Name     `json:"destination_service,omitempty"`
	Direction   string    `json:"traffic_direction"` // INGRESS, EGRESS or TRAFFIC_DIRECTION_UNKNOWN
	IsReply     bool      `json:"is_reply"`
	EgressBy    []Denier  `json:"egress_denied_by,omitempty"`
	IngressBy   []Denier  `json:"ingress_denied_by,omitempty"`
}

// IP are the addresses of a flow's ends.
type IP struct {
	Source      string `json:"source"`
	Destination string `json:"destination"`
	Version     string `json:"ipVersion"` // IPv4 or IPv6
}

// L4 is the protocol with its ports; one of the fields is there.
type L4 struct {
	TCP    *Ports `json:"TCP,omitempty"`
	UDP    *Ports `json:"UDP,omitempty"`
	SCTP   *Ports `json:"SCTP,omitempty"`
	ICMPv4 *ICMP  `json:"ICMPv4,omitempty"`
	ICMPv6 *ICMP  `json:"ICMPv6,omitempty"`
}

// Ports are those of a flow's ends.
type Ports struct {
	Source      uint16    `json:"source_port"`
	Destination uint16    `json:"destination_port"`
	Flags       *TCPFlags `json:"flags,omitempty"`
}

// TCPFlags are those of a packet that was ended.
type TCPFlags struct {
	FIN bool `json:"FIN,omitempty"`
	SYN bool `json:"SYN,omitempty"`
	RST bool `json:"RST,omitempty"`
	ACK bool `json:"ACK,omitempty"`
}

// ICMP is what a message is.
type ICMP struct {
	Type uint8 `json:"type"`
	Code uint8 `json:"code"`
}

// End is Hubble's Endpoint.
type End struct {
	Identity  uint32     `json:"identity,omitempty"` // 1 this node, 2 outside of the cluster, 6 another node
	Namespace string     `json:"namespace,omitempty"`
	Labels    []string   `json:"labels,omitempty"`
	Pod       string     `json:"pod_name,omitempty"`
	Workloads []Workload `json:"workloads,omitempty"`
}

// Workload is what made a pod.
type Workload struct {
	Name string `json:"name"`
	Kind string `json:"kind"`
}

// EventType is Hubble's number of what was seen: 1 a drop, 4 a connection.
type EventType struct {
	Type int `json:"type"`
}

// Name names an object.
type Name struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace,omitempty"`
}

// Denier is a policy that ended a flow, or of several that isolate a pod one.
type Denier struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace,omitempty"`
	Kind      string `json:"kind"`
}

// LostEvents is a number of events that are missing.
type LostEvents struct {
	Source string `json:"source"` // PERF_EVENT_RING_BUFFER: the kernel's queue; OBSERVER_EVENTS_QUEUE: a limit of ours; HUBBLE_RING_BUFFER: the ring
	Number uint64 `json:"num_events_lost,string"`
}

// NodeStatus tells of nodes that don't answer.
type NodeStatus struct {
	Change string   `json:"state_change"` // NODE_CONNECTED or NODE_UNAVAILABLE
	Nodes  []string `json:"node_names"`
	Why    string   `json:"message,omitempty"`
}

// Own is what Hubble has no field for. Numbers of 64 bits are text, as in Hubble's JSON.
type Own struct {
	Reason     string     `json:"reason,omitempty"` // why it ended, in words
	Silent     bool       `json:"silent,omitempty"` // it was dropped; otherwise its sender was told
	Tier       string     `json:"tier,omitempty"`
	Rule       string     `json:"rule,omitempty"`
	Times      uint64     `json:"times,string,omitempty"`
	Frontend   string     `json:"frontend,omitempty"` // ADDRESS:PORT that the client sent to
	Port       string     `json:"service_port_name,omitempty"`
	Seen       string     `json:"client_as_seen,omitempty"` // ADDRESS:PORT of the client as the server sees it, where that is another
	Ended      *time.Time `json:"ended,omitempty"`
	PacketsOut uint64     `json:"packets_out,string,omitempty"` // from the client, once it has ended
	BytesOut   uint64     `json:"bytes_out,string,omitempty"`
	PacketsIn  uint64     `json:"packets_in,string,omitempty"`
	BytesIn    uint64     `json:"bytes_in,string,omitempty"`
	SourceNode string     `json:"source_node,omitempty"` // whose address the source is
	DestNode   string     `json:"destination_node,omitempty"`
	Gateway    string     `json:"egress_gateway,omitempty"` // by which it leaves the cluster, or should have
	LeavesAs   string     `json:"egress_address,omitempty"` // the address from which it does
	SeenBy     []string   `json:"seen_by,omitempty"`        // the nodes whose parts this was put together of, where they are several
}

// States of a node that is asked, as Hubble calls them.
const (
	NodeConnected   = "NODE_CONNECTED"
	NodeUnavailable = "NODE_UNAVAILABLE"
)

// Connected is the record that says that a node answers.
func Connected(node string, now time.Time) Record {
	return Record{NodeStatus: &NodeStatus{Change: NodeConnected, Nodes: []string{node}}, NodeName: node, Time: now}
}

// Unavailable is the record that says that a node gives no answer, and why.
func Unavailable(node, why string, now time.Time) Record {
	return Record{NodeStatus: &NodeStatus{NodeUnavailable, []string{node}, why}, NodeName: node, Time: now}
}

func lossNames() []string {
	return []string{"UNKNOWN_LOST_EVENT_SOURCE", "PERF_EVENT_RING_BUFFER", "OBSERVER_EVENTS_QUEUE", "HUBBLE_RING_BUFFER"}
}

func directionNames() []string { return []string{"TRAFFIC_DIRECTION_UNKNOWN", "INGRESS", "EGRESS"} }

// verdicts, as Hubble calls them.
const (
	Forwarded = "FORWARDED"
	Dropped   = "DROPPED"
)

// Verdict is FORWARDED or DROPPED.
func (f *Flow) Verdict() string {
	if f.Reason == Passed {
		return Forwarded
	}
	return Dropped
}

// Record makes the line of a flow that a node saw.
func (f *Flow) Record(node string) Record {
	r := Record{NodeName: node, Time: f.Time}
	if f.Lost > 0 {
		r.Lost = &LostEvents{lossNames()[f.Loss], f.Lost}
		return r
	}
	b := &Body{
		Time: f.Time, UUID: f.uuid(), Verdict: f.Verdict(), Type: "L3_L4", NodeName: node, EventType: EventType{4},
		IP:     IP{f.Src.Addr().String(), f.Dst.Addr().String(), "IPv4"},
		Source: f.Source.end(), Destination: f.Dest.end(), L4: f.l4(),
		Direction: directionNames()[f.Direction],
	}
	if f.Src.Addr().Is6() {
		b.IP.Version = "IPv6"
	}
	if f.Reason != Passed {
		b.Reason, b.EventType.Type = words()[f.Reason].hubble, 1
	}
	for _, p := range f.Policies {
		d := Denier{p.Name, p.Namespace, p.Kind}
		if f.Direction == Egress {
			b.EgressBy = append(b.EgressBy, d)
		} else {
			b.IngressBy = append(b.IngressBy, d)
		}
	}
	if f.Service != nil {
		b.Service = &Name{f.Service.Name, f.Service.Namespace}
	}
	r.Flow, r.Own = b, f.own()
	return r
}

func (f *Flow) own() *Own {
	o := &Own{Reason: f.Reason.String(), Silent: f.Reason.Silent(), Tier: f.Tier, Rule: f.Rule, Times: f.Times,
		PacketsOut: f.Out.Packets, BytesOut: f.Out.Bytes, PacketsIn: f.In.Packets, BytesIn: f.In.Bytes,
		SourceNode: f.Source.Node, DestNode: f.Dest.Node}
	if f.Front.IsValid() {
		o.Frontend = f.Front.String()
	}
	if f.Service != nil {
		o.Port = f.Service.Port
	}
	if f.Seen.IsValid() && f.Seen != f.Src {
		o.Seen = f.Seen.String()
	}
	if f.Gateway != nil {
		o.Gateway = f.Gateway.Name
		if f.Gateway.Addr.IsValid() {
			o.LeavesAs = f.Gateway.Addr.String()
		}
	}
	if !f.Ended.IsZero() {
		o.Ended = &f.Ended
	}
	return o
}

func (f *Flow) l4() *L4 {
	p := &Ports{Source: f.Src.Port(), Destination: f.Dst.Port()}
	switch f.Protocol {
	case 6:
		if f.Flags != 0 {
			p.Flags = &TCPFlags{f.Flags&1 != 0, f.Flags&2 != 0, f.Flags&4 != 0, f.Flags&16 != 0}
		}
		return &L4{TCP: p}
	case 17:
		return &L4{UDP: p}
	case 132:
		return &L4{SCTP: p}
	case 1:
		return &L4{ICMPv4: &ICMP{f.ICMPType, f.ICMPCode}}
	case 58:
		return &L4{ICMPv6: &ICMP{f.ICMPType, f.ICMPCode}}
	}
	return nil
}

func (o *Owner) end() End {
	switch {
	case o.Pod != "":
		e := End{Namespace: o.Namespace, Pod: o.Pod, Labels: []string{"k8s:io.kubernetes.pod.namespace=" + o.Namespace}}
		for _, key := range slices.Sorted(maps.Keys(o.Labels)) {
			e.Labels = append(e.Labels, "k8s:"+key+"="+o.Labels[key])
		}
		if o.Workload != "" {
			e.Workloads = []Workload{{o.Workload, o.Kind}}
		}
		return e
	case o.Node != "" && o.Here:
		return End{Identity: 1, Labels: []string{"reserved:host"}}
	case o.Node != "":
		return End{Identity: 6, Labels: []string{"reserved:remote-node"}}
	}
	return End{Identity: 2, Labels: []string{"reserved:world"}}
}

// protocolName is "TCP", or the number of a protocol without ports.
func (b *Body) protocolName() (name string, source, destination string) {
	var p *Ports
	switch l := b.L4; {
	case l == nil:
		return "IP", "", ""
	case l.TCP != nil:
		name, p = "TCP", l.TCP
	case l.UDP != nil:
		name, p = "UDP", l.UDP
	case l.SCTP != nil:
		name, p = "SCTP", l.SCTP
	case l.ICMPv4 != nil:
		return "ICMPv4", "", ""
	default:
		return "ICMPv6", "", ""
	}
	return name, strconv.Itoa(int(p.Source)), strconv.Itoa(int(p.Destination))
}

// at is an end in words: a pod by its name, anything else by its address.
func (b *Body) at(e End, address, port, node string) string {
	text, note := address, ""
	a, err := netip.ParseAddr(address)
	if err == nil && a.Is6() && port != "" {
		text = "[" + address + "]"
	}
	switch {
	case e.Pod != "":
		text = e.Namespace + "/" + e.Pod
	case node != "":
		note = " (node " + node + ")"
	default:
		note = " (world)"
	}
	if port != "" {
		text += ":" + port
	}
	return text + note
}

package cluster

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Sight is a cluster as a page shows it: what it has is for programs, and nothing in it changes the cluster.
type Sight struct{ *Cluster }

// Seen is one view of all nodes.
type Seen[T any] struct {
	Items  []T      `json:"items"`
	Silent []string `json:"silent,omitempty"` // nodes that gave no answer, each with why
	Notes  []string `json:"notes,omitempty"`
}

// View is one of the page's views: nodes, peers, services, policies, pools, gateways, encryption.
func (s Sight) View(ctx context.Context, name string) (any, error) {
	nodes, err := s.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	switch name {
	case "nodes":
		return s.nodesSeen(ctx, nodes), nil
	case "peers":
		list, silent := s.peers(ctx, nodes, nodes)
		return Seen[NodePeer]{Items: listOf("", list).Items, Silent: silent}, nil
	case "services":
		return s.servicesSeen(ctx, nodes)
	case "policies":
		return s.policiesSeen(ctx, nodes), nil
	case "pools":
		return s.customSeen(ctx, "addresspools")
	case "gateways":
		return s.customSeen(ctx, "egressgateways")
	case "encryption":
		return s.encryptionSeen(ctx, nodes), nil
	}
	return nil, fmt.Errorf("no view %q", name)
}

// Why is what `kubectl kuberouter why FROM TO PORT` prints.
func (s Sight) Why(ctx context.Context, from, to, port string) (string, error) {
	var out bytes.Buffer
	_, err := s.Cluster.View(ctx, nil, false, "why", []string{from, to, port}, &out, "text")
	return out.String(), err
}

// NodeSeen is a node with its state and what the API says of it.
type NodeSeen struct {
	NodeStatus
	Ready     bool     `json:"ready"` // as the API server has it
	Addresses []string `json:"addresses,omitempty"`
	Ranges    []string `json:"ranges,omitempty"` // of its pods
	Pod       string   `json:"pod,omitempty"`    // the daemon's
}

func (s Sight) nodesSeen(ctx context.Context, nodes []Node) Seen[NodeSeen] {
	var statuses []NodeStatus
	seen := Seen[NodeSeen]{Items: []NodeSeen{}}
	for _, a := range s.AskAll(ctx, nodes, "show", "-o", "json") {
		status := statusOf(a)
		one := NodeSeen{NodeStatus: status, Ready: a.Node.ready()}
		if a.Node.Pod != nil {
			one.Pod = a.Node.Pod.Name
		}
		if o := a.Node.Object; o != nil {
			one.Ranges = podRanges(o)
			for _, at := range o.Status.Addresses {
				if at.Type == corev1.NodeInternalIP {
					one.Addresses = append(one.Addresses, at.Address)
				}
			}
		}
		statuses, seen.Items = append(statuses, status), append(seen.Items, one)
	}
	slices.SortStableFunc(seen.Items, func(a, b NodeSeen) int { return cmp.Compare(urgency(a.NodeStatus), urgency(b.NodeStatus)) })
	seen.Notes = append(oddities(nodes, statuses), closing(statuses))
	return seen
}

// into reads what a node printed as JSON; not ok: silent says why.
func (a Answer) into(v any) (silent string, ok bool) {
	switch {
	case a.Silent != "":
		return a.Node.Name + ": " + a.Silent, false
	case a.Code != 0:
		return a.Node.Name + ": " + cmp.Or(strings.TrimPrefix(a.Said, "kube-router: "), fmt.Sprintf("its program ends with code %d", a.Code)), false
	case json.Unmarshal(a.Out, v) != nil:
		return a.Node.Name + ": its answer can't be read", false
	}
	return "", true
}

// ServiceSeen is a Service with its frontends.
type ServiceSeen struct {
	Namespace string      `json:"namespace"`
	Name      string      `json:"name"`
	Fronts    []FrontSeen `json:"frontends"`
	Ready     int         `json:"endpoints"` // different pods or addresses that answer
}

// FrontSeen is an address and port of a Service with who answers there.
type FrontSeen struct {
	Address  string   `json:"address"` // ADDRESS:PORT/PROTOCOL
	Kind     string   `json:"kind"`    // cluster, node, balancer, external
	Port     string   `json:"port,omitempty"`
	Backends []string `json:"backends"` // "10.244.1.5:8080 (shop/web-1)"
	Note     string   `json:"note,omitempty"`
}

// front is one line of what `kube-router show services -o json` says.
type front struct {
	Addr            netip.Addr
	Port            uint16
	Protocol        int
	Kind            int
	Owner, PortName string
	Backends        []struct {
		Addr netip.Addr
		Port uint16
		Pod  string
	}
	Silent, Far, DSR bool
}

// kinds are the daemon's sorts of frontend in their order.
func kinds() []string { return []string{"cluster", "node", "balancer", "external"} }

// servicesSeen asks the first node that answers: all of them carry all Services.
func (s Sight) servicesSeen(ctx context.Context, nodes []Node) (Seen[ServiceSeen], error) {
	var out bytes.Buffer
	if v, err := s.first(ctx, nodes, []string{"show", "-o", "json", "--", "services"}, &out); err != nil || v != Well {
		return Seen[ServiceSeen]{}, cmp.Or(err, errors.New(strings.TrimSpace(out.String())))
	}
	var fronts []front
	if err := json.Unmarshal(out.Bytes(), &fronts); err != nil {
		return Seen[ServiceSeen]{}, fmt.Errorf("Services of a node: %w", err)
	}
	by := map[string]*ServiceSeen{}
	ready := map[string]map[string]bool{}
	for _, f := range fronts {
		o := by[f.Owner]
		if o == nil {
			namespace, name, _ := strings.Cut(f.Owner, "/")
			o = &ServiceSeen{Namespace: namespace, Name: name}
			by[f.Owner], ready[f.Owner] = o, map[string]bool{}
		}
		o.Fronts = append(o.Fronts, f.seen(ready[f.Owner]))
	}
	seen := Seen[ServiceSeen]{Items: []ServiceSeen{}}
	for owner, o := range by {
		o.Ready = len(ready[owner])
		seen.Items = append(seen.Items, *o)
	}
	slices.SortFunc(seen.Items, func(a, b ServiceSeen) int {
		return cmp.Or(cmp.Compare(min(a.Ready, 1), min(b.Ready, 1)), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return seen, nil
}

func (f front) seen(ready map[string]bool) FrontSeen {
	protocol := map[int]string{6: "TCP", 17: "UDP", 132: "SCTP"}[f.Protocol]
	one := FrontSeen{Address: netip.AddrPortFrom(f.Addr, f.Port).String() + "/" + cmp.Or(protocol, fmt.Sprint(f.Protocol)), Kind: "other", Port: f.PortName, Backends: []string{}}
	if f.Kind < len(kinds()) {
		one.Kind = kinds()[f.Kind]
	}
	for _, b := range f.Backends {
		text := netip.AddrPortFrom(b.Addr, b.Port).String()
		if b.Pod != "" {
			text += " (" + b.Pod + ")"
		}
		ready[cmp.Or(b.Pod, text)] = true
		one.Backends = append(one.Backends, text)
	}
	switch {
	case f.Silent:
		one.Note = "none on the node that was asked: its clients are dropped there (traffic policy Local)"
	case len(f.Backends) == 0:
		one.Note = "no endpoint: clients are refused"
	case f.Far:
		one.Note = "clients from outside get endpoints of the node alone (traffic policy Local)"
	}
	return one
}

// WireSeen is how a node reaches another one.
type WireSeen struct {
	From      string `json:"from"`
	To        string `json:"to"`
	State     string `json:"state"`
	Endpoint  string `json:"endpoint,omitempty"`
	Handshake string `json:"handshake,omitempty"` // RFC 3339
	Received  int64  `json:"received"`
	Sent      int64  `json:"sent"`
}

func (s Sight) encryptionSeen(ctx context.Context, nodes []Node) Seen[WireSeen] {
	seen := Seen[WireSeen]{Items: []WireSeen{}}
	for _, a := range s.AskAll(ctx, nodes, "show", "encryption", "-o", "json") {
		var list []struct {
			Node, State, Endpoint, Handshake string
			Received, Sent                   int64
		}
		silent, ok := a.into(&list)
		if !ok {
			seen.Silent = append(seen.Silent, silent)
		}
		for _, w := range list {
			if strings.HasPrefix(w.Handshake, "0001-") {
				w.Handshake = ""
			}
			seen.Items = append(seen.Items, WireSeen{a.Node.Name, w.Node, w.State, w.Endpoint, w.Handshake, w.Received, w.Sent})
		}
	}
	if len(seen.Items) == 0 && len(seen.Silent) == 0 {
		seen.Notes = []string{"encryption is off on every node (--encryption)"}
	}
	return seen
}

// CustomSeen is an object of the project's own kinds.
type CustomSeen struct {
	Metadata struct {
		Name string `json:"name"`
	} `json:"metadata"`
	Spec   any `json:"spec"`
	Status any `json:"status,omitempty"`
}

// customSeen reads the objects of one of our own kinds. A cluster without the kind has none of them.
func (s Sight) customSeen(ctx context.Context, resource string) (Seen[CustomSeen], error) {
	ctx, cancel := context.WithTimeout(ctx, listing)
	defer cancel()
	seen := Seen[CustomSeen]{Items: []CustomSeen{}}
	raw, err := s.core().Get().AbsPath("/apis/kube-router.io/v1alpha1/"+resource).Param("limit", fmt.Sprint(most)).DoRaw(ctx)
	if isNoKind(err) {
		seen.Notes = []string{"this cluster has no kind " + resource + ".kube-router.io"}
		return seen, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, &seen)
	}
	if err != nil {
		return seen, fmt.Errorf("list %s: %w", resource, err)
	}
	return seen, nil
}

package model

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// ServiceType is spec.type of a Service.
type ServiceType string

// The Service types.
const (
	ClusterIP    ServiceType = "ClusterIP"
	NodePort     ServiceType = "NodePort"
	LoadBalancer ServiceType = "LoadBalancer"
	ExternalName ServiceType = "ExternalName"
)

// TrafficPolicy is spec.internalTrafficPolicy or spec.externalTrafficPolicy.
type TrafficPolicy string

// The traffic policies.
const (
	Cluster TrafficPolicy = "Cluster"
	Local   TrafficPolicy = "Local"
)

// Service is a Kubernetes Service (core/v1) as far as the network is concerned.
type Service struct {
	Name         Name
	UID          string
	Labels       map[string]string // metadata.labels, by which pools and announcements select
	Created      time.Time         // metadata.creationTimestamp, to the second; of two the older one keeps what both want
	Selector     map[string]string // spec.selector; empty: somebody else writes its endpoints
	Type         ServiceType
	AnotherProxy bool         // label service.kubernetes.io/service-proxy-name leaves it to another program
	Headless     bool         // clusterIP None or label service.kubernetes.io/headless
	ClusterIPs   []netip.Addr // unmapped; at most one per family
	ExternalIPs  []netip.Addr
	Ingress      []Ingress     // status.loadBalancer.ingress
	Class        string        // spec.loadBalancerClass
	Requested    []netip.Addr  // spec.loadBalancerIP and the annotation for requested addresses
	Pool         string        // annotation: the AddressPool to have addresses of; empty: any
	SharingKey   string        // annotation: Services of one key may share an address on different ports
	Families     []Family      // spec.ipFamilies
	DualStack    string        // spec.ipFamilyPolicy: SingleStack, PreferDualStack, RequireDualStack
	Ports        []ServicePort // in the order of the spec
	Internal     TrafficPolicy
	External     TrafficPolicy
	HealthPort   Port           // spec.healthCheckNodePort, 0: none
	Affinity     time.Duration  // ClientIP session affinity with this timeout; 0: none
	Sources      []netip.Prefix // spec.loadBalancerSourceRanges; empty: everybody
	Options      ServiceOptions
	Remarks      []Remark // what the conversion could not take over
}

// ServicePort is one element of spec.ports.
type ServicePort struct {
	Name     string
	Protocol Protocol
	Port     Port
	NodePort Port // 0: none
}

// Ingress is one element of status.loadBalancer.ingress.
type Ingress struct {
	Addr  netip.Addr
	Proxy bool // ipMode Proxy (KEP-1860): the balancer forwards by itself; the address is not ours to serve
}

// ServiceOptions are the kube-router.io/service.* annotations, parsed.
type ServiceOptions struct {
	DSR                                              bool     // service.dsr=tunnel
	Scheduler                                        string   // service.scheduler as IPVS names it, one of Schedulers; empty: the default
	SchedulerFlags                                   []string // service.schedflags: flag-1, flag-2, flag-3
	Hairpin                                          bool     // service.hairpin
	HairpinExternal                                  bool     // service.hairpin.externalips
	Local                                            bool     // service.local=true: external traffic policy Local
	SkipLBIPs                                        bool     // service.skiplbips
	AdvertiseCluster, AdvertiseExternal, AdvertiseLB *bool    // service.advertise.*; nil: the flag decides
}

// Schedulers are the schedulers of IPVS by their names (Linux net/netfilter/ipvs).
func Schedulers() []string {
	return []string{"rr", "wrr", "lc", "wlc", "lblc", "lblcr", "sed", "nq", "fo", "ovf", "twos", "dh", "sh", "mh"}
}

// Older orders Services by who was there first: by Created, then by namespace and name. One without a time is the
// oldest: the API server gives one to each, so it is a test's or a file's.
func (s *Service) Older(o *Service) int {
	return cmp.Or(s.Created.Compare(o.Created), s.Name.Compare(o.Name))
}

// Addrs are all addresses that a Service names, permitted or not: its cluster addresses, those of its status and its
// external ones. An address may be in the list twice.
func (s *Service) Addrs() []netip.Addr {
	list := slices.Concat(s.ClusterIPs, s.ExternalIPs)
	for _, in := range s.Ingress {
		if in.Addr.IsValid() {
			list = append(list, in.Addr)
		}
	}
	return list
}

// Ref names the Service.
func (s *Service) Ref() Ref { return Ref{KindService, s.Name} }

// Slice is an EndpointSlice (discovery.k8s.io/v1).
type Slice struct {
	Name      Name
	Service   Name // from label kubernetes.io/service-name; empty Name: belongs to no Service
	Family    Family
	Ports     []SlicePort
	Endpoints []Endpoint
	Trigger   time.Time // annotation endpoints.kubernetes.io/last-change-trigger-time; zero: unknown
	Remarks   []Remark
}

// SlicePort is one port of a slice; it belongs to the ServicePort of the same name.
type SlicePort struct {
	Name     string
	Protocol Protocol
	Port     Port
}

// Endpoint is one endpoint of a slice. Conditions left unset are true for Ready and Serving and false
// for Terminating, as the API says; the conversion has applied that.
type Endpoint struct {
	Addrs                       []netip.Addr
	Ready, Serving, Terminating bool
	Node, Zone                  string
	Hints                       *Hints // topology hints; nil: there are none
	Pod                         Name   // targetRef, when it is a Pod
}

// Hints say for whom an endpoint is meant; an empty list: for everybody.
type Hints struct{ ForZones, ForNodes []string }

// For are the zones and the nodes that an endpoint is meant for; empty: all.
func (e *Endpoint) For() (zones, nodes []string) {
	if e.Hints == nil {
		return nil, nil
	}
	return e.Hints.ForZones, e.Hints.ForNodes
}

// Ref names the EndpointSlice.
func (s *Slice) Ref() Ref { return Ref{KindSlice, s.Name} }

package kubestatus

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"

	"kube-router/internal/row"
)

// Ingress is the table of status.loadBalancer.ingress of all Services. Only the leader may run a lane on
// it: any other node wants nothing and would take the leader's addresses away.
type Ingress struct {
	api     rest.Interface
	ranges  []netip.Prefix
	handles func(class string) bool
}

// NewIngress makes the table. The addresses of a Service whose class we handle are ours, within the ranges or of former
// ones; what a balancer that forwards by itself has there (ipMode Proxy) and host names are left alone.
func NewIngress(c *rest.Config, ranges []netip.Prefix, handles func(class string) bool) (*Ingress, error) {
	api, err := client(c, "/api", corev1.SchemeGroupVersion)
	return &Ingress{api: api, ranges: ranges, handles: handles}, err
}

// Dump reads the Services that have addresses of ours.
func (t *Ingress) Dump(ctx context.Context) (map[row.KubeName]row.KubeIngress, error) {
	var list corev1.ServiceList
	if err := t.api.Get().Resource("services").Do(ctx).Into(&list); err != nil {
		return nil, fmt.Errorf("list services: %w", err)
	}
	rows := map[row.KubeName]row.KubeIngress{}
	for _, s := range list.Items {
		if t.anothers(&s) {
			continue
		}
		r := row.KubeIngress{Service: row.KubeName{Namespace: s.Namespace, Name: s.Name}}
		t.read(&r, &s)
		if len(r.Addrs()) > 0 || r.Stale != "" {
			rows[r.Service] = r
		}
	}
	return rows, nil
}

// read takes over the addresses of a Service: of each family the first within the ranges, and all others as stale.
func (t *Ingress) read(r *row.KubeIngress, s *corev1.Service) {
	var stale []string
	for _, in := range s.Status.LoadBalancer.Ingress {
		a, ours := t.ours(in)
		if !ours {
			continue
		}
		of := &r.V6
		if a.Is4() {
			of = &r.V4
		}
		if t.given(a) && !of.IsValid() {
			*of = a
		} else {
			stale = append(stale, a.String())
		}
	}
	r.Stale = strings.Join(stale, ",")
}

// Apply writes Services one by one; host names and what forwards by itself stay.
func (t *Ingress) Apply(ctx context.Context, changes []row.Change[row.KubeName, row.KubeIngress]) error {
	failed := row.Failed[row.KubeName]{}
	for _, c := range changes {
		var want []netip.Addr
		if c.New != nil {
			want = c.New.Addrs()
		}
		err := t.set(ctx, c.Key, want)
		if err != nil && !(c.New == nil && apierrors.IsNotFound(err)) {
			failed[c.Key] = err
		}
	}
	if len(failed) > 0 {
		return failed
	}
	return nil
}

// set reads, changes and replaces the status. When somebody else writes in between, the API server
// refuses (409) and the lane comes again. It needs no more rights than kube-router's manifests give:
// get of services and update of services/status.
func (t *Ingress) set(ctx context.Context, n row.KubeName, want []netip.Addr) error {
	var s corev1.Service
	if err := t.api.Get().Namespace(n.Namespace).Resource("services").Name(n.Name).Do(ctx).Into(&s); err != nil {
		return fmt.Errorf("get service %s: %w", n, err)
	}
	if len(want) == 0 && t.anothers(&s) {
		return nil
	}
	old := s.Status.LoadBalancer.Ingress
	list := slices.DeleteFunc(slices.Clone(old), func(in corev1.LoadBalancerIngress) bool {
		_, ours := t.ours(in)
		return ours
	})
	for _, a := range want {
		same := func(in corev1.LoadBalancerIngress) bool { return in.IP == a.String() }
		if i := slices.IndexFunc(old, same); i >= 0 {
			list = append(list, old[i]) // with the ports and mode that it has
		} else {
			list = append(list, corev1.LoadBalancerIngress{IP: a.String()})
		}
	}
	s.Status.LoadBalancer.Ingress = list
	err := t.api.Put().Namespace(n.Namespace).Resource("services").Name(n.Name).SubResource("status").Body(&s).Do(ctx).Error()
	if err != nil {
		return fmt.Errorf("update status of service %s: %w", n, err)
	}
	return nil
}

// anothers tells whether somebody else gives the Service its addresses.
func (t *Ingress) anothers(s *corev1.Service) bool {
	var class string
	if c := s.Spec.LoadBalancerClass; c != nil {
		class = *c
	}
	return s.Spec.Type == corev1.ServiceTypeLoadBalancer && !t.handles(class)
}

// ours tells whether an entry is an address that we may have written.
func (t *Ingress) ours(in corev1.LoadBalancerIngress) (netip.Addr, bool) {
	a, err := netip.ParseAddr(in.IP)
	proxy := in.IPMode != nil && *in.IPMode != corev1.LoadBalancerIPModeVIP
	return a.Unmap(), err == nil && !proxy
}

// given tells whether an address is one that we give now.
func (t *Ingress) given(a netip.Addr) bool {
	return slices.ContainsFunc(t.ranges, func(p netip.Prefix) bool { return p.Contains(a) })
}

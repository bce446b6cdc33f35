package kubestatus

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"

	"kube-router/internal/row"
)

// Ingress is the table of status.loadBalancer.ingress of all Services. Only the leader may run a lane on
// it: any other node wants nothing and would take the leader's addresses away.
type Ingress struct {
	api     rest.Interface
	handles func(class string) bool

	mu   sync.Mutex
	held map[row.KubeName]row.KubeIngress // as last read or written
	at   map[netip.Addr]map[row.KubeName]bool
}

// NewIngress makes the table. The addresses of a Service whose class we handle are ours; what a balancer that forwards by itself has there (ipMode Proxy) and host names are left alone.
func NewIngress(c *rest.Config, handles func(class string) bool) (*Ingress, error) {
	api, err := client(c, "/api", corev1.SchemeGroupVersion)
	return &Ingress{api: api, handles: handles, held: map[row.KubeName]row.KubeIngress{}, at: map[netip.Addr]map[row.KubeName]bool{}}, err
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
		r := row.KubeIngress{Service: row.KubeName{Namespace: s.Namespace, Name: s.Name}, UID: string(s.UID), Shares: strings.TrimSpace(s.Annotations[sharingKey]) != ""}
		t.read(&r, &s)
		if len(r.Addrs()) > 0 || r.Stale != "" {
			rows[r.Service] = r
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.held, t.at = map[row.KubeName]row.KubeIngress{}, map[netip.Addr]map[row.KubeName]bool{}
	for n, r := range rows {
		t.hold(n, r)
	}
	return rows, nil
}

// read takes over the addresses of a Service: of each family the first, and all others as stale.
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
		if !of.IsValid() {
			*of = a
		} else {
			stale = append(stale, a.String())
		}
	}
	r.Stale = strings.Join(stale, ",")
}

// sharingKey is the annotation of Services that may have the addresses of others.
const sharingKey = "kube-router.io/service.sharing-key"

// Apply writes Services one by one, those that lose an address before those that get one; host names and what forwards by itself stay. Nobody
// gets an address that another Service has still, because writing that one failed, or waits.
func (t *Ingress) Apply(ctx context.Context, changes []row.Change[row.KubeName, row.KubeIngress]) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	failed := row.Failed[row.KubeName]{}
	changes = slices.Clone(changes)
	slices.SortStableFunc(changes, func(a, b row.Change[row.KubeName, row.KubeIngress]) int { return t.gains(a) - t.gains(b) })
	for _, c := range changes {
		want := row.KubeIngress{Service: c.Key}
		if c.New != nil {
			want = *c.New
		}
		blocked := t.block(&want)
		err := t.set(ctx, c.Key, want.Addrs())
		switch {
		case apierrors.IsNotFound(err):
			t.hold(c.Key, row.KubeIngress{})
			if c.New != nil {
				failed[c.Key] = err
			}
		case err != nil:
			failed[c.Key] = err
		default:
			t.hold(c.Key, want)
			if blocked != nil {
				failed[c.Key] = blocked
			}
		}
	}
	if len(failed) > 0 {
		return failed
	}
	return nil
}

// gains tells how much a change may have to wait for others: not at all when the Service only loses addresses.
func (t *Ingress) gains(c row.Change[row.KubeName, row.KubeIngress]) int {
	had := t.held[c.Key]
	if c.New == nil || !slices.ContainsFunc(c.New.Addrs(), func(a netip.Addr) bool { return !slices.Contains(had.Addrs(), a) }) {
		return 0
	}
	if len(had.Addrs()) > 0 || had.Stale != "" {
		return 1 // moves, and may itself be waited for
	}
	return 2
}

// block takes those addresses out of a row that another Service has and doesn't share, and tells of one. Writing the rest lets go of what the Service
// had, so that two which change places don't wait for each other.
func (t *Ingress) block(want *row.KubeIngress) (err error) {
	for _, a := range []*netip.Addr{&want.V4, &want.V6} {
		for n := range t.at[*a] {
			if n != want.Service && !(t.held[n].Shares && want.Shares) && !t.at[*a][want.Service] {
				err = fmt.Errorf("service %s: %s is service %s's until that is written anew", want.Service, *a, n)
				*a = netip.Addr{}
				break
			}
		}
	}
	return err
}

// hold notes what a Service has now.
func (t *Ingress) hold(n row.KubeName, r row.KubeIngress) {
	addrs := func(r row.KubeIngress) []netip.Addr {
		list := r.Addrs()
		for _, text := range strings.Split(r.Stale, ",") {
			if a, err := netip.ParseAddr(text); err == nil {
				list = append(list, a)
			}
		}
		return list
	}
	for _, a := range addrs(t.held[n]) {
		if delete(t.at[a], n); len(t.at[a]) == 0 {
			delete(t.at, a)
		}
	}
	delete(t.held, n)
	for _, a := range addrs(r) {
		if t.at[a] == nil {
			t.at[a] = map[row.KubeName]bool{}
		}
		t.at[a][n] = true
		t.held[n] = r
	}
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

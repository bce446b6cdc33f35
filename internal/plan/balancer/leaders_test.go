package balancer

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"kube-router/internal/driver/kubestatus"
	"kube-router/internal/model"
	"kube-router/internal/row"
	"kube-router/internal/watch/kube"
)

// cluster is an API server, and a leader with what it knows of it.
type cluster struct {
	t       *testing.T
	random  *rand.Rand
	api     *kubestatus.Fake
	view    *model.Model         // what the leader has heard
	late    []func(*model.Model) // what it hasn't heard yet, in order
	planned map[model.Name][]netip.Addr
	table   *kubestatus.Ingress
	have    map[row.KubeName]row.KubeIngress // what its lane has written
	want    map[row.KubeName]row.KubeIngress
}

// tell lets the leader hear some day what a Service is now.
func (c *cluster) tell(name string) {
	s := c.api.Services["default/"+name]
	if s == nil {
		ref := service(name).Ref()
		c.late = append(c.late, func(m *model.Model) { m.Delete(ref) })
		return
	}
	o := kube.ConvertService(s.DeepCopy())
	c.late = append(c.late, func(m *model.Model) { m.Put(o) })
}

// hear lets the leader hear some of what it doesn't know yet.
func (c *cluster) hear(n int) {
	n = min(n, len(c.late))
	for _, f := range c.late[:n] {
		f(c.view)
	}
	c.late = slices.Clone(c.late[n:])
}

// think is a turn of the leader.
func (c *cluster) think() {
	list, _, _ := Plan(c.view, c.planned)
	c.planned, c.want = map[model.Name][]netip.Addr{}, map[row.KubeName]row.KubeIngress{}
	for _, b := range list {
		r := row.KubeIngress{Service: row.KubeName{Namespace: b.Namespace, Name: b.Name}, UID: b.UID, V4: b.V4, V6: b.V6, Shares: b.Shares}
		c.planned[model.Name{Namespace: b.Namespace, Name: b.Name}] = r.Addrs()
		c.want[r.Service] = r
	}
}

// write is a step of the leader's lane: some of what differs, the rest waits for another step. It may be killed amid its requests.
func (c *cluster) write(all bool) {
	var changes []row.Change[row.KubeName, row.KubeIngress]
	for n := range keys(c.have, c.want) {
		old, had := c.have[n]
		now, wanted := c.want[n]
		change := row.Change[row.KubeName, row.KubeIngress]{Key: n}
		if had {
			change.Old = &old
		}
		if wanted {
			change.New = &now
		}
		if had == wanted && old == now || !all && c.random.IntN(3) == 0 {
			continue
		}
		changes = append(changes, change)
	}
	var failed row.Failed[row.KubeName]
	if err := c.table.Apply(c.t.Context(), changes); err != nil && !errors.As(err, &failed) {
		c.t.Fatal(err)
	}
	for _, change := range changes {
		c.tell(change.Key.Name)
		switch {
		case failed[change.Key] != nil:
		case change.New == nil:
			delete(c.have, change.Key)
		default:
			c.have[change.Key] = *change.New
		}
	}
	c.check()
}

func keys[K comparable, V any](maps ...map[K]V) map[K]bool {
	all := map[K]bool{}
	for _, m := range maps {
		for k := range m {
			all[k] = true
		}
	}
	return all
}

// lead makes another node the leader: it has an empty ledger and, since the lease has run out meanwhile, has heard all.
func (c *cluster) lead() {
	c.hear(len(c.late))
	c.planned, c.want = map[model.Name][]netip.Addr{}, map[row.KubeName]row.KubeIngress{}
	var err error
	if c.table, err = kubestatus.NewIngress(c.api.Config(), func(string) bool { return true }); err != nil {
		c.t.Fatal(err)
	}
	if c.have, err = c.table.Dump(c.t.Context()); err != nil {
		c.t.Fatal(err)
	}
	c.think()
}

// check looks for an address that two Services have.
func (c *cluster) check() {
	has := map[string]string{}
	for name, s := range c.api.Services {
		for _, in := range s.Status.LoadBalancer.Ingress {
			if o := has[in.IP]; o != "" {
				c.t.Fatalf("%s is %s's and %s's", in.IP, o, name)
			}
			has[in.IP] = name
		}
	}
}

// change is one thing that users do.
func (c *cluster) change(i int) {
	r := c.random
	name := fmt.Sprint("s", r.IntN(40))
	old := c.api.Services["default/"+name]
	switch r.IntN(8) {
	case 0:
		delete(c.api.Services, "default/"+name)
		c.tell(name)
	case 1, 2, 3:
		s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
		s.Spec = corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, ClusterIP: "10.96.0.1", IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol}}
		s.Labels, s.Annotations = map[string]string{"tier": fmt.Sprint(r.IntN(3))}, map[string]string{}
		s.UID = types.UID(fmt.Sprint(i))
		if old != nil {
			s.UID, s.Status = old.UID, old.Status
		}
		if r.IntN(3) == 0 {
			s.Spec.LoadBalancerIP = fmt.Sprintf("10.0.%d.%d", r.IntN(2), r.IntN(40))
		}
		if r.IntN(4) == 0 {
			s.Annotations["kube-router.io/service.pool"] = fmt.Sprint("p", r.IntN(4))
		}
		c.api.Services["default/"+name] = s
		c.tell(name)
	case 4:
		ref := pool(fmt.Sprint("p", r.IntN(4)), 0, "").Ref()
		c.late = append(c.late, func(m *model.Model) { m.Delete(ref) })
	default:
		p := pool(fmt.Sprint("p", r.IntN(4)), i, "", func(p *model.Pool) {
			from := netip.AddrFrom4([4]byte{10, 0, byte(r.IntN(2)), byte(r.IntN(20))})
			last := from
			for range r.IntN(20) {
				last = last.Next()
			}
			p.Ranges = []model.AddrRange{{First: from, Last: last}}
			p.AutoAssign, p.Priority, p.Disabled = r.IntN(3) > 0, int32(r.IntN(3)), r.IntN(6) == 0
			if r.IntN(2) == 0 {
				p.Services = labelled("tier", fmt.Sprint(r.IntN(3)))
			}
		})
		c.late = append(c.late, func(m *model.Model) { m.Put(p) })
	}
}

// TestNeverTwiceWhoeverLeads makes 10,000 random changes of pools and Services; the leader hears of them late, the API server refuses some of its writes, and it is
// killed again and again before all is written. No two Services ever have one address in the API. When all is quiet, everything is written.
func TestNeverTwiceWhoeverLeads(t *testing.T) {
	c := &cluster{t: t, random: rand.New(rand.NewPCG(7, 11)), api: kubestatus.NewFake(), view: world("10.0.1.128/28")}
	refusing := false
	c.api.Refuse = func(q *http.Request) bool { return refusing && q.Method == http.MethodPut && c.random.IntN(4) == 0 }
	c.lead()
	deaths, given := 0, 0
	for i := range 10000 {
		refusing = true
		c.change(i)
		c.hear(c.random.IntN(6))
		if c.random.IntN(3) == 0 {
			c.think()
		}
		if c.random.IntN(2) == 0 {
			c.write(false)
		}
		refusing = false
		if c.random.IntN(20) == 0 {
			c.lead()
			deaths++
		}
		if i%500 == 499 { // all is quiet for a while
			for range 20 {
				c.hear(len(c.late))
				c.think()
				c.write(true)
			}
			given += len(c.want)
			for n, r := range c.want {
				if s := c.api.Services[n.String()]; s == nil || len(s.Status.LoadBalancer.Ingress) != 1 || s.Status.LoadBalancer.Ingress[0].IP != r.V4.String() {
					t.Fatalf("step %d: %s is not written", i, r)
				}
			}
		}
	}
	if deaths < 300 || given < 200 {
		t.Errorf("%d deaths and %d addresses: hardly a test", deaths, given)
	}
	t.Logf("%d deaths of leaders, %d addresses given when all was quiet", deaths, given)
}

// TestMadeAnew gives a Service that takes the place of one with its name what that one had; the leader hears of both ends at once.
func TestMadeAnew(t *testing.T) {
	c := &cluster{t: t, random: rand.New(rand.NewPCG(1, 2)), api: kubestatus.NewFake(), view: world("10.0.1.128/28")}
	for _, uid := range []types.UID{"first", "second"} {
		s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web", UID: uid}}
		s.Spec = corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, ClusterIP: "10.96.0.1", IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol}}
		c.api.Services["default/web"] = s
		c.tell("web")
		if c.table == nil {
			c.lead()
		}
		c.hear(len(c.late))
		c.think()
		c.write(true)
		if in := c.api.Services["default/web"].Status.LoadBalancer.Ingress; len(in) != 1 {
			t.Fatalf("the %s has addresses %v", uid, in)
		}
	}
}

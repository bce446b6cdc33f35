//go:build boundaries

package boundaries

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kube-router/internal/lab"
	"kube-router/internal/lab/probe"
)

// inForce is when a tenant's change must hold while another floods, on a machine that is busy with the flood's own
// requests too. A turn of thinking has a bound of milliseconds; a node that thinks of each change in its turn would need minutes.
const inForce = 30 * time.Second

// bank is the tenant whose packets keep their promises: vault takes from teller alone, and from whom policy "guest" names.
const bank = `---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {namespace: default, name: vault}
spec: {podSelector: {matchLabels: {app: vault}}, ingress: [{from: [{podSelector: {matchLabels: {app: teller}}}]}]}
`

const guest = `---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {namespace: default, name: guest}
spec: {podSelector: {matchLabels: {app: vault}}, ingress: [{from: [{podSelector: {matchLabels: {app: %s}}}]}]}
`

// chosen is a Service of which each of two pods is the only endpoint in turn.
func chosen(app string) string {
	return dual("desk", app, "ClusterIP", 80, 0, `clusterIPs: [10.96.0.80, "fd00:10:96::80"]`)
}

// TestUnderLoad has one tenant flood the node with policies on one pod, endpoints, and namespaces whose labels change,
// while another's packets go on: what is allowed passes and what is forbidden is refused, each time, and changes of policies and
// Services are in force within a bound.
func TestUnderLoad(t *testing.T) {
	w := start(t, lab.Config{Nodes: 1, DaemonArgs: holderFlags})
	w.apply(t, labelled("vault", "vault", "n1", "")+labelled("teller", "teller", "n1", "")+labelled("thief", "thief", "n1", "")+
		labelled("desk-a", "a", "n1", "")+labelled("desk-b", "b", "n1", ""))
	w.apply(t, "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: flood}\n")
	w.apply(t, strings.ReplaceAll(labelled("target", "target", "n1", "")+labelled("other", "other", "n1", ""), "namespace: default", "namespace: flood"))
	if err := w.WaitReady(w.ctx); err != nil {
		t.Fatal(err)
	}
	w.apply(t, bank+fmt.Sprintf(guest, "nobody")+chosen("a"))
	s := &underLoad{w, t, w.Pod("vault"), w.Pod("teller"), w.Pod("thief")}
	judge(t, "before the flood the policy is in force", s.within("thief", false))
	ctx, stop := context.WithCancel(w.ctx)
	f := &flood{w: w}
	f.begin(ctx)
	kept := s.keep(ctx)
	for end := time.Now().Add(90 * time.Second); f.sent.Load() < 100 && time.Now().Before(end); {
		time.Sleep(100 * time.Millisecond)
	}
	var took []time.Duration
	for round := range 12 {
		begun := time.Now()
		w.apply(t, fmt.Sprintf(guest, []string{"thief", "nobody"}[round%2])+chosen([]string{"b", "a"}[round%2]))
		judge(t, fmt.Sprintf("change %d of a policy is in force", round+1), s.within("thief", round%2 == 0))
		judge(t, fmt.Sprintf("change %d of a Service is in force", round+1), s.answeredBy([]string{"desk-b", "desk-a"}[round%2]))
		took = append(took, time.Since(begun))
	}
	stop()
	judge(t, "what is allowed passed and what is forbidden was refused, each time", kept())
	judge(t, "there was a flood", f.end())
	slices.Sort(took)
	t.Logf("%d objects of the flood; changes were in force after %s to %s", f.sent.Load(), took[0].Round(time.Millisecond), took[len(took)-1].Round(time.Millisecond))
}

// underLoad are the pods of the tenant.
type underLoad struct {
	*world
	t                    *testing.T
	vault, teller, thief *lab.Host
}

// within waits until a pod reaches the vault, or doesn't, in both families.
func (s *underLoad) within(pod string, reach bool) string {
	return s.soon(func() string {
		for _, a := range s.vault.Addrs() {
			if r := s.Pod(pod).Probe(probe.Request{To: netip.AddrPortFrom(a, 8080), Timeout: 2 * time.Second}); r.OK() != reach {
				return fmt.Sprintf("%s to the vault: %s, reach is to be %t", pod, r, reach)
			}
		}
		return ""
	})
}

// answeredBy waits until the Service is answered by a pod, in both families.
func (s *underLoad) answeredBy(pod string) string {
	return s.soon(func() string {
		for _, a := range []string{"10.96.0.80", "fd00:10:96::80"} {
			r := s.teller.Probe(probe.Request{To: netip.AddrPortFrom(netip.MustParseAddr(a), 80), Timeout: 2 * time.Second})
			if !r.OK() || r.Pod != "default/"+pod {
				return fmt.Sprintf("%s, want %s", r, pod)
			}
		}
		return ""
	})
}

func (s *underLoad) soon(ask func() string) (complaint string) {
	for end := time.Now().Add(inForce); ; time.Sleep(50 * time.Millisecond) {
		if complaint = ask(); complaint == "" || time.Now().After(end) {
			return complaint
		}
	}
}

// keep asks all the time: the teller of the vault, which is always allowed, and the target of the flood, which the vault's
// policy never names. What it gives ends that and tells what was wrong.
func (s *underLoad) keep(ctx context.Context) func() string {
	var all sync.WaitGroup
	var asked, wrong atomic.Int64
	var first atomic.Pointer[string]
	for _, c := range []struct {
		from *lab.Host
		want bool
	}{{s.teller, true}, {s.Pods("flood", "app=other")[0], false}} {
		all.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				to := s.vault.Addrs()[i%2]
				r := c.from.Probe(probe.Request{To: netip.AddrPortFrom(to, 8080), Timeout: 5 * time.Second})
				asked.Add(1)
				if r.OK() != c.want {
					wrong.Add(1)
					text := fmt.Sprintf("%s to %s: %s", c.from.Name, to, r)
					first.CompareAndSwap(nil, &text)
				}
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
	return func() string {
		all.Wait()
		if n := wrong.Load(); n > 0 || asked.Load() < 50 {
			text := first.Load()
			if text == nil {
				return fmt.Sprintf("asked %d times only", asked.Load())
			}
			return fmt.Sprintf("%d of %d were wrong, first %s", n, asked.Load(), *text)
		}
		return ""
	}
}

// flood is what one tenant does to the node, without an end.
type flood struct {
	w    *world
	all  sync.WaitGroup
	sent atomic.Int64
	errs atomic.Pointer[error]
}

func (f *flood) begin(ctx context.Context) {
	for _, next := range []func(i int) string{floodPolicies, floodEndpoints, floodNamespaces} {
		f.all.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				if err := f.w.Lab.Apply(ctx, next(i)); err != nil && ctx.Err() == nil {
					f.errs.CompareAndSwap(nil, &err)
				}
				f.sent.Add(1)
				time.Sleep(50 * time.Millisecond) // else it is the API server that is judged
			}
		})
	}
}

func (f *flood) end() string {
	f.all.Wait()
	if err := f.errs.Load(); err != nil {
		return (*err).Error()
	}
	if n := f.sent.Load(); n < 20 {
		return fmt.Sprintf("%d writes only", n)
	}
	return ""
}

// floodPolicies are fifty policies that all select one pod, each with peers of its own and a list of exceptions.
func floodPolicies(i int) string {
	var b strings.Builder
	for j := range 50 {
		n := i*50 + j
		fmt.Fprintf(&b, "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {namespace: flood, name: p-%d}\n"+
			"spec: {podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {n: \"%d\"}}}, {ipBlock: {cidr: 11.0.0.0/8, except: [", n%2500, n)
		for k := range 40 {
			fmt.Fprintf(&b, "11.%d.%d.0/25, ", n%256, k)
		}
		b.WriteString("]}}], ports: [{port: 80}, {port: 443}, {port: 8443}]}]}\n")
	}
	return b.String()
}

// floodEndpoints are a Service's slices with a thousand endpoints each, which all change each time.
func floodEndpoints(i int) string {
	var list []string
	for j := range 1000 {
		list = append(list, fmt.Sprintf("{addresses: [10.244.%d.%d], conditions: {ready: %t}}", 100+j>>8+4*(i%20), j&255, (i/20+j)%2 == 0))
	}
	return fmt.Sprintf("---\napiVersion: v1\nkind: Service\nmetadata: {namespace: flood, name: big}\nspec: {clusterIP: 10.96.0.99, ports: [{port: 80}]}\n"+
		"---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {namespace: flood, name: big-%d, labels: {kubernetes.io/service-name: big}}\n"+
		"addressType: IPv4\nports: [{port: 8080}]\nendpoints: [%s]\n", i%20, strings.Join(list, ", "))
}

// floodNamespaces are namespaces that come and change their labels.
func floodNamespaces(i int) string {
	var b strings.Builder
	for j := range 20 {
		fmt.Fprintf(&b, "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: flood-%d, labels: {n: \"%d\"}}\n", (i*20+j)%300, i)
	}
	return b.String()
}

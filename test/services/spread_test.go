//go:build services

package services

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"kube-router/internal/lab"
	"kube-router/internal/lab/kubelet"
	"kube-router/internal/lab/probe"
)

const spreadGroup = "spread over ten endpoints"

// requests are so many that a share of a tenth is known to two percent.
const requests = 10_000

// chi99999 is the value that chi-square of nine degrees of freedom exceeds once in 100,000 times.
const chi99999 = 39.3

// scheduled is a Service of app ten with a scheduler; "" is the engine's default.
func scheduled(name string, n int, scheduler string) *corev1.Service {
	s := balanced(newService(name, n, "ten"), n)
	if scheduler != "" {
		s.Annotations["kube-router.io/service.scheduler"] = scheduler
	}
	return s
}

// TestSpread asks 10,000 times, each time from a port of its own: a flow that the kernel remembers would not be judged anew.
func TestSpread(t *testing.T) {
	w := shared
	for i, c := range []struct {
		scheduler string
		exact     bool
	}{
		{"", w.engine == "ipvs"}, // whose default is rr, but for UDP
		{"rr", true},
	} {
		n := 20 + i
		s := w.create(t, scheduled(fmt.Sprintf("spread-%d", n), n, c.scheduler))
		proto := map[bool]string{true: "udp", false: "tcp"}[w.guest && c.scheduler != ""] // a TCP connection costs more there
		q := front(clusterIPs(n)[0], 80, proto)
		q.Timeout = 5 * time.Second
		w.serves(t, w.Pod("client-1"), q, 10)
		begun := time.Now()
		tally, err := numbered(w.Pod("client-1"), q, uint16(10_000*(i+1)))
		rate := requests / time.Since(begun).Seconds()
		if err == nil && !tally.OK() {
			err = fmt.Errorf("%v", tally)
		}
		chi, exact := spreadOf(tally.ByPod)
		if err == nil && (c.exact && !exact || chi > chi99999 || len(tally.ByPod) != 10) {
			err = fmt.Errorf("chi-square %.1f: %v", chi, tally)
		}
		name := map[string]string{"": "default"}[c.scheduler] + c.scheduler
		w.score.Judge(t, spreadGroup, "scheduler "+name, err, "%s; chi-square %.1f of 9 degrees, %.0f/s", share(tally.ByPod), chi, rate)
		w.delete(t, s)
	}
}

// numbered asks from each of 10,000 ports once.
func numbered(from *lab.Host, q probe.Request, first uint16) (*probe.Tally, error) {
	var mu sync.Mutex
	var tally probe.Tally
	var failed error
	var all sync.WaitGroup
	for thread := range 4 {
		all.Go(func() {
			err := from.Do(func() error {
				for i := thread; i < requests; i += 4 {
					one := q
					one.From = netip.AddrPortFrom(from.IPv4(), first+uint16(i))
					r := probe.Once(one)
					mu.Lock()
					tally.Add(r)
					mu.Unlock()
				}
				return nil
			})
			if err != nil {
				mu.Lock()
				failed = err
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return &tally, failed
}

// serves waits until so many pods answer, since a Service is programmed after its endpoints are known. It asks by UDP first: a TCP
// connection that was tried before the Service came leaves the kernel with the memory of an unserved one, for the next of the same port.
func (w *the) serves(t *testing.T, from *lab.Host, q probe.Request, pods int) {
	t.Helper()
	first := q
	first.Proto = "udp"
	err := w.eventually(15*time.Second, func() error {
		tally, err := from.Many(first, 10*pods, 2)
		if err == nil && (!tally.OK() || len(tally.ByPod) != pods) {
			err = fmt.Errorf("%s: want %d pods: %v", q.To, pods, tally)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// spreadOf is chi-square of the counts against equal shares, and whether the shares are equal. A scheduler that counts connections on
// several CPUs may be one off at the end.
func spreadOf(counts map[string]int) (chi float64, exact bool) {
	total := 0
	for _, n := range counts {
		total += n
	}
	want := float64(total) / float64(len(counts))
	exact = true
	for _, n := range counts {
		chi += (float64(n) - want) * (float64(n) - want) / want
		exact = exact && math.Abs(float64(n)-want) < 1
	}
	return chi, exact
}

func share(counts map[string]int) string {
	all := slices.Sorted(maps.Values(counts))
	if len(all) == 0 {
		return "nobody"
	}
	return fmt.Sprintf("%d pods, each %d to %d", len(all), all[0], all[len(all)-1])
}

// member is one of the crowd that the outside host is.
func member(i int, v6 bool) netip.AddrPort {
	a := netip.AddrFrom4([4]byte{10, 77, byte(i >> 8), byte(i)})
	if v6 {
		b := netip.MustParseAddr("fd00:10:77::").As16()
		b[14], b[15] = byte(i>>8), byte(i)
		a = netip.AddrFrom16(b)
	}
	return netip.AddrPortFrom(a, 0)
}

// crowdAsks has the first n of the crowd ask once each, and tells whom each got.
func (w *the) crowdAsks(q probe.Request, n int) (map[int]string, error) {
	got := map[int]string{}
	var mu sync.Mutex
	var failed error
	var all sync.WaitGroup
	for thread := range 4 {
		all.Go(func() {
			err := w.Outside().Do(func() error {
				for i := thread + 1; i <= n; i += 4 {
					one := q
					one.From = member(i, q.To.Addr().Is6())
					r := probe.Once(one)
					mu.Lock()
					got[i] = r.Pod
					if !r.OK() {
						failed = fmt.Errorf("%s: %v", one.From, r)
					}
					mu.Unlock()
				}
				return nil
			})
			if err != nil {
				mu.Lock()
				failed = err
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return got, failed
}

// moved counts who got another pod than before, and how many of them had no reason to: their pod is still there.
func moved(before, after map[int]string, gone string) (all, needless int) {
	for i, p := range before {
		if after[i] != p {
			all++
			if p != gone {
				needless++
			}
		}
	}
	return all, needless
}

// TestMaglev has a crowd ask a Service hashed by mh, takes one of its ten endpoints away, and lets the crowd ask again.
func TestMaglev(t *testing.T) {
	w := shared
	n, people := 22, 2000
	if w.guest {
		people = 800
	}
	s := w.create(t, scheduled("maglev", n, "mh"), balancerIPs(n)...)
	for f, vip := range balancerIPs(n) {
		q := front(vip, 80, "tcp")
		q.Timeout = patience
		if err := w.eventually(10*time.Second, func() error { return w.everybody(q) }); err != nil {
			t.Fatal(err)
		}
		w.written(t)
		before, err := w.crowdAsks(q, people)
		again, err2 := w.crowdAsks(q, people)
		if all, _ := moved(before, again, ""); err == nil && (err2 != nil || all > 0) {
			err = fmt.Errorf("%d of %d moved without a change (%v)", all, people, err2)
		}
		family := []string{"IPv4", "IPv6"}[f]
		w.score.Judge(t, spreadGroup, "mh keeps each client of "+family, err, "%s of %d clients", share(count(before)), people)
		w.maglevWithout(t, "ten-4", family, q, people, before)
	}
	w.delete(t, s)
}

// maglevWithout takes an endpoint away and counts who moves.
func (w *the) maglevWithout(t *testing.T, pod, family string, q probe.Request, people int, before map[int]string) {
	gone := "default/" + pod
	w.ready(t, pod, false)
	defer w.ready(t, pod, true)
	var after map[int]string
	err := w.eventually(20*time.Second, func() (err error) {
		if after, err = w.crowdAsks(q, people); err == nil && count(after)[gone] > 0 {
			err = fmt.Errorf("%s still answers", gone)
		}
		return err
	})
	all, needless := moved(before, after, gone)
	if percent := 100 * all / people; err == nil && (percent > 15 || all == 0) {
		err = fmt.Errorf("%d%% moved, want more than none and at most 15%%", percent)
	}
	w.score.Judge(t, spreadGroup, "mh without one of ten, "+family, err, "%.1f%% of %d clients moved, %.1f%% beside those of the pod that went",
		100*float64(all)/float64(people), people, 100*float64(needless)/float64(people))
}

// TestSchedulerChanges changes the scheduler under connections that stand. What chooses for new ones may be another part of the kernel
// then: mh in IPv6 is hashed by nftables with both engines.
func TestSchedulerChanges(t *testing.T) {
	w, n := shared, 24
	s := w.create(t, scheduled("changes", n, "rr"), balancerIPs(n)...)
	client := w.Pod("client-1")
	var lines []*probe.Line
	for _, scheduler := range []string{"rr", "mh", "sh", "mh", "rr"} {
		w.merge(t, s, "", map[string]any{"metadata": map[string]any{"annotations": map[string]any{"kube-router.io/service.scheduler": scheduler}}})
		alike := scheduler != "rr" // a client always gets the same pod
		w.both(t, spreadGroup, "the scheduler becomes "+scheduler, func(f int) error {
			q := front(clusterIPs(n)[f], 80, "udp")
			q.Timeout = patience
			if err := w.eventually(10*time.Second, func() error { return w.hashed(client, q, alike) }); err != nil {
				return err
			}
			q.Proto = "tcp"
			line, err := client.Open(q)
			if err == nil {
				lines = append(lines, line)
			}
			return err
		})
	}
	var err error
	for _, l := range lines {
		err = cmp.Or(err, l.Beat())
		l.Close()
	}
	w.score.Judge(t, spreadGroup, "connections live on under other schedulers", err, "%d of them", len(lines))
	w.delete(t, s)
}

// hashed judges whether one client gets one pod, or several.
func (w *the) hashed(client *lab.Host, q probe.Request, alike bool) error {
	tally, err := client.Many(q, 20, 1)
	if err == nil && (!tally.OK() || alike != (len(tally.ByPod) == 1)) {
		err = fmt.Errorf("%v", tally)
	}
	return err
}

// everybody judges that each of the ten answers some of the crowd.
func (w *the) everybody(q probe.Request) error {
	first := q
	first.Proto = "udp"
	for _, one := range []probe.Request{first, q} {
		got, err := w.crowdAsks(one, 200)
		if err == nil && len(count(got)) != 10 {
			err = fmt.Errorf("%d pods answer, want 10", len(count(got)))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func count(got map[int]string) map[string]int {
	by := map[string]int{}
	for _, p := range got {
		by[p]++
	}
	return by
}

// ready makes a pod's readiness probe succeed or fail.
func (w *the) ready(t *testing.T, pod string, yes bool) {
	t.Helper()
	w.merge(t, newPod(pod, "", ""), "", map[string]any{"metadata": map[string]any{"annotations": map[string]any{kubelet.ReadyAnnotation: fmt.Sprint(yes)}}})
	if err := w.WaitReady(w.ctx); err != nil {
		t.Fatal(err)
	}
}

// TestAffinity has each of a crowd ask several times, and again when its time is over, and when its endpoint is gone.
func TestAffinity(t *testing.T) {
	w := shared
	n, people, timeout := 23, 40, 4
	if w.guest {
		timeout = 20 // it takes seconds to ask forty there
	}
	s := balanced(newService("sticky", n, "ten"), n)
	s.Spec.SessionAffinity = corev1.ServiceAffinityClientIP
	s.Spec.SessionAffinityConfig = &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: new(int32(timeout))}}
	w.create(t, s, balancerIPs(n)...)
	for f, vip := range balancerIPs(n) {
		q := front(vip, 80, []string{"tcp", "udp"}[f])
		q.Timeout = patience
		if err := w.eventually(10*time.Second, func() error { _, err := w.crowdAsks(q, 1); return err }); err != nil {
			t.Fatal(err)
		}
		w.written(t)
		family := []string{"IPv4", "IPv6"}[f]
		before, err := w.crowdAsks(q, people)
		for range 3 {
			again, err2 := w.crowdAsks(q, people)
			if all, _ := moved(before, again, ""); err == nil && (err2 != nil || all > 0) {
				err = fmt.Errorf("%d of %d clients moved in time (%v)", all, people, err2)
			}
		}
		w.score.Judge(t, affinityGroup, "clients stay with their endpoint, "+family, err, "%d clients, %s", people, share(count(before)))
		w.affinityGone(t, q, people, before, family)
		w.affinityOver(t, q, people, timeout, family)
	}
	w.delete(t, s)
}

const affinityGroup = "session affinity"

// affinityGone takes away the endpoint of some clients: they go elsewhere at once and stay there; no other moves.
func (w *the) affinityGone(t *testing.T, q probe.Request, people int, before map[int]string, family string) {
	gone := before[1]
	w.ready(t, gone[len("default/"):], false)
	var after map[int]string
	err := w.eventually(10*time.Second, func() (err error) {
		if after, err = w.crowdAsks(q, people); err == nil && count(after)[gone] > 0 {
			err = fmt.Errorf("%s still answers", gone)
		}
		return err
	})
	if _, needless := moved(before, after, gone); err == nil && needless > 0 {
		err = fmt.Errorf("%d clients of other endpoints moved", needless)
	}
	w.score.Judge(t, affinityGroup, "an endpoint that is gone isn't used, "+family, err, "%d clients had it", count(before)[gone])
	w.ready(t, gone[len("default/"):], true)
}

// affinityOver waits until everybody is forgotten: some choose anew then. That none of 40 chooses another of ten by chance is one in
// 10^40; but rr may give them all the same again, so a few others ask before.
func (w *the) affinityOver(t *testing.T, q probe.Request, people, timeout int, family string) {
	before, err := w.crowdAsks(q, people)
	time.Sleep(time.Duration(timeout)*time.Second + 4*time.Second) // and IPVS's own timer for flows of UDP, 3 s
	for i := range 3 {
		one := q
		one.From = member(1000+i, q.To.Addr().Is6())
		w.Outside().Probe(one)
	}
	after, err2 := w.crowdAsks(q, people)
	all, _ := moved(before, after, "")
	if err == nil && (err2 != nil || all == 0) {
		err = fmt.Errorf("no client moved (%v)", err2)
	}
	w.score.Judge(t, affinityGroup, fmt.Sprintf("it ends %d s after the last use, %s", timeout, family), err, "%d of %d clients got another endpoint", all, people)
}

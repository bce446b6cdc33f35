//go:build scale

package scale

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"kube-router/internal/lab/netns"
	"kube-router/internal/model"
)

// TestCluster measures a node of a large cluster: a policy in every namespace, of which a hundred or so select
// a pod here; then all ten thousand policies in the namespaces of pods of this node; and then with
// two thousand selectors in them that are not alike, since the kernel finds a set by walking all.
func TestCluster(t *testing.T) {
	for _, c := range []struct {
		name   string
		in     int // over how many namespaces the policies are spread
		others int // of how many they speak
	}{
		{"a policy in each namespace", namespaces, namespaces},
		{"every policy selects a pod here", local, 100},
		{"every policy selects a pod here and they speak of many namespaces", local, 2000},
	} {
		t.Run(c.name, func(t *testing.T) { measure(t, c.in, c.others) })
	}
}

func measure(t *testing.T, spread, others int) {
	space, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	defer space.Close()
	before := heap()
	d := startDaemon(t, space)
	defer d.stop()
	begin := time.Now()
	for i := range namespaces {
		d.Inbox.Put(newNamespace(i))
	}
	for i := range pods {
		d.Inbox.Put(newPod(i))
	}
	for i := range policies {
		d.Inbox.Put(newPolicy(i, i%spread, others))
	}
	d.Inbox.Put(&model.Link{Name: "eth0", Up: true})
	objects := time.Since(begin)
	d.Whole()
	d.settled(t, 0)
	fmt.Printf("%s: %d policies, %d pods, %d here\n", t.Name(), policies, pods, local)
	fmt.Printf("  objects given in %s; cold start %s to %d rows in the kernel; memory of objects, plans and rows %d MiB\n",
		objects.Round(time.Millisecond), time.Since(begin).Round(time.Millisecond), d.rows(), (heap()-before)>>20)
	fmt.Printf("  a pod's labels change: %s\n", d.times(t, 300, func(i int) model.Object {
		p := *newPod(5000 + i*7)
		p.Labels = map[string]string{"app": fmt.Sprint("app-", (i+1)%50), "tier": "other"}
		return &p
	}))
	fmt.Printf("  a pod comes to this node: %s\n", d.times(t, 100, func(i int) model.Object {
		p := *newPod(pods + i)
		p.Node, p.Name.Namespace = "n0", fmt.Sprintf("ns-%d", i%local)
		return &p
	}))
	fmt.Printf("  a policy changes: %s\n", d.times(t, 100, func(i int) model.Object {
		p := newPolicy(i, i%spread, others)
		p.Ingress.Rules = append(p.Ingress.Rules, model.Rule{AnyPeer: true, Ports: []model.PolicyPort{{Protocol: model.TCP, Port: model.Port(20000 + i)}}})
		return p
	}))
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// steps is how often the table has been brought to what is wanted.
func (d *daemon) steps() (uint64, bool) {
	for _, s := range d.Tables() {
		if s.Table == "nft" {
			return s.Stats.Changes, s.Settled()
		}
	}
	return 0, false
}

func (d *daemon) rows() int {
	for _, s := range d.Tables() {
		if s.Table == "nft" {
			return s.Have
		}
	}
	return 0
}

// settled waits until more than a number of changes have been made and nothing is left to do.
func (d *daemon) settled(t *testing.T, more uint64) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Microsecond) {
		if n, ok := d.steps(); ok && n > more {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("never settled: %+v", d.Tables())
		}
	}
}

// times makes changes one by one and tells how long each took to be in the kernel.
func (d *daemon) times(t *testing.T, n int, object func(int) model.Object) string {
	t.Helper()
	var list []time.Duration
	for i := range n {
		o := object(i)
		was, _ := d.steps()
		begin := time.Now()
		d.Inbox.Put(o)
		if !d.changed(was) {
			continue // the pod was in no set before and is in none now
		}
		list = append(list, time.Since(begin))
	}
	if len(list) == 0 {
		return "nothing to be done"
	}
	slices.Sort(list)
	at := func(p int) time.Duration { return list[min(len(list)*p/100, len(list)-1)].Round(10 * time.Microsecond) }
	return fmt.Sprintf("median %s, p99 %s, of %d", at(50), at(99), len(list))
}

// changed waits for a change to be in the kernel; false: there is nothing to change.
func (d *daemon) changed(was uint64) bool {
	for end := time.Now().Add(200 * time.Millisecond); time.Now().Before(end); time.Sleep(20 * time.Microsecond) {
		if n, ok := d.steps(); ok && n > was {
			return true
		}
	}
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if _, ok := d.steps(); ok {
			break
		}
	}
	n, _ := d.steps()
	return n > was
}

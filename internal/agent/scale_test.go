//go:build scale

package agent

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"kube-router/internal/config"
	"kube-router/internal/driver/conntrack"
	"kube-router/internal/driver/file"
	"kube-router/internal/driver/healthport"
	"kube-router/internal/driver/ipvs"
	"kube-router/internal/driver/nft"
	"kube-router/internal/driver/podns"
	"kube-router/internal/driver/rtnl"
	"kube-router/internal/model"
	"kube-router/internal/row"
)

// TestScale is the daemon from its inbox to a real kernel, with few and many Services of ten endpoints each, with every engine that the
// kernel has: how long they take to load, how much memory they take, and what a change of one endpoint costs among them. The change must
// cost the same among many as among few.
//
//	go test -tags scale -run TestScale -v ./internal/agent
//	go test -tags scale -run TestScale -v -exec "$PWD/test/guest/run" ./internal/agent
func TestScale(t *testing.T) {
	engines := []model.Engine{model.EngineNftables}
	if hasIpvs() {
		engines = []model.Engine{model.EngineIPVS}
	}
	for _, engine := range engines {
		few, many := measure(t, engine, 100), measure(t, engine, 10_000)
		for _, f := range []figures{few, many} {
			fmt.Printf("scale %s: %6d Services of 10 endpoints: cold %s, of that thinking %s; one endpoint comes or goes in %s (median of %d, to the end of the write), with a number of endpoints that no other Service has in %s; heap %d MiB\n",
				engine, f.services, f.cold.Round(time.Millisecond), f.thought.Round(time.Millisecond), f.change.Round(time.Microsecond), changes, f.alone.Round(time.Microsecond), f.heap>>20)
		}
		ratio := float64(many.change) / float64(few.change)
		fmt.Printf("scale %s: one change among 10,000 costs %.2f times one among 100\n", engine, ratio)
		if ratio > 3 {
			t.Errorf("%s: a change among many costs %.1f times one among few; it should be the same", engine, ratio)
		}
	}
}

const changes = 200

type figures struct {
	services              int
	cold, thought, change time.Duration
	alone                 time.Duration // of a change to a number of endpoints that no other Service has
	heap                  uint64
}

func measure(t *testing.T, engine model.Engine, n int) figures {
	f := figures{services: n}
	before := heap()
	rig, written := realRig(t, engine)
	for i := range n {
		svc := newService(fmt.Sprint(i))
		svc.ClusterIPs, svc.Families = []netip.Addr{netip.AddrFrom4([4]byte{10, 96, byte(i >> 8), byte(i)})}, []model.Family{model.IPv4}
		svc.Ports = []model.ServicePort{{Protocol: model.TCP, Port: 80}}
		rig.Inbox.Put(svc)
		rig.Inbox.Put(benchSlice(i, 10-i%50/49)) // a few of nine, as in a cluster whose Services differ
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	begun := time.Now()
	rig.Whole()
	go func() { ended <- rig.Run(ctx) }()
	<-rig.Started()
	f.thought = time.Since(begun)
	rows := 10 * n
	for deadline := begun.Add(5 * time.Minute); !stands(rig, engine, rows); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s, %d Services: %+v", engine, n, rig.Tables())
		}
	}
	f.cold = time.Since(begun)
	f.heap = heap() - min(before, heap())
	f.change = oneChange(t, rig, written, n/2, 9)
	f.alone = oneChange(t, rig, written, n/2, 11)
	stop()
	<-ended
	return f
}

// stands tells whether all that is wanted of every table is there, and enough of it.
func stands(r *Rig, engine model.Engine, rows int) bool {
	name := map[model.Engine]string{model.EngineIPVS: "ipvs", model.EngineNftables: "nft"}[engine]
	for _, s := range r.Tables() {
		if !s.Settled() || s.Table == name && s.Have < rows {
			return false
		}
	}
	return true
}

// oneChange is the median time from a slice's arrival in the inbox to the end of the write that it caused.
func oneChange(t *testing.T, rig *Rig, written <-chan time.Time, which, endpoints int) time.Duration {
	var list []time.Duration
	for i := range changes {
		for len(written) > 0 {
			<-written
		}
		begun := time.Now()
		rig.Inbox.Put(benchSlice(which, endpoints+i%2))
		select {
		case end := <-written:
			list = append(list, end.Sub(begun))
		case <-time.After(10 * time.Second):
			t.Fatal("a change that isn't written")
		}
		time.Sleep(time.Millisecond)
	}
	slices.SortFunc(list, cmp.Compare)
	return list[len(list)/2]
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// stamped tells when a write has ended.
type stamped[K comparable, R row.Row[K]] struct {
	row.Target[K, R]
	written chan time.Time
}

func (s stamped[K, R]) Apply(ctx context.Context, changes []row.Change[K, R]) error {
	err := s.Target.Apply(ctx, changes)
	select {
	case s.written <- time.Now():
	default:
	}
	return err
}

// realRig is a daemon on a network namespace of its own. Settings of the kernel go to a fake: they would be the machine's.
func realRig(t *testing.T, engine model.Engine) (*Rig, <-chan time.Time) {
	t.Helper()
	ns := newNamespace(t)
	o := &config.Options{Settings: model.Settings{Node: "n1", Proxy: true, IPv4: true}}
	o.Settings.Services.Engine = engine
	links, err := rtnl.New(ns, 0)
	must(t, err)
	rules, err := nft.New(int(ns))
	must(t, err)
	flows, err := conntrack.Open(ns)
	must(t, err)
	written := make(chan time.Time, 1)
	to := Targets{
		Sysctl: nowhere[string, row.Sysctl]{}, Linux: links, Nft: rules, Flows: conntrack.NewTable(flows),
		Health: &healthport.Driver{}, CNI: file.New(filepath.Join(t.TempDir(), "10-x.conflist")),
	}
	if engine == model.EngineIPVS {
		k, err := ipvs.Open(ns)
		must(t, err)
		to.Ipvs = stamped[row.IpvsKey, row.Ipvs]{ipvs.New(k, IpvsOptions(&o.Settings)), written}
		to.Pods = podns.New(podns.Options{Roots: []string{t.TempDir()}})
	} else {
		to.Nft = stamped[row.NftKey, row.Nft]{rules, written}
	}
	return NewRig(o, to, slog.New(slog.DiscardHandler)), written
}

// nowhere takes all rows and keeps none.
type nowhere[K comparable, R row.Row[K]] struct{}

func (nowhere[K, R]) Dump(context.Context) (map[K]R, error)           { return map[K]R{}, nil }
func (nowhere[K, R]) Apply(context.Context, []row.Change[K, R]) error { return nil }

func newNamespace(t *testing.T) netns.NsHandle {
	t.Helper()
	made := make(chan netns.NsHandle)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with its namespace
		ns, err := netns.New()
		if err != nil {
			t.Errorf("make a network namespace: %v", err)
		}
		if lo, err := netlink.LinkByName("lo"); err == nil {
			netlink.LinkSetUp(lo)
		}
		made <- ns
	}()
	ns := <-made
	t.Cleanup(func() { ns.Close() })
	return ns
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newService(name string) *model.Service {
	return &model.Service{Name: model.Name{Namespace: "default", Name: name}}
}

func newSlice(name, of string) *model.Slice {
	s := &model.Slice{Name: model.Name{Namespace: "default", Name: name}}
	s.Service = model.Name{Namespace: "default", Name: of}
	return s
}

func benchSlice(i, endpoints int) *model.Slice {
	s := newSlice(fmt.Sprintf("%d-x", i), fmt.Sprint(i))
	s.Family = model.IPv4
	s.Ports = []model.SlicePort{{Protocol: model.TCP, Port: 8080}}
	for e := range endpoints {
		a := netip.AddrFrom4([4]byte{10, 244, byte(i), byte(e + 2)})
		s.Endpoints = append(s.Endpoints, model.Endpoint{Addrs: []netip.Addr{a}, Ready: true, Serving: true})
	}
	return s
}

package script

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/spf13/pflag"

	"kube-router/internal/agent"
	"kube-router/internal/config"
	"kube-router/internal/driver/bpf"
	"kube-router/internal/driver/conntrack"
	"kube-router/internal/driver/file"
	"kube-router/internal/driver/gobgp"
	"kube-router/internal/driver/ipvs"
	"kube-router/internal/driver/nft"
	"kube-router/internal/driver/rtnl"
	"kube-router/internal/driver/sysctl"
	"kube-router/internal/model"
	"kube-router/internal/row"
)

// world is what outlives the daemon: the fake kernel and files.
type world struct {
	dir     string
	options *config.Options
	linux   *rtnl.Fake
	nft     *nft.Fake
	sysctl  *sysctl.Driver
	cni     *file.Driver
	flows   *conntrack.Fake
	health  *memory[uint16, row.HealthPort]
	ipvs    *ipvs.Fake
	inside  *memory[row.PodVIPKey, row.PodVIP]
	bgp     *gobgp.Fake
	bpf     *bpf.Fake
	reports *memory[row.KubeObject, row.KubePolicy] // status of policies
	given   *memory[row.KubeName, row.KubeIngress]  // addresses of LoadBalancer Services
	faults  *faults
}

func newWorld(t *testing.T, s *script, seed uint64) *world {
	t.Helper()
	w := &world{dir: folder(t), nft: nft.NewFake(), flows: conntrack.NewFake(), bgp: gobgp.NewFake(), bpf: bpf.NewFake(), faults: newFaults(seed)}
	w.health = &memory[uint16, row.HealthPort]{rows: map[uint16]row.HealthPort{}}
	w.inside = &memory[row.PodVIPKey, row.PodVIP]{rows: map[row.PodVIPKey]row.PodVIP{}}
	w.reports = &memory[row.KubeObject, row.KubePolicy]{rows: map[row.KubeObject]row.KubePolicy{}}
	w.given = &memory[row.KubeName, row.KubeIngress]{rows: map[row.KubeName]row.KubeIngress{}}
	w.ipvs = ipvs.NewFake()
	w.ipvs.Without(s.without...)
	w.cni = file.NewFake(w.dir)
	w.options = w.parse(t, s.flags)
	links := s.links()
	w.linux = rtnl.NewFake(links)
	fake, err := sysctl.NewFake(w.dir, settings(slices.Sorted(maps.Keys(links))))
	if err != nil {
		t.Fatal(err)
	}
	w.sysctl = fake
	for _, f := range s.flows {
		w.flows.Add(f)
	}
	return w
}

// folder makes a folder in memory where that is possible: drivers wait for disks, and plays are many.
func folder(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "kube-router-script")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// parse reads the daemon's flags as main does.
func (w *world) parse(t *testing.T, flags []string) *config.Options {
	t.Helper()
	env := map[string]string{"NODE_NAME": "n1", "POD_NAMESPACE": "kube-system", "KUBE_ROUTER_CNI_CONF_FILE": filepath.Join(w.dir, "10-kuberouter.conflist")}
	set := pflag.NewFlagSet("script", pflag.ContinueOnError)
	raw := config.Flags(set)
	if err := set.Parse(flags); err != nil {
		t.Fatal(err)
	}
	o, err := raw.Options(func(k string) string { return env[k] }, os.ReadFile)
	if err != nil {
		t.Fatal(err)
	}
	o.Settings.Socket.Cookie = 1 // as the kernel tells the daemon
	return o
}

// links are all links that the node has at some time, with their subnets. Every kernel has lo.
func (s *script) links() map[string][]netip.Prefix {
	all := map[string][]netip.Prefix{"lo": nil}
	for _, e := range s.events {
		if l, ok := e.object.(*model.Link); ok {
			all[l.Name] = append(all[l.Name], l.Addrs...)
		}
	}
	return all
}

// settings are those of a kernel before us. A script tells when we want one that is not here.
func settings(links []string) map[string]string {
	all := map[string]string{
		"net/ipv4/ip_forward": "0", "net/ipv6/conf/all/forwarding": "0",
		"net/bridge/bridge-nf-call-iptables": "0", "net/bridge/bridge-nf-call-ip6tables": "0",
		"net/netfilter/nf_conntrack_tcp_timeout_close_wait": "60",
	}
	for _, name := range []string{"conntrack", "expire_nodest_conn", "expire_quiescent_template", "sloppy_tcp"} {
		all["net/ipv4/vs/"+name] = "0"
	}
	all["net/ipv4/vs/conn_reuse_mode"] = "1"
	for _, family := range []string{"ipv4", "ipv6"} {
		all["net/"+family+"/neigh/"+row.BridgeName+"/retrans_time_ms"] = "1000"
	}
	all["net/ipv4/conf/all/arp_ignore"], all["net/ipv4/conf/all/arp_announce"] = "0", "0"
	for _, l := range append(links, "all", row.BridgeName, row.DummyName, row.WireName) {
		all["net/ipv4/conf/"+l+"/rp_filter"] = "1"
		all["net/ipv6/conf/"+l+"/accept_ra"], all["net/ipv6/conf/"+l+"/keep_addr_on_down"] = "1", "0"
	}
	return all
}

// targets are what one life of the daemon writes to.
func (w *world) targets() agent.Targets {
	virtual := w.virtual()
	return agent.Targets{
		Sysctl: faulty[string, row.Sysctl](w.faults, w.sysctl),
		Linux:  faulty[row.LinuxKey, row.Linux](w.faults, w.linux),
		Nft:    faulty[row.NftKey, row.Nft](w.faults, w.nft),
		Flows:  faulty[row.FlowsKey, row.Flows](w.faults, conntrack.NewTable(w.flows)),
		Health: faulty[uint16, row.HealthPort](w.faults, w.health),
		Ipvs:   faulty[row.IpvsKey, row.Ipvs](w.faults, virtual),
		OnLack: virtual.OnLack,
		Pods:   faulty[row.PodVIPKey, row.PodVIP](w.faults, w.inside),
		BGP:    faulty[row.BgpKey, row.Bgp](w.faults, w.bgp),
		Bpf:    faulty[row.BpfKey, row.Bpf](w.faults, w.bpf),
		CNI:    faulty[string, row.Conflist](w.faults, w.cni),

		Reports:  faulty[row.KubeObject, row.KubePolicy](w.faults, w.reports),
		Balancer: faulty[row.KubeName, row.KubeIngress](w.faults, w.given),
	}
}

// virtual is the driver of one life over the fake IPVS, as the daemon opens it.
func (w *world) virtual() *ipvs.Driver {
	return ipvs.New(w.ipvs, agent.IpvsOptions(&w.options.Settings))
}

// meddle removes every third row of ours, as a stranger would who knows no better.
func (w *world) meddle(t *testing.T) {
	meddle[row.LinuxKey, row.Linux](t, w.linux)
	meddle[row.NftKey, row.Nft](t, w.nft)
	meddle[row.BgpKey, row.Bgp](t, w.bgp)
	meddle[row.BpfKey, row.Bpf](t, w.bpf)
	meddle[row.IpvsKey, row.Ipvs](t, w.virtual())
	meddle[string, row.Sysctl](t, w.sysctl)
	meddle[string, row.Conflist](t, w.cni)
}

func meddle[K comparable, R row.Row[K]](t *testing.T, at row.Target[K, R]) {
	t.Helper()
	have, err := at.Dump(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var changes []row.Change[K, R]
	for k, r := range have {
		changes = append(changes, row.Change[K, R]{Key: k, Old: &r})
	}
	slices.SortFunc(changes, func(a, b row.Change[K, R]) int { return strings.Compare(a.String(), b.String()) })
	for i, c := range changes {
		if i%3 == 0 {
			// The kernel may refuse: what is in use stays.
			_ = at.Apply(context.Background(), []row.Change[K, R]{c})
		}
	}
}

// dump is everything in the fake kernel and its files.
func (w *world) dump(t *testing.T) map[string][]string {
	t.Helper()
	return map[string][]string{
		"rtnl":   dump(t, w.linux, func(a, b row.Linux) int { return strings.Compare(a.String(), b.String()) }),
		"nft":    dump(t, w.nft, byPlace),
		"health": dump(t, w.health, func(a, b row.HealthPort) int { return cmp.Compare(a.Port, b.Port) }),
		"ipvs":   dump(t, ipvs.New(w.ipvs, ipvs.Options{}), func(a, b row.Ipvs) int { return strings.Compare(a.String(), b.String()) }),
		"pods":   dump(t, w.inside, func(a, b row.PodVIP) int { return strings.Compare(a.String(), b.String()) }),
		"bgp":    dump(t, w.bgp, func(a, b row.Bgp) int { return strings.Compare(a.String(), b.String()) }),
		"bpf":    dump(t, w.bpf, func(a, b row.Bpf) int { return strings.Compare(a.String(), b.String()) }),
		"sysctl": w.values(t),
		"cni":    w.text(t),
		"flows":  w.standing(),
	}
}

// byPlace orders nft rows as the nft program lists a table: rules stand in the order in which they count.
func byPlace(a, b row.Nft) int {
	x, y := a.Key(), b.Key()
	return cmp.Or(cmp.Compare(x.Kind, y.Kind), cmp.Compare(x.Name, y.Name), cmp.Compare(x.Pos, y.Pos), cmp.Compare(a.String(), b.String()))
}

func dump[K comparable, R row.Row[K]](t *testing.T, at row.Target[K, R], order func(a, b R) int) []string {
	t.Helper()
	have, err := at.Dump(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, r := range slices.SortedFunc(maps.Values(have), order) {
		lines = append(lines, r.String())
	}
	return lines
}

// values are the kernel's settings.
func (w *world) values(t *testing.T) []string {
	root := filepath.Join(w.dir, "sys")
	var lines []string
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		value, err := os.ReadFile(path)
		name, _ := filepath.Rel(root, path)
		lines = append(lines, row.Sysctl{Name: name, Value: strings.TrimSpace(string(value))}.String())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// text is what the CNI folder holds.
func (w *world) text(t *testing.T) []string {
	files, err := filepath.Glob(filepath.Join(w.dir, "*.conflist*"))
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, strings.Split(strings.TrimSpace(string(text)), "\n")...)
	}
	return lines
}

func (w *world) standing() []string {
	var lines []string
	for _, f := range w.flows.All() {
		lines = append(lines, f.String())
	}
	slices.Sort(lines)
	return lines
}

// faults decides which operations fail.
type faults struct {
	mu   sync.Mutex
	dice *rand.Rand // nil: none
}

func newFaults(seed uint64) *faults {
	if seed == 0 {
		return &faults{}
	}
	return &faults{dice: rand.New(rand.NewPCG(seed, 1))}
}

func (f *faults) stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dice = nil
}

var errInjected = errors.New("a fault on purpose")

func (f *faults) strike() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dice != nil && f.dice.IntN(10) == 0
}

// target fails one row in ten, one look in ten, and one batch in ten when half of it is done. It also hides
// that a driver can watch: those goroutines wait for the real kernel.
type target[K comparable, R row.Row[K]] struct {
	faults *faults
	row.Target[K, R]
}

func faulty[K comparable, R row.Row[K]](f *faults, t row.Target[K, R]) row.Target[K, R] {
	return target[K, R]{f, t}
}

// Dump fails one time in ten.
func (t target[K, R]) Dump(ctx context.Context) (map[K]R, error) {
	if t.faults.strike() {
		return nil, errInjected
	}
	return t.Target.Dump(ctx)
}

// Apply lets some rows fail, or all after some were made.
func (t target[K, R]) Apply(ctx context.Context, changes []row.Change[K, R]) error {
	if t.faults.strike() {
		return errors.Join(errInjected, t.Target.Apply(ctx, changes[:len(changes)/2]))
	}
	failed := row.Failed[K]{}
	var rest []row.Change[K, R]
	for _, c := range changes {
		if t.faults.strike() {
			failed[c.Key] = errInjected
		} else {
			rest = append(rest, c)
		}
	}
	err := t.Target.Apply(ctx, rest)
	var more row.Failed[K]
	if err != nil && !errors.As(err, &more) {
		return err
	}
	maps.Copy(failed, more)
	if len(failed) > 0 {
		return failed
	}
	return nil
}

// memory is a table that takes everything.
type memory[K comparable, R row.Row[K]] struct {
	mu   sync.Mutex
	rows map[K]R
}

// Dump gives all rows.
func (m *memory[K, R]) Dump(context.Context) (map[K]R, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.rows), nil
}

// Apply takes all changes.
func (m *memory[K, R]) Apply(_ context.Context, changes []row.Change[K, R]) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range changes {
		if c.New == nil {
			delete(m.rows, c.Key)
		} else if (*c.New).Key() != c.Key {
			return fmt.Errorf("%v at the key of another", *c.New)
		} else {
			m.rows[c.Key] = *c.New
		}
	}
	return nil
}

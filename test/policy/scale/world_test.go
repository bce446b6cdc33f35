//go:build scale

package scale

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"testing"

	"kube-router/internal/agent"
	"kube-router/internal/config"
	"kube-router/internal/driver/nft"
	"kube-router/internal/lab/netns"
	"kube-router/internal/model"
	"kube-router/internal/row"
)

// The cluster of issue 4.
const (
	namespaces = 10_000
	pods       = 100_000
	policies   = 10_000
	local      = 110
)

// memory is a table that holds what it is told.
type memory[K comparable, R any] struct {
	mu   sync.Mutex
	rows map[K]R
}

func (m *memory[K, R]) Dump(context.Context) (map[K]R, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	have := map[K]R{}
	for k, r := range m.rows {
		have[k] = r
	}
	return have, nil
}

func (m *memory[K, R]) Apply(_ context.Context, changes []row.Change[K, R]) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.rows == nil {
		m.rows = map[K]R{}
	}
	for _, c := range changes {
		if c.New == nil {
			delete(m.rows, c.Key)
		} else {
			m.rows[c.Key] = *c.New
		}
	}
	return nil
}

// daemon is the daemon over a real nftables table in a network namespace.
type daemon struct {
	*agent.Rig
	driver *nft.Driver
	stop   func()
}

func startDaemon(t *testing.T, space *netns.Space) *daemon {
	t.Helper()
	d := &daemon{}
	if err := space.Do(func() (err error) { d.driver, err = nft.New(0); return err }); err != nil {
		t.Fatal(err)
	}
	o := &config.Options{Settings: model.Settings{Node: "n0", Firewall: true, IPv4: true, IPv6: true}}
	d.Rig = agent.NewRig(o, agent.Targets{
		Sysctl: &memory[string, row.Sysctl]{}, Linux: &memory[row.LinuxKey, row.Linux]{}, Nft: d.driver,
		Flows: &memory[row.FlowsKey, row.Flows]{}, Health: &memory[uint16, row.HealthPort]{}, CNI: &memory[string, row.Conflist]{},
	}, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	d.stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		_ = d.driver.Close()
	}
	return d
}

func newNamespace(i int) *model.Namespace {
	name := fmt.Sprintf("ns-%d", i)
	return &model.Namespace{Name: name, Labels: map[string]string{"kubernetes.io/metadata.name": name, "team": fmt.Sprint("team-", i%100)}}
}

// newPod is pod i; the first ones run here, each in a namespace of its own.
func newPod(i int) *model.Pod {
	node := fmt.Sprintf("n%d", 1+i%900)
	if i < local {
		node = "n0"
	}
	return &model.Pod{
		Name: model.Name{Namespace: fmt.Sprintf("ns-%d", i%namespaces), Name: fmt.Sprintf("pod-%d", i)}, UID: fmt.Sprint("u", i), Node: node,
		Addrs:  []netip.Addr{address(i), netip.MustParseAddr(fmt.Sprintf("fd00::%x:%x", (i+2)>>16, (i+2)&0xffff))},
		Labels: map[string]string{"app": fmt.Sprint("app-", i%50), "tier": fmt.Sprint("tier-", i/namespaces%3), "pod-template-hash": fmt.Sprint(i % 977)},
		Ports:  []model.PodPort{{Name: "web", Protocol: model.TCP, Port: 8080}},
	}
}

func address(i int) netip.Addr {
	n := 10<<24 + 64<<16 + i + 2
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}

func in(key string, values ...string) model.Selector {
	return model.Selector{Requirements: []model.Requirement{{Key: key, Op: model.In, Values: values}}}
}

// newPolicy is policy i of a namespace: it lets in the namespace's own pods, an app of another namespace on
// one port, a team, and a block. Others is how many namespaces the policies speak of.
func newPolicy(i, namespace, others int) *model.Policy {
	other, app := in("kubernetes.io/metadata.name", fmt.Sprintf("ns-%d", (i*7+1)%others)), in("app", fmt.Sprint("app-", i%50))
	team := in("team", fmt.Sprint("team-", i%100))
	return &model.Policy{
		Name: model.Name{Namespace: fmt.Sprintf("ns-%d", namespace), Name: fmt.Sprintf("policy-%d", i)},
		Ingress: &model.Rules{Rules: []model.Rule{
			{Peers: []model.PolicyPeer{{Pods: &model.Selector{}}}, AnyPort: true},
			{Peers: []model.PolicyPeer{{Namespaces: &other, Pods: &app}}, Ports: []model.PolicyPort{{Protocol: model.TCP, Port: model.Port(1000 + i%5000)}}},
			{Peers: []model.PolicyPeer{{Namespaces: &team, Pods: &app}}, Ports: []model.PolicyPort{{Protocol: model.TCP, PortName: "web"}}},
			{Peers: []model.PolicyPeer{{Block: netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 16, byte(i >> 8), byte(i)}), 32)}}, AnyPort: true},
		}},
	}
}

package bpf

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"kube-router/internal/row"
)

// Fake is the driver over a kernel in memory.
type Fake struct {
	*Driver
	m *memory
}

// NewFake makes a fake with no maps and no programs.
func NewFake() *Fake {
	m := &memory{maps: map[row.BpfMap]map[string]string{}, hooks: map[row.BpfHook]row.BpfProgram{}, used: map[string]Count{}}
	return &Fake{&Driver{m}, m}
}

// Calls are what the driver did with the kernel since the last call of it, in order: "put kr_heads4", "attach connect4".
func (f *Fake) Calls() []string {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	defer func() { f.m.calls = nil }()
	return slices.Clone(f.m.calls)
}

// Refuse lets the kernel have no room for entries whose text begins with a prefix; "": for all others again.
func (f *Fake) Refuse(prefix string) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	f.m.refuse = prefix
}

// Connect counts a connect() to a frontend, if it is in the map of heads.
func (f *Fake) Connect(head row.BpfEntry, served bool) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if _, ok := f.m.maps[head.Map][head.Elem]; !ok {
		return
	}
	n := f.m.used[head.Elem]
	if served {
		n.Served++
	} else {
		n.Fell++
	}
	f.m.used[head.Elem] = n
}

// memory is a kernel.
type memory struct {
	mu     sync.Mutex
	maps   map[row.BpfMap]map[string]string
	hooks  map[row.BpfHook]row.BpfProgram
	used   map[string]Count
	calls  []string
	refuse string
}

func (m *memory) called(verb string, what fmt.Stringer) func() {
	m.mu.Lock()
	m.calls = append(m.calls, verb+" "+what.String())
	return m.mu.Unlock
}

func (m *memory) entries(which row.BpfMap) (map[string]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.maps[which]), nil
}

func (m *memory) put(which row.BpfMap, entries []row.BpfEntry) map[string]error {
	defer m.called("put", which)()
	failed := map[string]error{}
	if m.maps[which] == nil {
		m.maps[which] = map[string]string{}
	}
	for _, e := range entries {
		if _, has := m.maps[which][e.Elem]; m.refuse != "" && strings.HasPrefix(e.String(), m.refuse) || !has && len(m.maps[which]) >= int(which.Most()) {
			failed[e.Elem] = errTooMany
			continue
		}
		m.maps[which][e.Elem] = e.Value
	}
	return failed
}

func (m *memory) drop(which row.BpfMap, keys []string) map[string]error {
	defer m.called("drop", which)()
	for _, k := range keys {
		delete(m.maps[which], k)
	}
	return nil
}

func (m *memory) programs() ([]row.BpfProgram, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Collect(maps.Values(m.hooks)), nil
}

func (m *memory) attach(p row.BpfProgram) error {
	defer m.called("attach", p.Hook)()
	if !strings.HasPrefix(p.Target, "/") {
		return errors.New("no such cgroup")
	}
	m.hooks[p.Hook] = p
	return nil
}

func (m *memory) detach(h row.BpfHook) error {
	defer m.called("detach", h)()
	delete(m.hooks, h)
	return nil
}

func (m *memory) renew() error { return nil }

func (m *memory) clear() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.maps, m.used = map[row.BpfMap]map[string]string{}, map[string]Count{}
	return nil
}

func (m *memory) counts() (map[string]Count, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.used), nil
}

func (m *memory) forget(_ row.BpfMap, fronts []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, f := range fronts {
		delete(m.used, f)
	}
}

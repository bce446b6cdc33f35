package apiserver

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
)

const defaultHistory = 16384

// Store holds all objects of all resources, as the JSON that clients get. One lock, one resource version counter, as in etcd.
type Store struct {
	mu      sync.RWMutex
	rv      uint64
	catalog atomic.Pointer[catalog]
	claims  *claims
	limit   int                             // events that each history keeps
	applied map[types.UID]map[string][]byte // last manifest of each manager that applied the object
}

// A table is one resource: its objects and the history of its changes.
type table struct {
	kind    *kind // the kind as stored
	items   map[types.NamespacedName]*entry
	history *history
}

// An entry is one version of one object. It is never changed; an update makes a new one.
type entry struct {
	key    types.NamespacedName
	rv     uint64
	uid    types.UID
	raw    []byte
	labels labels.Set
	fields fields.Set
}

// NewStore makes a store with the namespaces that every cluster has. The arguments are those of Options.
func NewStore(serviceCIDRs []netip.Prefix, historyLimit int) (*Store, error) {
	if historyLimit <= 0 {
		historyLimit = defaultHistory
	}
	claims, err := newClaims(serviceCIDRs)
	if err != nil {
		return nil, err
	}
	// Versions begin at the clock, so that a watcher of an earlier, lost store has a version which this one says 410 Gone to.
	s := &Store{limit: historyLimit, rv: uint64(time.Now().UnixMilli()), claims: claims, applied: map[types.UID]map[string][]byte{}}
	first := &catalog{kinds: kinds(), tables: map[string]*table{}}
	for _, k := range first.kinds {
		if k.view == nil {
			first.tables[k.table()] = s.newTable(k)
		}
	}
	s.catalog.Store(first)
	for _, name := range []string{"default", "kube-node-lease", "kube-public", "kube-system"} {
		if err := s.Put(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *Store) newTable(k *kind) *table {
	return &table{kind: k, items: map[types.NamespacedName]*entry{}, history: newHistory(s.limit, s.rv)}
}

// A catalog is what is served at one moment. It is never changed; a CustomResourceDefinition makes another.
type catalog struct {
	kinds  []*kind
	tables map[string]*table
}

// served are the kinds that are served now.
func (s *Store) served() []*kind { return s.catalog.Load().kinds }

func (s *Store) tables() map[string]*table { return s.catalog.Load().tables }

func (s *Store) tableOf(k *kind) *table { return s.tables()[k.table()] }

// ResourceVersion is the version of the newest change.
func (s *Store) ResourceVersion() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.rv
}

// Compact forgets the history, as a compaction of etcd does: a watcher that comes back later with an older version gets 410 Gone.
// Watchers that are up to date go on.
func (s *Store) Compact() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.tables() {
		t.history.forget(s.rv)
	}
}

// A snapshot is the objects of one resource at one moment, and the place in the history from which to go on.
type snapshot struct {
	entries  []*entry
	rv       uint64
	position uint64
}

// snapshot takes those objects of a table that the filter wants, sorted by namespace and name as etcd would.
func (s *Store) snapshot(t *table, want filter) snapshot {
	s.mu.RLock()
	snap := snapshot{rv: s.rv, position: t.history.next, entries: make([]*entry, 0, len(t.items))}
	for _, e := range t.items {
		if want.matches(e) {
			snap.entries = append(snap.entries, e)
		}
	}
	s.mu.RUnlock()
	slices.SortFunc(snap.entries, func(a, b *entry) int {
		return cmp.Or(strings.Compare(a.key.Namespace, b.key.Namespace), strings.Compare(a.key.Name, b.key.Name))
	})
	return snap
}

func (s *Store) entry(t *table, key types.NamespacedName) *entry {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return t.items[key]
}

// commit makes raw the object's newest version and tells the watchers. The caller holds the lock and has put s.rv+1 into raw.
func (s *Store) commit(t *table, e *entry) {
	s.rv++
	was, typ := t.items[e.key], watch.Added
	if was != nil {
		typ = watch.Modified
	}
	t.items[e.key] = e
	s.claims.follow(t.kind, e)
	t.history.add(event{typ: typ, rv: e.rv, now: e, was: was})
	s.define(t.kind)
}

// drop removes an object and tells the watchers. The caller holds the lock.
func (s *Store) drop(t *table, was *entry) (*entry, error) {
	raw, err := withVersion(was.raw, s.rv+1)
	if err != nil {
		return nil, err
	}
	s.rv++
	last := *was
	last.rv, last.raw = s.rv, raw
	delete(t.items, was.key)
	delete(s.applied, was.uid)
	s.claims.release(t.kind, was.key)
	t.history.add(event{typ: watch.Deleted, rv: s.rv, now: &last, was: was})
	s.define(t.kind)
	return &last, nil
}

// newEntry indexes an encoded object.
func newEntry(k *kind, raw []byte, meta metav1.Object, rv uint64) (*entry, error) {
	e := &entry{
		key:    types.NamespacedName{Namespace: meta.GetNamespace(), Name: meta.GetName()},
		rv:     rv,
		uid:    meta.GetUID(),
		raw:    raw,
		labels: meta.GetLabels(),
		fields: fields.Set{"metadata.name": meta.GetName(), "metadata.namespace": meta.GetNamespace()},
	}
	if len(k.fields) == 0 {
		return e, nil
	}
	var tree map[string]any
	if err := json.Unmarshal(raw, &tree); err != nil {
		return nil, fmt.Errorf("indexing %s %s: %w", k.singular(), e.key, err)
	}
	for _, spec := range k.fields {
		path, otherwise, _ := strings.Cut(spec, "=")
		e.fields[path] = cmp.Or(lookup(tree, path), otherwise)
	}
	return e, nil
}

// lookup is the text of a scalar at a dotted path, empty if there is none.
func lookup(tree map[string]any, path string) string {
	var at any = tree
	for name := range strings.SplitSeq(path, ".") {
		fields, ok := at.(map[string]any)
		if !ok {
			return ""
		}
		at = fields[name]
	}
	switch at := at.(type) {
	case nil, map[string]any, []any:
		return ""
	default:
		return fmt.Sprint(at)
	}
}

// withVersion is the JSON object with another metadata.resourceVersion.
func withVersion(raw []byte, rv uint64) ([]byte, error) {
	var obj map[string]json.RawMessage
	var meta map[string]any
	if err := json.Unmarshal(raw, &obj); err != nil {
		return nil, fmt.Errorf("setting the resource version: %w", err)
	}
	if err := json.Unmarshal(obj["metadata"], &meta); err != nil {
		return nil, fmt.Errorf("setting the resource version: %w", err)
	}
	meta["resourceVersion"] = fmt.Sprint(rv)
	obj["metadata"], _ = json.Marshal(meta)
	return json.Marshal(obj)
}

package bpf

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"unsafe"

	"github.com/cilium/ebpf"

	"kube-router/internal/row"
)

// batch is how many entries one system call takes.
const batch = 4096

// flat makes a slice of count byte arrays of one size, as the library wants keys and values, and the same memory as bytes.
func flat(size, count int) (arrays any, bytes []byte) {
	s := reflect.MakeSlice(reflect.SliceOf(reflect.ArrayOf(size, reflect.TypeFor[byte]())), count, count)
	return s.Interface(), unsafe.Slice((*byte)(s.UnsafePointer()), size*count)
}

// read reads every entry of a hash map. Entries that are removed meanwhile may come or not.
func read(m *ebpf.Map) (map[string]string, error) {
	key, value := int(m.KeySize()), int(m.ValueSize())
	keys, k := flat(key, batch)
	values, v := flat(value, batch)
	entries := map[string]string{}
	var cursor ebpf.MapBatchCursor
	for {
		n, err := m.BatchLookup(&cursor, keys, values, nil)
		for i := range n {
			entries[string(k[i*key:(i+1)*key])] = string(v[i*value : (i+1)*value])
		}
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			return entries, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// write writes entries, a batch at a time. What stops a batch is tried alone, and the batch goes on after it.
func write(m *ebpf.Map, entries []row.BpfEntry) map[string]error {
	failed := map[string]error{}
	alone := func(e row.BpfEntry) {
		if err := m.Put([]byte(e.Elem), []byte(e.Value)); err != nil {
			failed[e.Elem] = full(m, err)
		}
	}
	for len(entries) > 0 {
		n := min(batch, len(entries))
		if n < 4 { // a system call each costs no more
			alone(entries[0])
			entries = entries[1:]
			continue
		}
		keys, k := flat(int(m.KeySize()), n)
		values, v := flat(int(m.ValueSize()), n)
		for i, e := range entries[:n] {
			copy(k[i*len(e.Elem):], e.Elem)
			copy(v[i*len(e.Value):], e.Value)
		}
		done, err := m.BatchUpdate(keys, values, nil)
		entries = entries[min(done, n):]
		if err != nil && len(entries) > 0 {
			alone(entries[0])
			entries = entries[1:]
		}
	}
	return failed
}

// full says which map has no room.
func full(m *ebpf.Map, err error) error {
	if errors.Is(err, errTooMany) {
		return fmt.Errorf("it is full: %d entries: %w", m.MaxEntries(), err)
	}
	return err
}

// remove removes entries. What is gone already is no failure.
func remove(m *ebpf.Map, keys []string) map[string]error {
	failed := map[string]error{}
	alone := func(key string) {
		if err := m.Delete([]byte(key)); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			failed[key] = err
		}
	}
	keys = fitting(keys, int(m.KeySize()))
	for len(keys) > 0 {
		n := min(batch, len(keys))
		if n < 4 {
			alone(keys[0])
			keys = keys[1:]
			continue
		}
		list, b := flat(int(m.KeySize()), n)
		for i, key := range keys[:n] {
			copy(b[i*len(key):], key)
		}
		done, err := m.BatchDelete(list, nil)
		keys = keys[min(done, n):]
		if err != nil && len(keys) > 0 {
			alone(keys[0])
			keys = keys[1:]
		}
	}
	return failed
}

// fitting are the keys that a map could have.
func fitting(keys []string, size int) []string {
	set := make(map[string]bool, len(keys))
	for _, k := range keys {
		if len(k) == size {
			set[k] = true
		}
	}
	list := make([]string, 0, len(set))
	for k := range maps.Keys(set) {
		list = append(list, k)
	}
	return list
}

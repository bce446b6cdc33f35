package bpf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"

	"kube-router/internal/row"
)

// Options say where the driver works.
type Options struct {
	Root   string // a BPF file system; ours is the folder "kube-router" in it
	Cgroup string // the root of the cgroup2 hierarchy, or the folder of one cgroup
}

// Folder is our own in the BPF file system.
const Folder = "kube-router"

// pins are the real kernel, by what is pinned.
type pins struct {
	folder, root, cgroup string
	code                 func(p row.BpfProgram) (asm.Instructions, bool)
}

// New makes the driver. It opens nothing yet.
func New(o Options) *Driver { return &Driver{newPins(o)} }

func newPins(o Options) *pins {
	return &pins{folder: filepath.Join(o.Root, Folder), root: o.Root, cgroup: o.Cgroup, code: codeOf}
}

// codeOf is the program of this build with the tag.
func codeOf(p row.BpfProgram) (asm.Instructions, bool) {
	code := Programs()[p.Hook]
	return code, code != nil && tagOf(code) == p.Tag
}

// specOf lays out a map by its name.
func specOf(name string) *ebpf.MapSpec {
	front4, front6 := uint32(row.BpfHeads4.KeySize()), uint32(row.BpfHeads6.KeySize())
	switch name {
	case mapCount4:
		return &ebpf.MapSpec{Name: name, Type: ebpf.Hash, KeySize: front4, ValueSize: 16, MaxEntries: row.BpfHeads4.Most(), Flags: unix.BPF_F_NO_PREALLOC}
	case mapCount6:
		return &ebpf.MapSpec{Name: name, Type: ebpf.Hash, KeySize: front6, ValueSize: 16, MaxEntries: row.BpfHeads6.Most(), Flags: unix.BPF_F_NO_PREALLOC}
	case mapLease:
		return &ebpf.MapSpec{Name: name, Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1}
	case mapPeer:
		word := &btf.Int{Name: "word", Size: 4}
		return &ebpf.MapSpec{
			Name: name, Type: ebpf.SkStorage, KeySize: 4, ValueSize: peerSize, Flags: unix.BPF_F_NO_PREALLOC, Key: word,
			Value: &btf.Struct{Name: "peer", Size: peerSize, Members: []btf.Member{{Name: "words", Type: &btf.Array{Index: word, Type: word, Nelems: peerSize / 4}}}},
		}
	}
	for m := row.BpfNoMap + 1; m <= row.BpfMapMost; m++ {
		if m.String() == name {
			return &ebpf.MapSpec{
				Name: name, Type: ebpf.Hash, KeySize: uint32(m.KeySize()), ValueSize: uint32(m.ValueSize()), MaxEntries: m.Most(),
				Flags: unix.BPF_F_NO_PREALLOC,
			}
		}
	}
	return nil
}

func mapNames() []string {
	names := []string{mapPeer, mapCount4, mapCount6, mapLease}
	for m := row.BpfNoMap + 1; m <= row.BpfMapMost; m++ {
		names = append(names, m.String())
	}
	return names
}

func (k *pins) pin(name string) string { return filepath.Join(k.folder, name) }

// pinned tells whether anything is pinned by the name. To ask that by bpf(2) would need CAP_BPF, which the daemon doesn't have
// where nothing of eBPF is wanted.
func (k *pins) pinned(name string) (bool, error) {
	_, err := os.Lstat(k.pin(name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// open opens a map; nil: there is none. One that is laid out in another way is none of this build, and goes.
func (k *pins) open(name string) (*ebpf.Map, error) {
	if there, err := k.pinned(name); !there {
		return nil, err
	}
	m, err := ebpf.LoadPinnedMap(k.pin(name), nil)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", k.pin(name), err)
	}
	if s := specOf(name); m.Type() == s.Type && m.KeySize() == s.KeySize && m.ValueSize() == s.ValueSize && m.MaxEntries() == s.MaxEntries {
		return m, nil
	}
	return nil, errors.Join(m.Close(), os.Remove(k.pin(name)))
}

// make opens a map and makes it if there is none.
func (k *pins) make(name string) (*ebpf.Map, error) {
	if m, err := k.open(name); m != nil || err != nil {
		return m, err
	}
	if err := k.mkdir(); err != nil {
		return nil, err
	}
	m, err := ebpf.NewMap(specOf(name))
	if err != nil {
		return nil, fmt.Errorf("make map %s: %w", name, err)
	}
	if err := m.Pin(k.pin(name)); err != nil {
		return nil, errors.Join(fmt.Errorf("pin map %s: %w", name, err), m.Close())
	}
	return m, nil
}

// mkdir makes our folder. In a folder that is no BPF file system nothing can be pinned.
func (k *pins) mkdir() error {
	var at unix.Statfs_t
	if err := unix.Statfs(k.root, &at); err != nil {
		return fmt.Errorf("--bpf-root %s: %w", k.root, err)
	}
	if at.Type != unix.BPF_FS_MAGIC {
		return fmt.Errorf("--bpf-root %s is no BPF file system (mount -t bpf bpf %s)", k.root, k.root)
	}
	if err := os.Mkdir(k.folder, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

func (k *pins) entries(m row.BpfMap) (map[string]string, error) {
	opened, err := k.open(m.String())
	if opened == nil {
		return nil, err
	}
	defer opened.Close()
	return read(opened)
}

func (k *pins) put(m row.BpfMap, entries []row.BpfEntry) map[string]error {
	opened, err := k.make(m.String())
	if err != nil {
		return all(entries, err)
	}
	defer opened.Close()
	return write(opened, entries)
}

func all(entries []row.BpfEntry, err error) map[string]error {
	failed := map[string]error{}
	for _, e := range entries {
		failed[e.Elem] = err
	}
	return failed
}

func (k *pins) drop(m row.BpfMap, keys []string) map[string]error {
	opened, err := k.open(m.String())
	failed := map[string]error{}
	if opened == nil {
		for _, key := range keys {
			if err != nil {
				failed[key] = err
			}
		}
		return failed
	}
	defer opened.Close()
	return remove(opened, keys)
}

// renew writes until when the programs may serve, in nanoseconds since the machine has started.
func (k *pins) renew() error {
	m, err := k.open(mapLease)
	if m == nil {
		return err
	}
	defer m.Close()
	return grant(m)
}

func grant(m *ebpf.Map) error {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return err
	}
	until := binary.NativeEndian.AppendUint64(nil, uint64(now.Nano())+uint64(lease))
	return m.Put(make([]byte, 4), until)
}

// clear unpins everything in our folder, and removes it.
func (k *pins) clear() error {
	list, err := os.ReadDir(k.folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for hook := row.BpfNoHook + 1; hook <= row.BpfHookMost; hook++ {
		err = errors.Join(err, k.detach(hook))
	}
	for _, e := range list {
		if gone := os.Remove(k.pin(e.Name())); !errors.Is(gone, fs.ErrNotExist) {
			err = errors.Join(err, gone)
		}
	}
	return errors.Join(err, os.Remove(k.folder))
}

// sweep unpins what another build has left in our folder.
func (k *pins) sweep() {
	list, _ := os.ReadDir(k.folder)
	for _, e := range list {
		if name := e.Name(); !slices.Contains(mapNames(), name) && hookOf(name) == row.BpfNoHook {
			_ = os.Remove(k.pin(name)) // whatever is left is tried again at the next change
		}
	}
}

func (k *pins) counts() (map[string]Count, error) {
	counts := map[string]Count{}
	for name, heads := range map[string]row.BpfMap{mapCount4: row.BpfHeads4, mapCount6: row.BpfHeads6} {
		m, err := k.open(name)
		if m == nil {
			if err != nil {
				return nil, err
			}
			continue
		}
		raw, err := read(m)
		_ = m.Close()
		if err != nil {
			return nil, fmt.Errorf("read map %s: %w", name, err)
		}
		for front, v := range raw {
			if len(front) == heads.KeySize() && len(v) == 16 {
				counts[front] = Count{binary.NativeEndian.Uint64([]byte(v)), binary.NativeEndian.Uint64([]byte(v[8:]))}
			}
		}
	}
	return counts, nil
}

func (k *pins) forget(m row.BpfMap, fronts []string) {
	name := mapCount4
	if m == row.BpfHeads6 {
		name = mapCount6
	}
	if opened, _ := k.open(name); opened != nil {
		defer opened.Close()
		remove(opened, fronts) // a counter that stays counts nothing, and nobody reads it
	}
}

package podns

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"kube-router/internal/row"
)

// Where container runtimes leave their records, below each root.
const (
	cacheDir = "var/lib/cni/results"
	netnsDir = "run/netns"
)

// place is the network namespace of a pod as some record has it.
type place struct {
	pod   row.KubeName // zero: the record doesn't name it
	path  string
	addrs []netip.Addr // as recorded
}

// record is the part that we need of a file of libcni's cache (kind cniCacheV1).
type record struct {
	Kind   string      `json:"kind"`
	NetNS  string      `json:"netns"`
	Args   [][2]string `json:"cniArgs"`
	Result struct {
		IPs []struct {
			Address string `json:"address"`
		} `json:"ips"`
	} `json:"result"`
}

// parse reads a record; false if it is of no pod or names no namespace.
func parse(b []byte) (place, bool) {
	var r record
	if json.Unmarshal(b, &r) != nil || r.Kind != "cniCacheV1" || !filepath.IsAbs(r.NetNS) {
		return place{}, false
	}
	p := place{path: filepath.Clean(r.NetNS)}
	for _, a := range r.Args {
		switch a[0] {
		case "K8S_POD_NAMESPACE":
			p.pod.Namespace = a[1]
		case "K8S_POD_NAME":
			p.pod.Name = a[1]
		}
	}
	for _, ip := range r.Result.IPs {
		if prefix, err := netip.ParsePrefix(ip.Address); err == nil {
			p.addrs = append(p.addrs, prefix.Addr())
		}
	}
	return p, len(p.addrs) > 0
}

// recorded are the places in libcni's cache. Files that can't be read are left out: a pod may be going.
func (d *Driver) recorded() []place {
	var list []place
	for _, root := range d.roots {
		files, err := os.ReadDir(filepath.Join(root, cacheDir))
		if err != nil {
			continue
		}
		for _, f := range files {
			b, err := os.ReadFile(filepath.Join(root, cacheDir, f.Name()))
			if err != nil {
				continue
			}
			if p, ok := parse(b); ok {
				p.path = filepath.Join(root, p.path)
				list = append(list, p)
			}
		}
	}
	return list
}

// named are the named namespaces, without their pods' names and addresses.
func (d *Driver) named() []place {
	var list []place
	for _, root := range d.roots {
		files, err := os.ReadDir(filepath.Join(root, netnsDir))
		if err != nil {
			continue
		}
		for _, f := range files {
			list = append(list, place{path: filepath.Join(root, netnsDir, f.Name())})
		}
	}
	return list
}

// errNotFound is a pod without a namespace, as far as we can see.
var errNotFound = row.Foreign{Err: errors.New("its network namespace is not found in libcni's cache nor among the named ones; --runtime-endpoint may help")}

// find opens the namespace of a pod. A record of another pod with the address means that it was named wrongly.
func (d *Driver) find(ctx context.Context, r row.PodVIP) (*inside, error) {
	for _, p := range d.recorded() {
		if slices.Contains(p.addrs, r.Addr) {
			in, err := open(p.path)
			if err != nil {
				continue
			}
			has := in.has(r.Addr)
			if has && (p.pod == r.Pod || p.pod == row.KubeName{}) {
				return in, nil
			}
			in.close()
			if has {
				return nil, row.Foreign{Err: fmt.Errorf("pod %s at %s: that is the address of pod %s", r.Pod, r.Addr, p.pod)}
			}
		}
	}
	for _, p := range d.named() {
		in, err := open(p.path)
		if err != nil {
			continue
		}
		if in.has(r.Addr) {
			return in, nil
		}
		in.close()
	}
	if d.runtime == "" {
		return nil, fmt.Errorf("pod %s at %s: %w", r.Pod, r.Addr, errNotFound)
	}
	return d.asked(ctx, r)
}

// asked asks the container runtime.
func (d *Driver) asked(ctx context.Context, r row.PodVIP) (*inside, error) {
	paths, err := sandboxes(ctx, d.runtime, r.Pod)
	if err != nil {
		return nil, fmt.Errorf("pod %s: ask the container runtime at %s: %w", r.Pod, d.runtime, err)
	}
	for _, path := range paths {
		for _, root := range d.roots {
			in, err := open(filepath.Join(root, path))
			if err != nil {
				continue
			}
			if in.has(r.Addr) {
				return in, nil
			}
			in.close()
		}
	}
	return nil, row.Foreign{Err: fmt.Errorf("pod %s at %s: the container runtime names no network namespace with this address", r.Pod, r.Addr)}
}

//go:build encryption || guest

package encryption

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kube-router/internal/lab"
)

// The node that has no machine: a stranger's host speaks for it, by a key that its Node names, from addresses in its ranges.
var (
	ghostAddrs = []netip.Addr{netip.MustParseAddr("10.244.77.5"), netip.MustParseAddr("fd00:10:244:4d::5")}
	ghostSpec  = corev1.NodeSpec{PodCIDR: "10.244.77.0/24", PodCIDRs: []string{"10.244.77.0/24", "fd00:10:244:4d::/64"}}
)

const ghost = "ghost"

// appears has the Node of the ghost be there.
func (w *world) appears(at *lab.Host, key string) {
	w.t.Helper()
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: ghost, Annotations: map[string]string{"kube-router.io/wireguard-key": key}}, Spec: ghostSpec}
	w.check(w.Client.Create(w.ctx, n))
	w.check(w.Client.Merge(w.ctx, n, "status", map[string]any{"status": map[string]any{"addresses": []map[string]string{{"type": "InternalIP", "address": at.IPv4().String()}}}}))
}

// serves waits until pods of a node answer the ghost in both families.
func (w *world) serves(s *stranger, node string) error {
	return w.within(20*time.Second, func() error {
		for f, from := range ghostAddrs {
			if !s.reaches(from, w.pod(node).Addrs()[f], time.Second) {
				return fmt.Errorf("the pod of %s doesn't answer %s", node, from)
			}
		}
		return nil
	})
}

// silences does something while the ghost asks all the time, and tells how long after that it was answered last. A session that nobody ended
// would go on for minutes.
func (w *world) silences(s *stranger, node string, do func()) (time.Duration, error) {
	if err := w.serves(s, node); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithCancel(w.ctx)
	var last atomic.Int64
	var asking sync.WaitGroup
	asking.Go(func() {
		for turn := 0; ctx.Err() == nil; turn++ {
			if s.reaches(ghostAddrs[turn%2], w.pod(node).Addrs()[turn%2], 100*time.Millisecond) {
				last.Store(time.Now().UnixNano())
				time.Sleep(10 * time.Millisecond)
			}
		}
	})
	defer asking.Wait()
	defer cancel()
	answered := func() error {
		if last.Load() == 0 {
			return errors.New("it is not answered while it should be")
		}
		return nil
	}
	if err := w.within(20*time.Second, answered); err != nil {
		return 0, err
	}
	do()
	done := time.Now()
	after := func() time.Duration { return time.Unix(0, last.Load()).Sub(done) }
	err := w.within(15*time.Second, func() error {
		if quiet := time.Since(done) - after(); quiet < 2*time.Second {
			return fmt.Errorf("it was answered %s ago", quiet)
		}
		return nil
	})
	return max(after(), 0), err
}

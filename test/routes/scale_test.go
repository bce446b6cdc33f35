//go:build routes

package routes

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kube-router/internal/lab"
)

// many is how many nodes the large cluster has beside ours.
const many = 5000

// TestManyNodes is a cluster of 5,000 nodes whose routes come from their Node objects, in both families.
func TestManyNodes(t *testing.T) {
	const group = "5,000 nodes, routes from api"
	w := begin(t, lab.Config{Nodes: 1}, "--node-routes=api", "--enable-overlay=false")
	n1 := w.Node("n1")
	w.sh(n1.Host, "ip addr add 10.20.255.254/16 dev eth0; ip -6 addr add fd00:20::ffff:1/64 dev eth0 nodad")
	w.check(n1.StopDaemon())
	begun := time.Now()
	var workers sync.WaitGroup
	for i := range 8 {
		workers.Go(func() {
			for ; i < many && !t.Failed(); i += 8 {
				if err := w.register(i); err != nil {
					t.Error(err)
				}
			}
		})
	}
	workers.Wait()
	t.Logf("%d Nodes made in %s", many, round(time.Since(begun)))

	w.check(n1.StartDaemon())
	took, err := w.within(time.Minute, func() error { return w.counts(n1, 2*many) })
	w.judge(group, "a daemon that starts cold writes all their routes, both families", err, "%d routes in %s; %s", 2*many, took, memory(n1))
	begun = time.Now()
	w.check(w.register(many))
	_, err = w.within(5*time.Second, func() error {
		return w.says(n1.Host, fmt.Sprintf("ip route get 10.%d.%d.1", 128+many/256, many%256), "via 10.20.")
	})
	w.judge(group, "one more joins", err, "its routes are there after %s", round(time.Since(begun)))
	w.check(w.Client.Delete(w.ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: largeName(many)}}, nil))
	w.check(n1.KillDaemon())
	w.check(n1.StartDaemon())
	took, err = w.within(time.Minute, func() error { return w.counts(n1, 2*many) })
	w.judge(group, "one goes while the daemon is dead", err, "its routes are gone %s after the start", took)
}

func largeName(i int) string { return fmt.Sprintf("large%d", i) }

// register makes the Node object of a node of the large cluster.
func (w *world) register(i int) error {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: largeName(i)}, Spec: corev1.NodeSpec{
		PodCIDR:  fmt.Sprintf("10.%d.%d.0/24", 128+i/256, i%256),
		PodCIDRs: []string{fmt.Sprintf("10.%d.%d.0/24", 128+i/256, i%256), fmt.Sprintf("fd00:77:0:%x::/64", i)},
	}}
	for _, a := range []string{fmt.Sprintf("10.20.%d.%d", i/250, 1+i%250), fmt.Sprintf("fd00:20::%x", i+1)} {
		n.Status.Addresses = append(n.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: a})
	}
	return w.Client.Create(w.ctx, n)
}

// counts is an error unless a node's kernel has so many routes by way of other nodes.
func (w *world) counts(n *lab.Node, want int) error {
	out, err := n.Run(w.ctx, "sh", "-c", "(ip -4 route show proto 17; ip -6 route show proto 17) | grep -c via")
	if have, _ := strconv.Atoi(strings.TrimSpace(out)); have != want {
		return fmt.Errorf("%d routes, want %d (%v)", have, want, err)
	}
	return nil
}

// memory is the daemon's resident memory, and its CPU time so far.
func memory(n *lab.Node) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.DaemonPID()))
	if err != nil {
		return err.Error()
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	kib, _ := strconv.Atoi(strings.Fields(rest + " 0")[0])
	return fmt.Sprintf("%d MB, %s of CPU time", kib/1024, spent(n.DaemonPID()))
}

// spent is the CPU time that a process had (proc(5): in clock ticks of 10 ms).
func spent(pid int) time.Duration {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	var ticks time.Duration
	for _, i := range []int{11, 12} {
		if i < len(fields) {
			n, _ := strconv.Atoi(fields[i])
			ticks += time.Duration(n)
		}
	}
	return ticks * 10 * time.Millisecond
}

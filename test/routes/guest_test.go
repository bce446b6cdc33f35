//go:build guest

package routes

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kube-router/internal/lab"
)

const place = "the guest kernel"

// TestTunnels changes the overlay of one cluster from kind to kind; the old kind's tunnels must go.
func TestTunnels(t *testing.T) {
	w := begin(t, lab.Config{Nodes: 4, Subnets: 2}, "--overlay-encap=ipip", "--overlay-type=subnet")
	w.overlay("ipip", "subnet", 1000)
	w.restart("--overlay-type=full")
	w.overlay("ipip", "full", 1000)
	w.restart("--overlay-encap=fou", "--overlay-type=subnet")
	w.fresh("fou")
	w.overlay("fou", "subnet", 1000)
	w.judge("overlay fou, subnet", "the tunnels of ipip are gone", w.only("fou"), "")
	w.restart("--overlay-encap=fou", "--overlay-type=full")
	w.overlay("fou", "full", 1000)
	w.leaves()
}

// leaves deletes n4's object: the others' tunnels to it go, one of each family.
func (w *world) leaves() {
	n1 := w.Node("n1").Host
	const count = "ip -o link show | grep -c ': tun-'"
	before, err := strconv.Atoi(strings.TrimSpace(w.sh(n1, count)))
	w.check(err)
	w.check(w.Client.Delete(w.ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n4"}}, nil))
	took, err := w.within(10*time.Second, func() error { return w.says(n1, "echo left $("+count+") .", fmt.Sprintf("left %d .", before-2)) })
	w.judge("a node leaves", "its tunnels go with it", err, "%d of n1's before, %d after %s", before, before-2, took)
}

//go:build boundaries

package boundaries

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kube-router/internal/lab"
)

// anotherCNI is a configuration that is none of ours; what follows its plugin is left open.
const anotherCNI = `{"cniVersion": "1.0.0", "name": "another", "plugins": [{"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true,
	"ipam": {"type": "host-local", "ranges": [%s], "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]}}%s]}`

// beside is a cluster of the firewall alone, on another CNI's bridge.
func beside(t *testing.T, then string) *scene {
	t.Helper()
	w := start(t, lab.Config{Nodes: 2, NoDaemon: true, DaemonArgs: []string{"--run-router=false", "--run-service-proxy=false"}})
	for _, n := range w.Nodes() {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.Name}}
		if err := w.Client.Get(w.ctx, node); err != nil {
			t.Fatal(err)
		}
		var ranges []string
		for _, c := range node.Spec.PodCIDRs {
			ranges = append(ranges, fmt.Sprintf(`[{"subnet": %q}]`, c))
		}
		if err := os.WriteFile(filepath.Join(n.CNIDir(), "05-another.conflist"), fmt.Appendf(nil, anotherCNI, strings.Join(ranges, ","), then), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := n.StartDaemon(); err != nil {
			t.Fatal(err)
		}
	}
	return w.scene(t, "cni0")
}

// TestFramesOnAnotherBridge: on a bridge that another CNI made a pod is itself or isn't heard, as on ours, where that CNI chains our plugin, which
// tells whose port is whose. Where it doesn't nobody knows in time, and a remark on the Node says what that means.
func TestFramesOnAnotherBridge(t *testing.T) {
	s := beside(t, `, {"type": "kube-router-cni"}`)
	e := listenAt(t, s.db)
	s.try(t, "chained", e, s.attacks(t), func(c crafted) bool { return !c.own })
	judge(t, "chained: what was there before is reached", s.answered(t))

	s = beside(t, "")
	e = listenAt(t, s.db)
	attacks := s.attacks(t)
	for _, c := range attacks {
		sendFrames(t, s.mallory, c.frames...)
	}
	s.marker(t, e, "not chained")
	complaint := ""
	if !e.hears("as a neighbour, IPv4") { // who reads that all of them ended above must know that they would be heard
		complaint = "a frame from a neighbour's address wasn't heard, though nobody guards"
	}
	judge(t, "not chained: frames are heard", complaint)
	complaint = ""
	if out := mustRun(t, s.world, s.Node("n1").Host, programs+"/kube-router", "show", "remarks"); !strings.Contains(out, "the bridge cni0 of another CNI") {
		complaint = out
	}
	judge(t, "not chained: a remark says so", complaint)
}

//go:build !guest

package operate

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// TestANodeThatTheClusterDoesNotKnow starts the daemon where no Node has its name: the object was deleted, or the name is
// wrong. It says so and writes nothing, so that the routes of its earlier life stay; it goes on when the object comes.
func TestANodeThatTheClusterDoesNotKnow(t *testing.T) {
	n := newNode(t, "--node-routes=api")
	n.apply("{apiVersion: v1, kind: Node, metadata: {name: n2}, spec: {podCIDRs: [10.244.2.0/24]}, status: {addresses: [{type: InternalIP, address: " + outsideIP.String() + "}]}}")
	route := func() error {
		if text := n.sh("ip route show 10.244.2.0/24"); !strings.Contains(text, "proto 17") {
			return fmt.Errorf("no route to n2: %s", text)
		}
		return nil
	}
	n.start()
	n.eventually("routing", route)
	n.stop()
	n.check(n.api.Store.Remove(&corev1.Node{}, "", "n1"))

	const cause = `the Node object "n1": the API server has none of that name`
	n.once(0, append(n.flags(), "--cache-sync-timeout=3s")...).wants(t, 1, "", cause)
	n.launch()
	n.eventually("telling", func() error {
		text, err := n.show("summary")
		if err == nil && (!strings.Contains(text, "starting") || !strings.Contains(text, cause)) {
			err = errors.New(text)
		}
		return err
	})
	time.Sleep(time.Second)
	n.check(route())
	n.apply("{apiVersion: v1, kind: Node, metadata: {name: n1}, spec: {podCIDRs: [10.244.1.0/24]}, status: {addresses: [{type: InternalIP, address: " + nodeIP.String() + "}]}}")
	n.ready()
	n.check(route())
}

//go:build interop

package interop

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"google.golang.org/grpc"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kube-router/internal/lab"
)

// TestPerAS has no full mesh: nodes of one AS peer, routers see each node in its own AS, and a node changes its AS
// live.
func TestPerAS(t *testing.T) {
	w := begin(t, lab.Config{Nodes: 3}, append(peering(first), "--nodes-full-mesh=false")...)
	w.until("without an AS number a node has no BGP, and says so", 5*time.Second, func() error {
		return contains(w.show("n1", "remarks"), "every node needs its AS number")
	})
	w.annotate("n1", "node.asn", "64600")
	w.annotate("n2", "node.asn", "64600")
	w.annotate("n3", "node.asn", "4200000700")
	config := birdPeers(first, first6, "65001", "", "172.30.0.11", "172.30.0.12", "172.30.0.13")
	for n, as := range map[string]string{"172.30.0.11": "64600", "172.30.0.12": "64600", "172.30.0.13": "4200000700"} {
		config = strings.Replace(config, "neighbor "+n+" as 64512", "neighbor "+n+" as "+as, 1)
	}
	r := w.bird("r1", config)
	w.until("nodes of one AS peer", 10*time.Second, func() error {
		if err := peers(w, "n3"); err != nil {
			return err
		}
		return peers(w, "n1", "n2")
	})
	r.says(10*time.Second, "show route all for 10.244.1.0/24", "BGP.as_path: 64600\n")
	r.says(10*time.Second, "show route all for 10.244.3.0/24", "BGP.as_path: 4200000700\n")
	begun := upSince(r, "n1")
	w.annotate("n3", "node.asn", "64600")
	r.reconfigure(strings.ReplaceAll(config, "4200000700", "64600"))
	w.until("n3 is in the mesh", 10*time.Second, func() error { return peers(w, "n1", "n2", "n3") })
	r.says(15*time.Second, "show route all for 10.244.3.0/24", "BGP.as_path: 64600\n")
	if now := upSince(r, "n1"); !now.is(begun) {
		t.Errorf("n1's session, which it didn't concern, stood since %s, now since %s", begun, now)
	}
}

// TestChoices is about ports, hold time, identity, local addresses, the file of passwords, and what is announced.
func TestChoices(t *testing.T) {
	file := t.TempDir() + "/passwords"
	write(t, file, "c2VjcmV0\n")
	w := begin(t, lab.Config{}, append(peering(first), "--bgp-port=1790", "--peer-router-ports=1179", "--peer-router-passwords-file="+file,
		"--bgp-holdtime=27s", "--router-id=generate", "--advertise-pod-cidr=false", "--advertise-external-ip=false")...)
	w.apply(service("web", "10.98.0.1", "fd00:10:98::1", "n1", "Cluster"))
	w.until("nodes peer at their port", 10*time.Second, func() error { return contains(w.routes("n1"), "10.244.2.0/24 via 172.30.0.12") })
	config := strings.ReplaceAll(birdPeers(first, first6, "65001", `password "secret"; passive on;`, "172.30.0.11", "172.30.0.12"),
		"as 65001; neighbor", "port 1179 as 65001; neighbor")
	r := w.bird("r1", config)
	r.says(10*time.Second, "show protocols all n1", "Established", "Hold timer:", "/27")
	r.says(10*time.Second, "show protocols n2", "Established")
	if err := lacks(r.ask("show protocols all n1"), "Neighbor ID: 172.30.0.11"); err != nil {
		t.Error(err)
	}
	if err := lacks(r.ask("show route protocol n1"), "10.244.1.0/24", "10.98.0.1"); err != nil {
		t.Error(err)
	}
	// One Service is announced by its annotation. One with an address that is out of bounds harms nobody.
	mark := func(text string) string {
		return strings.Replace(text, "namespace: default}", `namespace: default, annotations: {kube-router.io/service.advertise.externalip: "true"}}`, 1)
	}
	w.apply(mark(service("bad", "192.0.2.77", "2001:db8:77::1", "n1", "Cluster")))
	w.apply(mark(service("web", "10.98.0.1", "fd00:10:98::1", "n1", "Cluster")))
	r.says(2*time.Second, "show route protocol n1", "10.98.0.1/32", "fd00:10:98::1/128")
	if err := lacks(r.ask("show route"), "192.0.2.77", "2001:db8:77::1"); err != nil {
		t.Error(err)
	}
	// The speaker listens on another address of the node's, live.
	n1 := w.node("n1")
	if out, err := n1.Run(w.ctx, "ip", "addr", "add", "172.30.0.111/32", "dev", "eth0"); err != nil {
		t.Fatal(err, out)
	}
	w.annotate("n1", "bgp-local-addresses", "172.30.0.111")
	w.until("it listens there", 5*time.Second, func() error {
		out, err := n1.Run(w.ctx, "ss", "-Hltn", "sport", "=", ":1790")
		if err == nil {
			err = contains(out, "172.30.0.111:1790")
		}
		if err == nil {
			err = lacks(out, "172.30.0.11:1790")
		}
		return err
	})
	w.until("the gobgp command is answered", 5*time.Second, func() error { return w.gobgp("n1", 64512) })
}

// gobgp asks as the gobgp command does.
func (w *world) gobgp(node string, as uint32) error {
	ctx, cancel := context.WithTimeout(w.ctx, 2*time.Second)
	defer cancel()
	g, err := w.service(node, "tcp", "127.0.0.1:50051").GetBgp(ctx, &api.GetBgpRequest{}, grpc.WaitForReady(true))
	if err == nil && g.Global.Asn != as {
		return fmt.Errorf("it answers with AS %d", g.Global.Asn)
	}
	return err
}

// TestOwnNodeGone deletes a Node object by mistake: what its node announces stays.
func TestOwnNodeGone(t *testing.T) {
	w := begin(t, lab.Config{Nodes: 1}, peering(first)...)
	w.apply(service("web", "10.98.0.1", "fd00:10:98::1", "n1", "Cluster"))
	r := w.bird("r1", birdPeers(first, first6, "65001", "", "172.30.0.11"))
	r.says(10*time.Second, "show route protocol n1", "10.244.1.0/24", "10.98.0.1/32")
	w.until("n1 has BIRD's routes", 5*time.Second, func() error {
		return contains(w.routes("n1"), "198.51.100.0/24", "203.0.113.0/24", "2001:db8:51::/48")
	})
	since, before := upSince(r, "n1"), w.routes("n1")
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}
	if err := w.Client.Get(w.ctx, node); err != nil {
		t.Fatal(err)
	}
	routes := w.watch(func() error { return contains(r.ask("show route protocol n1"), "10.244.1.0/24", "10.98.0.1/32") })
	if err := w.Client.Delete(w.ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}, nil); err != nil {
		t.Fatal(err)
	}
	w.until("it is remarked on", 5*time.Second, func() error { return contains(w.show("n1", "remarks"), "the object was deleted") })
	time.Sleep(time.Second)
	if now := w.routes("n1"); now != before || upSince(r, "n1") != since {
		t.Errorf("routes were\n%sand are\n%s", before, now)
	}
	node.ResourceVersion, node.UID = "", ""
	if err := w.Client.Create(w.ctx, node); err != nil {
		t.Fatal(err)
	}
	w.until("it is back", 5*time.Second, func() error { return lacks(w.show("n1", "remarks"), "the object was deleted") })
	if bad, n := routes.end(); len(bad) > 0 || n < 20 {
		t.Errorf("%d looks, wrong: %v", n, bad)
	}
}

//go:build addresses

package addresses

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kube-router/internal/lab"
)

// The routers of the tests: BIRD on r1, of AS 64601, and FRR on r2, of AS 64602.
const (
	birdAddr = "172.30.0.200"
	frrAddr  = "172.30.0.201"
)

// run starts a program on a host that ends with the lab.
func (w *world) run(t *testing.T, h *lab.Host, name string, args ...string) {
	t.Helper()
	cmd := h.Command(context.Background(), name, args...)
	log, err := os.Create(filepath.Join(w.Dir(), h.Name+"-"+filepath.Base(name)+".log"))
	w.must(t, err)
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	w.must(t, cmd.Start())
	go cmd.Wait()
}

// bird starts BIRD with neighbors n1 and n2, the nodes, with that password and hold time.
func (w *world) bird(t *testing.T, password string) {
	t.Helper()
	h := w.Host("r1")
	config := "log stderr all;\nrouter id " + birdAddr + ";\nprotocol device { scan time 1; }\n"
	for i, n := range w.Nodes() {
		config += fmt.Sprintf("protocol bgp n%d { local %s as 64601; neighbor %s as 64512; password %q; connect retry time 1; error wait time 1,2;\n"+
			" ipv4 { import all; export none; }; ipv6 { import all; export none; }; }\n", i+1, birdAddr, n.Addrs()[0], password)
	}
	w.must(t, os.WriteFile(filepath.Join(w.Dir(), h.Name, "/run/bird.conf"), []byte(config), 0o600))
	if out, err := h.Run(w.ctx, "/usr/sbin/birdc", "-s", "/run/bird.ctl", "configure"); err == nil && strings.Contains(out, "econfigur") {
		return
	}
	w.run(t, h, "/usr/sbin/bird", "-f", "-c", "/run/bird.conf", "-s", "/run/bird.ctl", "-P", "/run/bird.pid")
}

// frr starts FRR's zebra and bgpd with that configuration of bgpd.
func (w *world) frr(t *testing.T, config string) {
	t.Helper()
	const dir = "/run/frr"
	h := w.Host("r2")
	w.must(t, os.MkdirAll(filepath.Join(w.Dir(), h.Name, dir), 0o755))
	for name, text := range map[string]string{"zebra": "log stdout warnings\n", "bgpd": config} {
		w.must(t, os.WriteFile(filepath.Join(w.Dir(), h.Name, dir, name+".conf"), []byte(text), 0o644))
	}
	for _, command := range [][]string{{"chown", "-R", "frr:frr", dir}, {"mount", "-t", "tmpfs", "tmpfs", "/var/tmp"}} {
		if out, err := h.Run(w.ctx, command[0], command[1:]...); err != nil {
			t.Fatalf("%v: %v: %s", command, err, out)
		}
	}
	for _, name := range []string{"zebra", "bgpd"} {
		w.run(t, h, "/usr/lib/frr/"+name, "-f", dir+"/"+name+".conf", "-i", dir+"/"+name+".pid", "--vty_socket", dir, "-z", dir+"/zserv.api", "--log", "stdout", "-P", "0")
		w.must(t, w.Until(w.ctx, name, func() error { _, err := os.Stat(filepath.Join(w.Dir(), h.Name, dir, name+".vty")); return err }))
	}
}

// sessions are the established sessions of a node with routers: since when, by "object address".
func (w *world) sessions(node string) (map[string]time.Time, error) {
	out, err := w.Node(node).Run(w.ctx, programs+"/kube-router", "show", "peers", "-o", "json")
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	var list []struct {
		Addr, Node, Session, From string
		Since                     time.Time
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		return nil, fmt.Errorf("%w in %s", err, out)
	}
	have := map[string]time.Time{}
	for _, s := range list {
		if s.Node == "" && s.Session == "ESTABLISHED" {
			have[s.From+" "+s.Addr] = s.Since
		}
	}
	return have, nil
}

// established waits until a node has these sessions with routers and no other, and tells since when.
func (w *world) established(t *testing.T, node string, want ...string) map[string]time.Time {
	t.Helper()
	slices.Sort(want)
	var have map[string]time.Time
	w.must(t, w.Until(w.ctx, fmt.Sprint(node, " has sessions ", want), func() (err error) {
		have, err = w.sessions(node)
		var names []string
		for n := range have {
			names = append(names, n)
		}
		slices.Sort(names)
		if err == nil && !slices.Equal(names, want) {
			err = fmt.Errorf("it has %v", names)
		}
		return err
	}))
	return have
}

// accepted waits for the status of a BGPPeer.
func (w *world) accepted(t *testing.T, name, want string) string {
	t.Helper()
	have := ""
	err := w.Until(w.ctx, "the status of BGPPeer "+name, func() error {
		raw, err := w.Client.Raw(w.ctx, "/apis/kube-router.io/v1alpha1/bgppeers/"+name)
		if err != nil {
			return err
		}
		var o struct {
			Status struct {
				Nodes      int
				Conditions []struct{ Type, Status, Reason string }
			}
		}
		if err := json.Unmarshal(raw, &o); err != nil {
			return err
		}
		if have = fmt.Sprint(o.Status.Nodes, o.Status.Conditions); have != want {
			return fmt.Errorf("%s, want %s", have, want)
		}
		return nil
	})
	if err != nil {
		return err.Error()
	}
	return ""
}

const tor1 = `
apiVersion: kube-router.io/v1alpha1
kind: BGPPeer
metadata: {name: tor1}
spec: {address: 172.30.0.200, asn: 64601, authentication: {type: MD5, secretKey: tor1}, %s}
`

const keys = `
apiVersion: v1
kind: Secret
metadata: {name: kube-router-bgp, namespace: kube-system}
data: {tor1: %s}
`

// TestPeersAsObjects: routers come, change and go as objects while the daemon runs, each alone; without its password a router has no session.
func TestPeersAsObjects(t *testing.T) {
	w := start(t, lab.Config{
		Nodes: 2, Hosts: []lab.HostConfig{{Name: "r1"}, {Name: "r2"}},
		DaemonArgs: []string{"--peer-router-ips=" + frrAddr, "--peer-router-asns=64999"},
	})
	w.definitions(t, "bgppeers")
	w.bird(t, "sesame")
	w.frr(t, "router bgp 64602\n bgp router-id "+frrAddr+"\n no bgp ebgp-requires-policy\n neighbor 172.30.0.11 remote-as 64700\n neighbor 172.30.0.11 timers connect 1\n neighbor 172.30.0.11 ttl-security hops 1\n")
	w.must(t, w.Apply(w.ctx, fmt.Sprintf(tor1, "")+`---
apiVersion: kube-router.io/v1alpha1
kind: BGPPeer
metadata: {name: tor2}
spec:
  nodeSelector: {matchLabels: {kubernetes.io/hostname: n1}}
  address: 172.30.0.201
  asn: 64602
  localASN: 64700
  ttlSecurityHops: 1
  families: [IPv4]
  holdTimeSeconds: 9
  keepaliveSeconds: 2
---
{apiVersion: v1, kind: Node, metadata: {name: n1, labels: {kubernetes.io/hostname: n1}}}
`))
	w.informed(t, "BGPPeer")
	judge(t, "a router without its password has no session, and says so", w.accepted(t, "tor1", "2 [{Accepted False NoSession}]"))
	judge(t, "the node of another AS, which the flag's router is not", w.accepted(t, "tor2", "1 [{Accepted True Accepted}]"))
	w.established(t, "n1", "BGPPeer tor2 "+frrAddr)

	w.must(t, w.Apply(w.ctx, fmt.Sprintf(keys, base64.StdEncoding.EncodeToString([]byte("sesame")))))
	for _, n := range []string{"n1", "n2"} {
		want := []string{"BGPPeer tor1 " + birdAddr}
		if n == "n1" {
			want = append(want, "BGPPeer tor2 "+frrAddr)
		}
		w.established(t, n, want...)
	}
	judge(t, "with it, it has", w.accepted(t, "tor1", "2 [{Accepted True Accepted}]"))
	before := w.established(t, "n1", "BGPPeer tor1 "+birdAddr, "BGPPeer tor2 "+frrAddr)
	time.Sleep(time.Until(before["BGPPeer tor1 "+birdAddr].Add(2 * time.Second))) // the speaker tells since when in whole seconds

	// Another password, on both sides: that session begins anew, the other one stays.
	w.bird(t, "open")
	w.must(t, w.Apply(w.ctx, fmt.Sprintf(keys, base64.StdEncoding.EncodeToString([]byte("open")))))
	w.must(t, w.Until(w.ctx, "a session with the new password", func() error {
		have, err := w.sessions("n1")
		if at := have["BGPPeer tor1 "+birdAddr]; err == nil && !at.After(before["BGPPeer tor1 "+birdAddr]) {
			err = fmt.Errorf("established at %v", at)
		}
		return err
	}))
	after := w.established(t, "n1", "BGPPeer tor1 "+birdAddr, "BGPPeer tor2 "+frrAddr)
	complaint := ""
	if other := "BGPPeer tor2 " + frrAddr; !after[other].Equal(before[other]) {
		complaint = fmt.Sprintf("the other session began anew: %v, before %v", after[other], before[other])
	}
	judge(t, "a new password is one session's alone", complaint)

	// An object that goes takes its session along, and what the flag says of the address stands again: no router of that AS is there.
	w.must(t, w.Client.Remove(w.ctx, []byte("{apiVersion: kube-router.io/v1alpha1, kind: BGPPeer, metadata: {name: tor2}}")))
	last := w.established(t, "n1", "BGPPeer tor1 "+birdAddr)
	complaint = ""
	if one := "BGPPeer tor1 " + birdAddr; !last[one].Equal(after[one]) {
		complaint = "the session of another object began anew"
	}
	judge(t, "an object that goes ends its session alone", complaint)
	for _, n := range w.Nodes() {
		text, err := os.ReadFile(n.LogPath())
		w.must(t, err)
		if strings.Contains(string(text), "sesame") {
			t.Error("a password is in the log of " + n.Name)
		}
	}
}

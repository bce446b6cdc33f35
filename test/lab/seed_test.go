package lab_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kube-router/internal/lab"
)

// seedConf is the CNI file of kube-router's first guide, which people write by hand.
const seedConf = `{
"name":"mynet",
"type":"bridge",
"bridge":"kube-bridge",
"isDefaultGateway":true,
"hairpinMode":true,
"ipam": {
"type":"host-local"
}
}
`

// TestTheFirstGuide follows it: the file by hand, the flags of then. Pods start with addresses of their node, and it is shown
// which file counts.
func TestTheFirstGuide(t *testing.T) {
	l, ctx := start(t, lab.Config{Nodes: 1, DaemonArgs: []string{"--config-sync-period=1m0s", "--logtostderr"}})
	n := l.Node("n1")
	conf := filepath.Join(n.CNIDir(), "10-kuberouter.conf")
	if err := n.StopDaemon(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(n.CNIDir(), "10-kuberouter.conflist")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(conf, []byte(seedConf), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := n.StartDaemon(); err != nil {
		t.Fatal(err)
	}
	eventually(t, ctx, l, "the file to be merged", 20*time.Second, func() error { _, err := os.Stat(conf); return gone(err) })
	if err := l.Apply(ctx, "{apiVersion: v1, kind: Pod, metadata: {name: late, labels: {app: web}}, spec: {containers: [{name: c, image: lab, ports: [{name: http, containerPort: 8080}]}]}}"); err != nil {
		t.Fatal(err)
	}
	if err := l.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	if pod := l.Pod("late"); !pod.IPv4().IsValid() || !pod.IPv6().IsValid() {
		t.Errorf("the pod's addresses: %v", pod.Addrs())
	}
	text, err := n.Run(ctx, filepath.Join(programs, "kube-router"), "show", "summary")
	if err != nil || !strings.Contains(text, "10-kuberouter.conflist counts; what 10-kuberouter.conf said is in it") {
		t.Errorf("%v: %s", err, text)
	}
	if log := n.DaemonLog(); !strings.Contains(log, "--config-sync-period is obsolete") {
		t.Errorf("the log doesn't tell of obsolete flags:\n%s", log)
	}
}

// gone wants a file not to be there.
func gone(err error) error {
	if err == nil {
		return os.ErrExist
	}
	return nil
}

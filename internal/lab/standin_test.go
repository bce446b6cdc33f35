package lab_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"kube-router/internal/lab"
)

func TestMain(m *testing.M) { os.Exit(lab.Main(m.Run)) }

// start starts a lab without daemons and routes for it: a bridge for the pods of each node, and a route to them on the router.
func start(t *testing.T, config lab.Config) (*lab.Lab, context.Context) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	t.Cleanup(cancel)
	config.NoDaemon = true
	l, err := lab.Start(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	standIn(t, l)
	return l, ctx
}

func cidrs(n *lab.Node) []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix(fmt.Sprintf("10.244.%d.0/24", n.Number())),
		netip.MustParsePrefix(fmt.Sprintf("fd00:10:244:%x::/64", n.Number())),
	}
}

func standIn(t *testing.T, l *lab.Lab) {
	t.Helper()
	for _, n := range l.Nodes() {
		p := cidrs(n)
		conf := fmt.Sprintf(`{"cniVersion":"1.0.0","name":"stand-in","plugins":[
			{"type":"bridge","bridge":"kube-bridge","isDefaultGateway":true,"hairpinMode":true,
			 "ipam":{"type":"host-local","ranges":[[{"subnet":%q}],[{"subnet":%q}]]}},
			{"type":"portmap","capabilities":{"portMappings":true}},
			{"type":"bandwidth","capabilities":{"bandwidth":true}}]}`, p[0], p[1])
		if err := n.Space().Sysctl("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"); err != nil {
			t.Fatal(err)
		}
		for i, via := range []netip.Addr{n.IPv4(), n.IPv6()} {
			if err := l.Fabric().Route(p[i], via); err != nil { // the router knows every pod, and the nodes' default route leads to it
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(n.CNIDir(), "10-stand-in.conflist"), []byte(conf), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

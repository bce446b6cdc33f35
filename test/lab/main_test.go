// Package lab_test proves the first promise of the program on the real thing: a cluster of nodes in network
// namespaces, the real binary on each, real pods and packets.
package lab_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"kube-router/internal/lab"
	"kube-router/internal/lab/labtest"
	"kube-router/internal/lab/probe"
)

// programs is the directory of our programs.
var programs string

func TestMain(m *testing.M) {
	if len(os.Args) > 3 && os.Args[1] == "runtime" { // TestContainerRuntime runs this program on a node
		os.Exit(containerRuntime(os.Args[2:]))
	}
	os.Exit(lab.Suite(func(dir string) int {
		programs = dir
		return m.Run()
	}))
}

// start starts a lab that ends with the test, with the web pods and Services of web.yaml ready.
func start(t *testing.T, config lab.Config) (*lab.Lab, context.Context) {
	t.Helper()
	if extra := os.Getenv("KR_ARGS"); extra != "" {
		config.DaemonArgs = append(config.DaemonArgs, strings.Fields(extra)...)
	}
	l, ctx := labtest.Start(t, 2*time.Minute, programs, config)
	manifest, err := os.ReadFile("web.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Apply(ctx, string(manifest)); err != nil {
		t.Fatal(err)
	}
	if err := l.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	reaches(t, ctx, l)
	return l, ctx
}

// reaches waits until every pod answers the client's node: BGP sessions take a moment.
func reaches(t *testing.T, ctx context.Context, l *lab.Lab) {
	t.Helper()
	for _, pod := range l.Pods("default", "app=web") {
		for _, a := range pod.Addrs() {
			serves(t, ctx, l, l.Pod("client"), probe.Request{To: netip.AddrPortFrom(a, 8080)})
		}
	}
}

// web is a fixed front of web.yaml.
func web(addr string) probe.Request {
	return probe.Request{To: netip.AddrPortFrom(netip.MustParseAddr(addr), 80)}
}

// eventually waits until ask is content.
func eventually(t *testing.T, ctx context.Context, l *lab.Lab, what string, limit time.Duration, ask func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := l.Until(ctx, what, ask); err != nil {
		t.Error(err)
	}
}

// serves waits until a front answers from a host, since a Service is programmed after its pods are ready.
func serves(t *testing.T, ctx context.Context, l *lab.Lab, from *lab.Host, q probe.Request) {
	t.Helper()
	eventually(t, ctx, l, q.To.String(), 10*time.Second, func() error {
		if r := from.Probe(q); !r.OK() {
			return fmt.Errorf("%v", r)
		}
		return nil
	})
}

package lab_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"kube-router/internal/lab"
	"kube-router/internal/lab/probe"
)

// TestKillLosesNoPacket kills the daemon of every node under a load of new connections and a long-lived one,
// in both families, and starts it again.
func TestKillLosesNoPacket(t *testing.T) {
	l, ctx := start(t, lab.Config{Nodes: 2})
	client := l.Pod("client")
	for _, addr := range []string{"10.96.0.80", "fd00:10:96::80"} {
		serves(t, ctx, l, client, web(addr))
	}
	line, err := client.Open(web("10.96.0.80"))
	if err != nil {
		t.Fatal(err)
	}
	defer line.Close()
	loadCtx, stop := context.WithCancel(ctx)
	var load sync.WaitGroup
	load.Go(func() {
		if failure := line.Keep(loadCtx, 20*time.Millisecond); failure != nil {
			t.Errorf("the long-lived connection: %v", failure)
		}
	})
	tallies := make([]*probe.Tally, 2)
	for i, addr := range []string{"10.96.0.80", "fd00:10:96::80"} {
		load.Go(func() {
			tallies[i], err = client.Load(loadCtx, web(addr), 100, 4)
			if err != nil {
				t.Error(err)
			}
		})
	}
	time.Sleep(500 * time.Millisecond)
	for _, n := range l.Nodes() {
		if err := n.KillDaemon(); err != nil {
			t.Error(err)
		}
	}
	time.Sleep(time.Second)
	for _, n := range l.Nodes() {
		if err := n.StartDaemon(); err != nil {
			t.Error(err)
		}
	}
	time.Sleep(2 * time.Second)
	stop()
	load.Wait()
	for _, tally := range tallies {
		t.Log(tally)
		if !tally.OK() || tally.Total < 200 {
			t.Errorf("lost connections: %v", tally)
		}
	}
	t.Logf("long-lived connection: %d echoes, the slowest took %s", line.Beats, line.Worst)
}

//go:build policy

package policy

import (
	"encoding/binary"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"kube-router/internal/lab"
	"kube-router/internal/lab/probe"
)

// TestFlags restarts a node's daemon with the flags that change what policies judge.
func TestFlags(t *testing.T) {
	w := shared
	server, client := w.Pod("x/a"), w.Pod("x/c")
	node := w.Node(server.NodeName())
	target := probe.Request{To: netip.AddrPortFrom(server.IPv4(), 80), Timeout: 300 * time.Millisecond}
	w.until(t, "no policy is left", func() bool { return client.Probe(target).OK() })
	closed := `spec: {podSelector: {matchLabels: {pod: a}}}`
	w.one(t, "echo passes unless it is judged", func(t *testing.T) {
		w.apply(t, parse(t, closed)...)
		w.until(t, "the policy holds", func() bool { return !client.Probe(target).OK() })
		if !echoes(t, client, server.IPv4()) {
			t.Error("an echo was refused")
		}
	})
	if err := node.RestartDaemon("--netpol-judge-icmp-echo", "--netpol-keep-established"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := node.RestartDaemon(); err != nil {
			t.Error(err)
		}
	})
	w.one(t, "echo is judged", func(t *testing.T) {
		w.until(t, "echo passes without policies", func() bool { return echoes(t, client, server.IPv4()) })
		w.apply(t, parse(t, closed)...)
		w.until(t, "an isolated pod hears no echo", func() bool { return !echoes(t, client, server.IPv4()) })
	})
	w.one(t, "established connections are kept", func(t *testing.T) {
		w.until(t, "no policy is left", func() bool { return client.Probe(target).OK() })
		line, err := client.Open(probe.Request{To: target.To, Timeout: 3 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		defer line.Close()
		w.apply(t, parse(t, closed)...)
		w.until(t, "new ones are refused", func() bool { return !client.Probe(target).OK() })
		for end := time.Now().Add(2 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
			if err := line.Beat(); err != nil {
				t.Fatalf("it ended: %v", err)
			}
		}
	})
}

// echoes tells whether an echo request is answered (RFC 792). Each has an identifier of its own, for those of one
// are one flow.
func echoes(t *testing.T, from *lab.Host, to netip.Addr) bool {
	t.Helper()
	id := uint16(rand.IntN(0x7000))
	request := []byte{8, 0, 0, 0, 0, 0, 0, 1}
	binary.BigEndian.PutUint16(request[4:], id)
	binary.BigEndian.PutUint16(request[2:], ^(0x0800 + id + 1))
	answered := false
	err := from.Do(func() error {
		conn, err := net.Dial("ip4:1", to.String())
		if err != nil {
			return err
		}
		defer conn.Close()
		if _, err := conn.Write(request); err != nil {
			return nil // it was refused
		}
		_ = conn.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		buf := make([]byte, 200)
		for {
			n, _, err := conn.(*net.IPConn).ReadFromIP(buf) // which leaves the header out
			if err != nil {
				return nil
			}
			if n >= 8 && buf[0] == 0 {
				answered = true
				return nil
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return answered
}

// TestAway starts a pod while its node's daemon is dead: it waits, and nothing of it passes; with the daemon it runs.
func TestAway(t *testing.T) {
	w := shared
	w.one(t, "no pod starts without the daemon", func(t *testing.T) {
		node := w.Node("n1")
		if err := node.KillDaemon(); err != nil {
			t.Fatal(err)
		}
		pod := newPod("z", "orphan", "n1")
		if err := w.Client.Create(w.ctx, pod); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := w.Client.Delete(w.ctx, newPod("z", "orphan", ""), new(int64(0))); err != nil {
				t.Error(err)
			}
			if err := w.WaitGone(w.ctx, "z", "orphan"); err != nil {
				t.Error(err)
			}
		}()
		time.Sleep(3 * time.Second)
		if h := w.FindPod("z/orphan"); h != nil {
			t.Errorf("it runs at %v", h.Addrs())
		}
		if err := node.StartDaemon(); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		w.until(t, "it starts once the daemon is there", func() bool {
			h := w.FindPod("z/orphan")
			return h != nil && h.Probe(probe.Request{To: netip.AddrPortFrom(w.Pod("y/a").IPv4(), 80), Timeout: 300 * time.Millisecond}).OK()
		})
		t.Logf("it runs %s after the daemon began", time.Since(begin).Round(time.Millisecond))
		if strings.Contains(node.DaemonLog(), "panic") {
			t.Error("the daemon panicked")
		}
	})
}

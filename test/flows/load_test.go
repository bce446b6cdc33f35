//go:build flows

package flows

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"kube-router/internal/lab"
)

// burst sends datagrams from a pod, each from another port or to another, so that each is a connection of its own: so many a second.
func burst(t testing.TB, from *lab.Host, to netip.Addr, rate int, lasting time.Duration) (sent int) {
	t.Helper()
	err := from.Do(func() error {
		var list []*net.UDPConn
		for range 8 {
			c, err := net.ListenUDP("udp", nil)
			if err != nil {
				return err
			}
			defer c.Close()
			list = append(list, c)
		}
		begin := time.Now()
		for {
			passed := time.Since(begin)
			if passed > lasting {
				return nil
			}
			for due := int(passed.Seconds() * float64(rate)); sent < due; sent++ {
				at := netip.AddrPortFrom(to, uint16(10_000+sent/len(list)%50_000))
				if _, err := list[sent%len(list)].WriteToUDPAddrPort([]byte("x"), at); err != nil && !strings.Contains(err.Error(), "refused") {
					return err
				}
			}
			time.Sleep(2 * time.Millisecond) // the pace of the sender
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return sent
}

// use is the CPU time and resident memory of the daemon of a node.
func use(t *testing.T, n *lab.Node) (cpu time.Duration, memory int) {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", n.DaemonPID()))
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(stat[strings.LastIndex(string(stat), ")")+2:]))
	ticks := 0
	for _, i := range []int{11, 12} { // utime and stime, proc(5)
		v, err := strconv.Atoi(f[i])
		if err != nil {
			t.Fatal(err)
		}
		ticks += v
	}
	pages, err := strconv.Atoi(f[21])
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(ticks) * 10 * time.Millisecond, pages * os.Getpagesize()
}

// counted is how many records of a burst a node has, and how many events it says were lost.
func (w *world) counted(node string, to netip.Addr) (flows int, lost uint64, err error) {
	text, err := w.run(node, "flows", "--all", "--to-ip", to.String(), "--protocol", "udp", "-o", "json")
	if err != nil {
		return 0, 0, err
	}
	list, err := records(text)
	for _, r := range list {
		if r.Lost != nil {
			lost += r.Lost.Number
		} else {
			flows++
		}
	}
	return flows, lost, err
}

// TestLoad: nothing is lost at 2,000 connections a second; at 10,000 what is lost is told, the daemon's share of a core is bounded, and its memory is flat.
func TestLoad(t *testing.T) {
	w := begin(t, lab.Config{Nodes: 1}, "--flows-buffer=131072", "--flows-drops-buffer=100")
	client, n := w.pod("default", "client", "n1"), w.Node("n1")
	to := w.pod("shop", "web", "n1").IPv4()
	sent := burst(t, client, to, 2000, 4*time.Second)
	err := w.soon(func() error {
		flows, lost, err := w.counted("n1", to)
		if err == nil && (flows != sent || lost != 0) {
			err = fmt.Errorf("%d connections were made, %d are told, %d events lost", sent, flows, lost)
		}
		return err
	})
	w.judge("load", "2,000 a second: every one is told", err)

	// Their ends come as well, so that connections don't fill the kernel's table.
	out, err := n.Run(w.ctx, "sysctl", "-qw", "net.netfilter.nf_conntrack_udp_timeout=5")
	if err != nil {
		t.Fatal(out, err)
	}
	_, before := use(t, n)
	var shares, memories []string
	to6, total := w.pod("shop", "web", "n1").IPv6(), 0
	for range 3 {
		cpu, _ := use(t, n)
		began := time.Now()
		sent = burst(t, client, to6, 10_000, 10*time.Second)
		took := time.Since(began)
		after, memory := use(t, n)
		total += sent
		share := (after - cpu).Seconds() / took.Seconds()
		shares = append(shares, fmt.Sprintf("%.0f %% at %.0f/s", 100*share, float64(sent)/took.Seconds()))
		memories = append(memories, fmt.Sprintf("%d MiB", memory>>20))
		if share > 0.5 {
			w.judge("load", "10,000 a second: half a core at most", fmt.Errorf("%v", shares))
		}
	}
	scoring.Judge(t, "load", "10,000 a second for 30 s: the daemon's share of a core", nil, "%s", strings.Join(shares, ", "))
	flows, lost, err := w.counted("n1", to6)
	if err == nil && flows+int(lost) < min(total, 131072)*9/10 {
		err = fmt.Errorf("%d told, %d lost", flows, lost)
	}
	scoring.Judge(t, "load", "10,000 a second for 30 s: what is lost is counted", err, "%d connections, the ring holds 131072, %d told, %d events lost", total, flows, lost)
	_, memory := use(t, n)
	err = nil
	if grown := memory - before; grown > 160<<20 {
		err = fmt.Errorf("%d MiB more", grown>>20)
	}
	scoring.Judge(t, "load", "memory is bounded by the ring", err, "%d MiB before, then %s", before>>20, strings.Join(memories, ", "))
}

// TestLimits: what is above --flows-rate is counted as lost, and --flows-sample keeps a part.
func TestLimits(t *testing.T) {
	w := begin(t, lab.Config{Nodes: 1}, "--flows-rate=100", "--flows-buffer=4096")
	client, to := w.pod("default", "client", "n1"), w.pod("shop", "web", "n1").IPv4()
	burst(t, client, to, 2000, 2*time.Second)
	err := w.soon(func() error {
		flows, lost, err := w.counted("n1", to)
		if err == nil && (flows > 600 || lost < 2000) {
			err = fmt.Errorf("%d told, %d lost", flows, lost)
		}
		return err
	})
	w.judge("limits", "--flows-rate", err)

	w = begin(t, lab.Config{Nodes: 1}, "--flows-sample=10", "--flows-buffer=16384")
	client, to = w.pod("default", "client", "n1"), w.pod("shop", "web", "n1").IPv4()
	sent := burst(t, client, to, 2000, 2*time.Second)
	err = w.soon(func() error {
		flows, lost, err := w.counted("n1", to)
		if err == nil && (flows < sent/20 || flows > sent/5 || lost > 0) {
			err = fmt.Errorf("%d of %d told, %d lost", flows, sent, lost)
		}
		return err
	})
	w.judge("limits", "--flows-sample", err)
}

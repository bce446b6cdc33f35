//go:build scale

package scale

import (
	"context"
	"os"
	"slices"
	"testing"
	"time"

	"kube-router/internal/driver/nft"
)

// TestDaemon measures the daemon's memory, its start and one change of an endpoint, in clusters of several sizes.
func TestDaemon(t *testing.T) {
	median := map[string]float64{}
	for _, c := range []struct {
		name     string
		size     cluster
		resident float64 // MB; 0: nobody promised any
	}{
		{"idle", cluster{}, 35},
		{"100", cluster{services: 100, pods: 500}, 0},
		{"1000", cluster{services: 1000, pods: 5000}, 45},
		{"10000", cluster{services: 10_000, pods: 50_000}, 120},
	} {
		if only := os.Getenv("KUBE_ROUTER_SCALE"); only != "" && only != c.name {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			n := newNode(t)
			n.fill(c.size)
			n.start(append([]string{"--enable-pprof"}, flags()...)...)
			cpu := n.cpu()
			m := n.memory()
			tell("%s: %.1f MB resident, %.1f MB of it without the program's pages, %.1f MB at most; heap in use %.1f MB", c.name, m.resident, m.own, m.most, n.heap())
			if c.resident > 0 {
				claim("memory."+c.name, m.resident, c.resident, "MB")
			}
			if file := os.Getenv("KUBE_ROUTER_HEAP"); file != "" {
				n.check(os.WriteFile(file+"."+c.name, []byte(n.get("http://127.0.0.1:6060/debug/pprof/heap?gc=1")), 0o600))
			}
			ready, read := n.log.at(saysReady), n.log.at(saysRead)
			tell("%s: the cluster read %s after the start, everything in the kernel %s later, %s of a processor in all", c.name, read.Sub(n.begun).Round(time.Millisecond), ready.Sub(read).Round(time.Millisecond), cpu)
			if c.size.services == 10_000 {
				claim("start.synced", ready.Sub(read).Seconds(), 1, "s")
				claim("start.process", ready.Sub(n.begun).Seconds(), 2, "s")
			}
			if c.size.services < 100 {
				return
			}
			list := n.changes(c.size.services / 2)
			p50, p99, most := ms(list[len(list)/2]), ms(list[len(list)*99/100]), ms(list[len(list)-1])
			median[c.name] = p50
			tell("%s: %.1f MB resident right after these changes", c.name, n.memoryNow().resident)
			tell("%s: one endpoint: %.2f ms p50, %.2f ms p99, %.2f ms at most, from the answered write to the kernel's commit, of %d", c.name, p50, p99, most, len(list))
			if c.size.services == 10_000 {
				claim("change.p99", p99, 1, "ms")
			}
		})
	}
	if few, many := median["100"], median["10000"]; few > 0 && many > 0 {
		claim("change.ratio", many/few, 1.5, "times")
	}
	if *page != "" && !t.Failed() {
		run.write(t, *page)
	}
}

// flags are more flags for the daemon, for whoever compares.
func flags() (list []string) {
	if text := os.Getenv("KUBE_ROUTER_FLAGS"); text != "" {
		list = append(list, text)
	}
	return list
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// many is how many changes are measured.
const many = 500

// changes takes and gives an endpoint of a Service, and measures from the API's answer to the kernel's news of each, sorted.
func (n *node) changes(which int) []time.Duration {
	n.t.Helper()
	driver, err := nft.New(n.space.Fd())
	n.check(err)
	ctx, stop := context.WithCancel(context.Background())
	changed, ended := make(chan time.Time, 64), make(chan error, 1)
	go func() {
		ended <- driver.Watch(ctx, func() {
			select {
			case changed <- time.Now():
			default:
			}
		})
	}()
	defer func() {
		stop()
		n.check(<-ended)
	}()
	var list []time.Duration
	for i := range many + 10 {
		rest(changed)
		s := slice(which, endpoints-1+i%2)
		n.check(n.api.Store.Put(s))
		begun := time.Now()
		select {
		case at := <-changed:
			if i >= 10 { // the first ones warm up
				list = append(list, at.Sub(begun))
			}
		case <-time.After(30 * time.Second):
			n.t.Fatalf("a change that isn't written; the daemon's log:\n%s", n.log)
		}
	}
	slices.Sort(list)
	return list
}

// rest returns when nothing has been written for a moment: two changes that come together are one.
func rest(changed <-chan time.Time) {
	for {
		select {
		case <-changed:
		case <-time.After(5 * time.Millisecond):
			return
		}
	}
}

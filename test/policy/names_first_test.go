//go:build policy

package policy

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

const firstLookups = 10_000

// first has so many names that nobody knows be asked for, and connects at once: no packet is refused.
func (n *named) first(t *testing.T) {
	n.one(t, "names: first packets", func(t *testing.T) {
		n.zone.mu.Lock()
		n.zone.other = func(name string) []dnsmessage.Resource {
			var i int
			if _, err := fmt.Sscanf(name, "n%d.", &i); err != nil {
				return nil
			}
			return []dnsmessage.Resource{address(name, 300, fmt.Sprintf("198.18.%d.%d", i/250, i%250+1))}
		}
		n.zone.mu.Unlock()
		plain, _ := n.crowd(t, "y/b", 500, "free.test", false) // no policy names anything for it
		before := n.denied(t, "x/b")
		held, late := n.crowd(t, "x/b", firstLookups, "bulk.test", true)
		refused := n.denied(t, "x/b") - before
		again, _ := n.crowd(t, "x/b", 500, "bulk.test", false)
		t.Logf("%d names, each asked for once and connected to at once: %d first packets refused, %d connections took a second or more", firstLookups, refused, late)
		t.Logf("an answer takes %s; held until its address is in the kernel %s; one that tells nothing new %s", spread(plain), spread(held), spread(again))
		if refused > 0 {
			t.Errorf("%d first packets are refused", refused)
		}
	})
}

func spread(list []time.Duration) string {
	slices.Sort(list)
	at := func(p int) time.Duration { return list[(len(list)-1)*p/100].Round(time.Microsecond) }
	return fmt.Sprintf("p50 %s, p99 %s", at(50), at(99))
}

// crowd has a pod ask for names, four at a time, and connect.
func (n *named) crowd(t *testing.T, pod string, count int, domain string, connect bool) (answers []time.Duration, late int) {
	t.Helper()
	var mu sync.Mutex
	var next atomic.Int64
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			err := n.Pod(pod).Do(func() error {
				for i := int(next.Add(1)) - 1; i < count; i = int(next.Add(1)) - 1 {
					addrs, took, err := lookUp("udp", n.v4, fmt.Sprintf("n%d.%s", i, domain), dnsmessage.TypeA)
					if err != nil {
						return err
					}
					begun := time.Now()
					if connect {
						conn, err := net.DialTimeout("tcp", netip.AddrPortFrom(addrs[0], 80).String(), 10*time.Second)
						if err != nil {
							return err
						}
						_ = conn.(*net.TCPConn).SetLinger(0)
						_ = conn.Close()
					}
					mu.Lock()
					answers = append(answers, took)
					if time.Since(begun) >= time.Second {
						late++
					}
					mu.Unlock()
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	return answers, late
}

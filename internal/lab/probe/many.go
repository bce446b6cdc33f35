package probe

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Enter runs a function in some network namespace, such as a lab host's Do.
type Enter func(func() error) error

// Tally counts the results of many questions.
type Tally struct {
	Total    int
	ByPod    map[string]int // who answered, how often
	ByClient map[netip.Addr]int
	ByClass  map[Class]int // failures
	Failures []Result      // each failure with its time, the first thousand
	Slowest  time.Duration
	Late     int // took so long that a first packet must have been lost: TCP sends it again after a second (RFC 6298)
}

// OK says that every question was answered.
func (t *Tally) OK() bool { return len(t.ByClass) == 0 && t.Total > 0 }

// Add counts a result.
func (t *Tally) Add(r Result) {
	if t.ByPod == nil {
		t.ByPod, t.ByClient, t.ByClass = map[string]int{}, map[netip.Addr]int{}, map[Class]int{}
	}
	t.Total++
	t.Slowest = max(t.Slowest, r.Took)
	if r.Took >= time.Second {
		t.Late++
	}
	if !r.OK() {
		t.ByClass[r.Class]++
		if len(t.Failures) < 1000 {
			t.Failures = append(t.Failures, r)
		}
		return
	}
	t.ByPod[r.Pod]++
	t.ByClient[r.Client.Addr()]++
}

// String is the tally on one line, the share of each pod first.
func (t *Tally) String() string {
	var parts []string
	for _, pod := range slices.Sorted(maps.Keys(t.ByPod)) {
		parts = append(parts, fmt.Sprintf("%s %d", pod, t.ByPod[pod]))
	}
	for _, class := range slices.Sorted(maps.Keys(t.ByClass)) {
		parts = append(parts, fmt.Sprintf("%s %d", class, t.ByClass[class]))
	}
	return strings.Join(parts, ", ")
}

// Sources are the source addresses that the pods saw, with how often.
func (t *Tally) Sources() string {
	var parts []string
	for _, addr := range slices.SortedFunc(maps.Keys(t.ByClient), netip.Addr.Compare) {
		parts = append(parts, fmt.Sprintf("%s %d", addr, t.ByClient[addr]))
	}
	return strings.Join(parts, ", ")
}

// Many asks n times, from that many threads of the namespace at once.
func Many(in Enter, q Request, n, parallel int) (*Tally, error) {
	var left atomic.Int64
	left.Store(int64(n))
	return together(in, parallel, func(add func(Result)) {
		for left.Add(-1) >= 0 {
			add(Once(q))
		}
	})
}

// Load asks rate times a second until the context ends, from that many threads at once, and keeps to the pace whatever the answers
// are: a late thread skips its turn rather than catching up in a burst.
func Load(ctx context.Context, in Enter, q Request, rate, parallel int) (*Tally, error) {
	pace := time.Second * time.Duration(parallel) / time.Duration(rate)
	var begun atomic.Int64
	return together(in, parallel, func(add func(Result)) {
		next := time.Now().Add(pace * time.Duration(begun.Add(1)) / time.Duration(parallel))
		for {
			if wait := time.Until(next); wait > 0 {
				select {
				case <-ctx.Done():
					return
				case <-time.After(wait):
				}
			} else if next = next.Add(-wait.Truncate(pace)); ctx.Err() != nil {
				return
			}
			next = next.Add(pace)
			add(Once(q))
		}
	})
}

func together(in Enter, parallel int, work func(add func(Result))) (*Tally, error) {
	var mu sync.Mutex
	var tally Tally
	var failed error
	add := func(r Result) {
		mu.Lock()
		defer mu.Unlock()
		tally.Add(r)
	}
	var all sync.WaitGroup
	for range max(parallel, 1) {
		all.Go(func() {
			err := in(func() error { work(add); return nil })
			if err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed = err
			}
		})
	}
	all.Wait()
	return &tally, failed
}

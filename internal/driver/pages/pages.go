// Package pages keeps this process small: how early garbage is collected, and which memory is given back once the start is over.
package pages

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// percent is how much garbage there may be for each byte in use, in percent, before it is collected. A node's daemon holds much and makes
// little garbage, so that collecting three times as often as Go does by itself costs it little.
const percent = 35

// share is how much of a memory limit the heap may grow to before garbage is collected all the time: the rest is the program's.
const share = 0.8

// Tune sets how early garbage is collected, and makes the heap respect the memory limit of the cgroup. The environment
// variables GOGC and GOMEMLIMIT stand above both.
func Tune() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(percent)
	}
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	if text, err := os.ReadFile("/sys/fs/cgroup/memory.max"); err == nil {
		if most, ok := limit(string(text)); ok {
			debug.SetMemoryLimit(most)
		}
	}
}

// limit reads what the kernel says of a cgroup's limit (cgroup v2, memory.max): a number of bytes, or "max" for none.
func limit(text string) (bytes int64, ok bool) {
	n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 62)
	if err != nil || n == 0 {
		return 0, false
	}
	return int64(float64(n) * share), true
}

// When memory is given back: once all is in the kernel, once more when what begins then has begun, and now and then.
const (
	soon = 10 * time.Second
	then = 10 * time.Minute
)

// Run gives back what the start needed and nothing needs any more, from when settled is closed until ctx ends. An error says that some of it
// could not be given back; it ends then.
func Run(ctx context.Context, settled <-chan struct{}) error {
	select {
	case <-ctx.Done():
		return nil
	case <-settled:
	}
	for turn := 0; ; turn++ {
		wait := then
		if turn == 0 {
			wait = soon
		}
		// A collection returns the heap's pages as well; later on Go does that by itself.
		if turn < 2 {
			debug.FreeOSMemory()
		}
		if err := Release(); err != nil {
			return err
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

// Release gives back the pages of the program's own file that were read. Those that are used again come back from the page cache, some at
// a time.
func Release() error {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return fmt.Errorf("give back memory: %w", err)
	}
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("give back memory: %w", err)
	}
	for _, s := range programPages(maps, strings.TrimSuffix(self, " (deleted)")) {
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, s.from, s.to-s.from, unix.MADV_DONTNEED); errno != 0 {
			return fmt.Errorf("give back the program's pages: %w", errno)
		}
	}
	return nil
}

// span is a range of addresses.
type span struct{ from, to uintptr }

// programPages are the mappings of a file that nobody can have written to (proc(5), /proc/pid/maps): what they hold is what the file holds.
func programPages(maps []byte, file string) (list []span) {
	for lines := bufio.NewScanner(bytes.NewReader(maps)); lines.Scan(); {
		f := strings.Fields(lines.Text())
		if len(f) < 6 || f[5] != file || strings.Contains(f[1], "w") || !strings.HasPrefix(f[1], "r") {
			continue
		}
		from, to, _ := strings.Cut(f[0], "-")
		a, err := strconv.ParseUint(from, 16, strconv.IntSize)
		if err != nil {
			continue
		}
		if b, err := strconv.ParseUint(to, 16, strconv.IntSize); err == nil && b > a {
			list = append(list, span{uintptr(a), uintptr(b)})
		}
	}
	return list
}

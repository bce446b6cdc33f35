package nft

import (
	"context"
	"runtime"

	"golang.org/x/sys/unix"

	"kube-router/internal/row"
)

// Queues finds out how this kernel holds packets in a queue: by a statement of nftables, or by the target of xtables. It tries each in a
// network namespace of its own, which is gone afterwards. Where that can't be made the statement is taken to be there.
func Queues() (statement, target bool) {
	done := make(chan [2]bool, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with its network namespace
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			done <- [2]bool{true, false}
			return
		}
		done <- [2]bool{takes(row.NftStmt{Op: row.NftQueue}), takes(row.NftStmt{Op: row.NftQueue, Mask: 1})}
	}()
	found := <-done
	return found[0], found[1]
}

// takes tells whether the kernel takes a statement.
func takes(s row.NftStmt) bool {
	fd, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	d, err := New(fd)
	if err != nil {
		return false
	}
	defer d.Close()
	rows := append([]row.Nft{row.NftChain{Name: "try", Hook: row.NftForward}}, row.NftRules("try", row.NftMakeBody(s))...)
	changes := make([]Change, len(rows))
	for i := range rows {
		changes[i] = Change{Key: rows[i].Key(), New: &rows[i]}
	}
	return d.Apply(context.Background(), changes) == nil
}

package agent

import (
	"context"
	"fmt"
	"strings"
)

// patience ends the daemon when the cluster could not be read in the time of --cache-sync-timeout: kubelet tells of a
// container that ends, and nobody of one that waits. The kernel goes on as it is.
func (a *agent) patience(ctx context.Context) error {
	if a.o.CacheSyncTimeout <= 0 {
		return nil
	}
	late, cancel := context.WithTimeout(ctx, a.o.CacheSyncTimeout)
	defer cancel()
	select {
	case <-a.thinker.Started():
		return nil
	case <-late.Done():
	}
	if missing := a.pulse().Sources; len(missing) > 0 && ctx.Err() == nil {
		return fmt.Errorf("not read within %s (--cache-sync-timeout): %s", a.o.CacheSyncTimeout, strings.Join(missing, "; "))
	}
	return nil
}

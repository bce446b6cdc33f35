//go:build policy

package policy

import "kube-router/internal/lab"

// born is called when a pod is connected, before anything else happens in it.
func (w *the) born(h *lab.Host) {}

package agent

import (
	"log/slog"
	"os"

	"kube-router/internal/config"
	"kube-router/internal/row"
)

// ports is where the kernel lists what is connected to the bridge of pods.
const ports = "/sys/class/net/" + row.BridgeName + "/brif"

// warnOfPods says what the pods of this node are about to lose, before they do.
func warnOfPods(o *config.Options, dir string, log *slog.Logger) {
	list, err := os.ReadDir(dir)
	if err != nil || len(list) == 0 {
		return
	}
	if o.KeepPods {
		log.Warn("pods run here: they keep their connection; they lose Services, network policies (nothing is refused any more) and the node's address for what leaves the cluster",
			"pods", len(list))
		return
	}
	log.Warn("pods run here: they lose their network altogether, with the bridge and its routes; --keep-pods leaves those", "pods", len(list))
}

// keeping leaves out the tables that running pods are connected by.
func (t *tables) keeping() *tables {
	some := newTables(t.log)
	for _, e := range t.all() {
		if !e.connects {
			some.list = append(some.list, e)
		}
	}
	return some
}

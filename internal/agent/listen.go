package agent

import (
	"os"
	"slices"
	"sync/atomic"

	"kube-router/internal/driver/module"
	"kube-router/internal/engine/engines"
	"kube-router/internal/model"
)

// listen hears every step of the tables: when all have been written for the first time the node is
// announced as ready, and endpoints' changes are measured where they arrive.
func (a *agent) listen() {
	var ready, settled atomic.Bool
	carrier := a.carrier()
	a.tables.onStep = func(t table) {
		a.left(t)
		a.unwritten(t)
		if t.kind == carrier {
			a.latency.stepped(t.lane.Status)
		}
		if !ready.Load() && len(a.pulse().NotReady()) == 0 && ready.CompareAndSwap(false, true) {
			a.ready()
		}
		if ready.Load() && !settled.Load() && a.tables.stands() && settled.CompareAndSwap(false, true) {
			close(a.tables.settled)
		}
	}
}

// stands tells whether whatever carries traffic stands as wanted.
func (t *tables) stands() bool {
	return !slices.ContainsFunc(t.all(), func(e table) bool { return e.carries && !e.lane.Status().Settled() })
}

// ready says that the first whole picture is in the kernel.
func (a *agent) ready() {
	a.log.Info("the network of this node is ready")
	if a.o.Settings.Router {
		a.reports.announce()
	}
}

// carrier is the table that carries Services: the engine's own, or the rules.
func (a *agent) carrier() *kind {
	if t, ok := a.tables.serving(a.o.Settings.Services.Engine); ok {
		return t.kind
	}
	return ruleTable
}

// loadModules loads what the kernel doesn't load by itself on first use. Without them the rest still works,
// so that a fault is told and no more; `doctor` tells it as well.
func (a *agent) loadModules() {
	defer a.queueing()
	loader, err := module.New()
	if err != nil {
		a.log.Warn("kernel modules are not loaded", "error", err)
		return
	}
	for _, name := range modules(&a.o.Settings) {
		if _, err := os.Stat(facility[name]); err == nil {
			continue
		}
		if err := loader.Load(name); err != nil {
			a.log.Warn("a kernel module is missing", "module", name, "without it", moduleFor[name], "error", err)
		}
	}
}

// facility is a file that is there where a module's work is done, be it built in and without a name of its own.
var facility = map[string]string{"br_netfilter": "/proc/sys/net/bridge/bridge-nf-call-iptables", "ip_vs": "/proc/net/ip_vs"}

// moduleFor tells what does not work without a module.
var moduleFor = map[string]string{
	"ip_vs":        "Services are carried by nftables, not by IPVS",
	"br_netfilter": "traffic between pods of this node is seen by no firewall and by no Service",
	"fou":          "tunnels with --overlay-encap=fou are not made",
	"fou6":         "tunnels with --overlay-encap=fou are not made in IPv6",
}

// modules are the kernel modules that the settings need and that nothing else loads.
func modules(s *model.Settings) []string {
	var list []string
	if s.Firewall || s.Proxy {
		list = append(list, "br_netfilter")
	}
	for _, e := range engines.All() {
		if m := e.Facility().Module; m != "" && s.Proxy && (s.Services.Engine == model.EngineAuto || s.Services.Engine == e.Name()) {
			list = append(list, m)
		}
	}
	if s.Router && s.Routes.Overlay && s.Routes.OverlayEncap == "fou" {
		list = append(list, "fou")
		if s.IPv6 {
			list = append(list, "fou6")
		}
	}
	return list
}

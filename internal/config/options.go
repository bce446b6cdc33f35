package config

import (
	"time"

	"kube-router/internal/model"
)

// DefaultControlSocket is where the daemon answers show, why and doctor unless --control-socket says else.
const DefaultControlSocket = "/run/kube-router/control.sock"

// DefaultCNISocket is where the daemon answers kube-router-cni unless --cni-socket says else.
const DefaultCNISocket = "/run/kube-router/cni.sock"

// Options are the checked settings of the daemon and what concerns its process alone.
type Options struct {
	Settings         model.Settings
	Kubeconfig       string        // --kubeconfig; empty: the pod's own service account
	Master           string        // --master: replaces the API server's address alone
	CacheSyncTimeout time.Duration // --cache-sync-timeout
	Verbosity        int           // --v, 0 to 10
	Health           string        // --health-addr and --health-port, for net.Listen; empty: off
	Metrics          string        // --metrics-addr and --metrics-port, for net.Listen; empty: off
	MetricsPath      string        // --metrics-path
	Pprof            string        // --enable-pprof: 127.0.0.1:6060, or empty; never another address
	ControlSocket    string        // --control-socket (ours): where show, why and doctor ask
	ProcSys          string        // KUBE_ROUTER_PROC_SYS: where the host's /proc/sys can be written
	Version          bool          // --version
	Help             bool          // --help
	Cleanup          bool          // --cleanup-config
	KeepPods         bool          // --keep-pods (ours): cleanup leaves what running pods are connected by
	Said             []Said        // every setting in force, for show
	Remarks          []string      // settings that are valid but do not do what one may think, in order
}

// Said is one setting in force: its value as text, and where it was said. A secret's value is not told.
type Said struct{ Name, Value, From string }

// Nothing tells whether no part is enabled that would have work to do on this node. The reference counts
// the allocator alone as nothing; main logs that and exits 0.
func (o *Options) Nothing() bool {
	return !o.Settings.Router && !o.Settings.Firewall && !o.Settings.Proxy
}

// Action is what a command line asks for before its settings are looked at.
type Action string

// The actions, in the order in which they are recognised.
const (
	ActHelp    Action = "help"    // print the usage, exit 0
	ActVersion Action = "version" // print the version to standard error, exit 0
	ActCleanup Action = "cleanup" // remove everything we made, then exit
	ActRun     Action = "run"     // be the daemon
)

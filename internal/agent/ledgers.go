package agent

import (
	"fmt"
	"path/filepath"

	"github.com/vishvananda/netns"

	"kube-router/internal/config"
	"kube-router/internal/driver/bpf"
	"kube-router/internal/driver/conntrack"
	"kube-router/internal/driver/file"
	"kube-router/internal/driver/forward"
	"kube-router/internal/driver/gobgp"
	"kube-router/internal/driver/healthport"
	"kube-router/internal/driver/nft"
	"kube-router/internal/driver/rtnl"
	"kube-router/internal/driver/sysctl"
	"kube-router/internal/driver/wireguard"
	"kube-router/internal/model"
	"kube-router/internal/row"
	"kube-router/internal/stage"
)

// Targets are the tables of one node, each a place that rows are written to: the kernel's, or fakes.
type Targets struct {
	Sysctl row.Target[string, row.Sysctl]
	Linux  row.Target[row.LinuxKey, row.Linux]
	Nft    row.Target[row.NftKey, row.Nft]
	Flows  row.Target[row.FlowsKey, row.Flows]
	Ipvs   row.Target[row.IpvsKey, row.Ipvs]     // nil: the kernel has no IPVS
	Pods   row.Target[row.PodVIPKey, row.PodVIP] // nil with Ipvs
	OnLack func(func(schedulers []string))       // sets who hears what Ipvs lacks; may be nil
	Health row.Target[uint16, row.HealthPort]
	BGP    row.Target[row.BgpKey, row.Bgp] // nil: a fake
	CNI    row.Target[string, row.Conflist]
	// Forward is chain FORWARD of iptables; nil: there is none.
	Forward row.Target[row.ForwardKey, row.Forward]
	// Bpf serves Services at the socket; nil: nobody does.
	Bpf row.Target[row.BpfKey, row.Bpf]
	// Balancer takes the addresses of LoadBalancer Services. Tests give one; the daemon's stands behind an election.
	Balancer row.Target[row.KubeName, row.KubeIngress]

	// Notes are annotations of our own Node; nil: nobody writes them.
	Notes row.Target[row.KubeAnnotationKey, row.KubeAnnotation]

	// Verdicts are the status of objects about BGP; nil: nobody writes it.
	Verdicts row.Target[row.KubeObject, row.KubeVerdict]

	// Reports are the status of policies; nil: nobody writes it.
	Reports row.Target[row.KubeObject, row.KubePolicy]

	wire *wireguard.Driver // a part of Linux
}

// kernelTargets are the real tables of this node.
func kernelTargets(o *config.Options) (Targets, error) {
	links, err := rtnl.New(netns.None(), uint16(o.Settings.Routes.OverlayPort))
	if err != nil {
		return Targets{}, fmt.Errorf("open routes: %w", err)
	}
	rules, err := nft.New(0)
	if err != nil {
		return Targets{}, fmt.Errorf("open nftables: %w", err)
	}
	flows, err := conntrack.Open(netns.None())
	if err != nil {
		return Targets{}, fmt.Errorf("open conntrack: %w", err)
	}
	sessions, err := gobgp.New(speakerDir(o))
	if err != nil {
		return Targets{}, err
	}
	encrypted := wireTarget(o, true)
	originals := filepath.Join(filepath.Dir(o.ControlSocket), "sysctl.json")
	to := Targets{
		Sysctl: sysctl.New(netns.None(), originals).At(o.ProcSys),
		Linux:  links.With(encrypted),
		wire:   encrypted,
		Nft:    rules,
		Flows:  conntrack.NewTable(flows),
		Health: &healthport.Driver{},
		BGP:    sessions,
		CNI:    file.New(o.Settings.CNI.File, file.PluginDirs()...),

		Forward: forward.New(),
		Bpf:     socketTarget(o),
	}
	err = ipvsTargets(&o.Settings, filepath.Dir(o.ControlSocket), &to)
	return to, err
}

// openTables opens the node's tables, in the order of which cleaning up is the reverse (tables.run tells in which
// order they are built up). Virtual servers are cleaned up while their addresses tell whose they are.
func openTables(t *tables, to Targets, s *model.Settings) stage.Ledgers {
	if to.BGP == nil {
		to.BGP = gobgp.NewFake()
	}
	l := stage.NewLedgers()
	l.Sysctl = open(t, sysctlTable, to.Sysctl, s)
	l.Linux = open(t, linkTable, to.Linux, s)
	l.Nft = open(t, ruleTable, to.Nft, s)
	l.Flows = open(t, flowTable, to.Flows, s)
	l.Health = open(t, healthTable, to.Health, s)
	l.BGP = open(t, sessionTable, to.BGP, s)
	l.CNI = open(t, fileTable, to.CNI, s)
	if to.Notes != nil {
		l.Notes = open(t, annotationTable, to.Notes, s)
	}
	if to.Verdicts != nil {
		l.Verdicts = open(t, verdictTable, to.Verdicts, s)
	}
	if to.Reports != nil {
		l.Reports = open(t, reportTable, to.Reports, s)
	}
	if to.Forward != nil {
		l.Forward = open(t, chainTable, to.Forward, s)
	}
	l.Ipvs, l.Pods = openIpvs(t, to, s)
	if to.Bpf != nil {
		l.Bpf = open(t, socketTable, to.Bpf, s)
	}
	l.BpfTags = bpf.Tags()
	return l
}

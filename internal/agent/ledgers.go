package agent

import (
	"fmt"
	"path/filepath"

	"github.com/vishvananda/netns"

	"kube-router/internal/config"
	"kube-router/internal/driver/conntrack"
	"kube-router/internal/driver/file"
	"kube-router/internal/driver/healthport"
	"kube-router/internal/driver/nft"
	"kube-router/internal/driver/rtnl"
	"kube-router/internal/driver/sysctl"
	"kube-router/internal/reconcile"
	"kube-router/internal/row"
)

// ledgers are what is wanted of each table of this node.
type ledgers struct {
	sysctl *reconcile.Ledger[string, row.Sysctl]
	linux  *reconcile.Ledger[row.LinuxKey, row.Linux]
	nft    *reconcile.Ledger[row.NftKey, row.Nft]
	flows  *reconcile.Ledger[row.FlowsKey, row.Flows]
	cni    *reconcile.Ledger[string, row.Conflist]
	health *reconcile.Ledger[uint16, row.HealthPort]
}

// openTables opens the node's tables, in the order in which they are built up. The CNI file comes last: a
// pod that starts finds everything else there.
func openTables(t *tables, o *config.Options) (ledgers, error) {
	var l ledgers
	links, err := rtnl.New(netns.None(), uint16(o.Settings.Routes.OverlayPort))
	if err != nil {
		return l, fmt.Errorf("open routes: %w", err)
	}
	rules, err := nft.New(0)
	if err != nil {
		return l, fmt.Errorf("open nftables: %w", err)
	}
	flows, err := conntrack.Open(netns.None())
	if err != nil {
		return l, fmt.Errorf("open conntrack: %w", err)
	}
	originals := filepath.Join(filepath.Dir(o.ControlSocket), "sysctl.json")
	l.sysctl = open(t, "sysctl", sysctl.New(netns.None(), originals).At(o.ProcSys), reconcile.DefaultPace)
	l.linux = open(t, "rtnl", links, reconcile.DefaultPace)
	l.nft = open(t, "nft", rules, reconcile.DefaultPace)
	l.flows = open(t, "conntrack", conntrack.NewTable(flows), reconcile.DefaultPace)
	l.health = open(t, "health", &healthport.Driver{}, reconcile.DefaultPace)
	l.cni = open(t, "cni", file.New(o.Settings.CNI.File), reconcile.DefaultPace)
	return l, nil
}

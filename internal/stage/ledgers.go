package stage

import (
	"kube-router/internal/reconcile"
	"kube-router/internal/row"
)

// Ledgers are what is wanted of each table of this node, and what health asks of the plans.
type Ledgers struct {
	Sysctl  *reconcile.Ledger[string, row.Sysctl]
	Linux   *reconcile.Ledger[row.LinuxKey, row.Linux]
	Nft     *reconcile.Ledger[row.NftKey, row.Nft]
	Flows   *reconcile.Ledger[row.FlowsKey, row.Flows]
	Ipvs    *reconcile.Ledger[row.IpvsKey, row.Ipvs]
	Pods    *reconcile.Ledger[row.PodVIPKey, row.PodVIP]
	CNI     *reconcile.Ledger[string, row.Conflist]
	Health  *reconcile.Ledger[uint16, row.HealthPort]
	BGP     *reconcile.Ledger[row.BgpKey, row.Bgp]
	Forward *reconcile.Ledger[row.ForwardKey, row.Forward]
	Bpf     *reconcile.Ledger[row.BpfKey, row.Bpf]

	BpfTags map[row.BpfHook]string // of the programs that this build has

	Notes *reconcile.Ledger[row.KubeAnnotationKey, row.KubeAnnotation] // of our own Node

	Verdicts *reconcile.Ledger[row.KubeObject, row.KubeVerdict] // status of objects about BGP

	Reports *reconcile.Ledger[row.KubeObject, row.KubePolicy] // status of policies

	Ways    *Ways
	Blocked *Blocked
}

// NewLedgers are ledgers of tables that nobody writes.
func NewLedgers() Ledgers {
	return Ledgers{
		Sysctl:   reconcile.NewLedger[string, row.Sysctl](),
		Linux:    reconcile.NewLedger[row.LinuxKey, row.Linux](),
		Nft:      reconcile.NewLedger[row.NftKey, row.Nft](),
		Flows:    reconcile.NewLedger[row.FlowsKey, row.Flows](),
		Ipvs:     reconcile.NewLedger[row.IpvsKey, row.Ipvs](),
		Pods:     reconcile.NewLedger[row.PodVIPKey, row.PodVIP](),
		CNI:      reconcile.NewLedger[string, row.Conflist](),
		Health:   reconcile.NewLedger[uint16, row.HealthPort](),
		BGP:      reconcile.NewLedger[row.BgpKey, row.Bgp](),
		Forward:  reconcile.NewLedger[row.ForwardKey, row.Forward](),
		Bpf:      reconcile.NewLedger[row.BpfKey, row.Bpf](),
		Notes:    reconcile.NewLedger[row.KubeAnnotationKey, row.KubeAnnotation](),
		Verdicts: reconcile.NewLedger[row.KubeObject, row.KubeVerdict](),
		Reports:  reconcile.NewLedger[row.KubeObject, row.KubePolicy](),
		Ways:     &Ways{}, Blocked: &Blocked{},
	}
}

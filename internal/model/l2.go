package model

// L2Advertisement (kube-router.io/v1alpha1) lets nodes answer for load balancer addresses on their links.
type L2Advertisement struct {
	Name     string
	UID      string
	Pools    []string // AddressPools by name; empty: every load balancer address
	Services Selector
	Nodes    Selector
	Links    []string // patterns as of path.Match; empty: links in whose subnet the address lies
	Remarks  []Remark
}

// Ref names the L2Advertisement.
func (a *L2Advertisement) Ref() Ref { return Ref{KindL2, Name{Name: a.Name}} }

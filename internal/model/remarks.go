package model

// RemarksOf are what the conversion of an object found odd about it.
func RemarksOf(o Object) []Remark {
	switch o := o.(type) {
	case *Service:
		return o.Remarks
	case *Slice:
		return o.Remarks
	case *Pod:
		return o.Remarks
	case *Namespace:
		return o.Remarks
	case *Policy:
		return o.Remarks
	case *ClusterPolicy:
		return o.Remarks
	case *Node:
		return o.Remarks
	case *Pool:
		return o.Remarks
	case *L2Advertisement:
		return o.Remarks
	case *BGPPeer:
		return o.Remarks
	case *BGPAdvertisement:
		return o.Remarks
	case *Keyring:
		return o.Remarks
	case *EgressGateway:
		return o.Remarks
	case *NodePolicy:
		return o.Remarks
	}
	return nil
}

// Remarks are those of all objects, in no order.
func (m *Model) Remarks() []Remark {
	var all []Remark
	gather(&all, m.Services)
	gather(&all, m.Slices)
	gather(&all, m.Pods)
	gather(&all, m.Namespaces)
	gather(&all, m.Policies)
	gather(&all, m.Cluster)
	gather(&all, m.Nodes)
	gather(&all, m.Pools)
	gather(&all, m.L2)
	gather(&all, m.BGPPeers)
	gather(&all, m.BGPAds)
	gather(&all, m.Keyrings)
	gather(&all, m.Gateways)
	gather(&all, m.NodeRules)
	return all
}

func gather[K comparable, O Object](all *[]Remark, of map[K]O) {
	for _, o := range of {
		*all = append(*all, RemarksOf(o)...)
	}
}

package gobgp

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/osrg/gobgp/v4/api"
	"google.golang.org/grpc/status"

	"kube-router/internal/row"
)

// pathID marks the paths that are ours, as our routes in the kernel are marked.
const pathID = row.RouteProtocol

// families are the families of routes, IPv4 first.
func families() []*api.Family {
	return []*api.Family{
		{Afi: api.Family_AFI_IP, Safi: api.Family_SAFI_UNICAST},
		{Afi: api.Family_AFI_IP6, Safi: api.Family_SAFI_UNICAST},
	}
}

func family(a netip.Addr) *api.Family {
	if a.Is4() {
		return families()[0]
	}
	return families()[1]
}

// pathMessage puts a path into the speaker's words.
func pathMessage(r row.BgpPath) *api.Path {
	nlri := &api.NLRI{Nlri: &api.NLRI_Prefix{Prefix: &api.IPAddressPrefix{
		Prefix: r.Prefix.Addr().String(), PrefixLen: uint32(r.Prefix.Bits()),
	}}}
	f := family(r.Prefix.Addr())
	attrs := []*api.Attribute{{Attr: &api.Attribute_Origin{Origin: &api.OriginAttribute{Origin: 0}}}} // IGP
	if r.Prefix.Addr().Is4() && r.NextHop.Is4() {
		attrs = append(attrs, &api.Attribute{Attr: &api.Attribute_NextHop{NextHop: &api.NextHopAttribute{NextHop: r.NextHop.String()}}})
	} else {
		attrs = append(attrs, &api.Attribute{Attr: &api.Attribute_MpReach{MpReach: &api.MpReachNLRIAttribute{
			Family: f, NextHops: []string{r.NextHop.String()}, Nlris: []*api.NLRI{nlri},
		}}})
	}
	if r.LocalPref > 0 {
		attrs = append(attrs, &api.Attribute{Attr: &api.Attribute_LocalPref{LocalPref: &api.LocalPrefAttribute{LocalPref: r.LocalPref}}})
	}
	return &api.Path{Nlri: nlri, Family: f, Pattrs: attrs, Identifier: pathID}
}

// readPath makes a row of a path of ours.
func readPath(prefix string, p *api.Path) (row.BgpPath, bool) {
	if p.Identifier != pathID || p.NeighborIp != "" || p.IsWithdraw {
		return row.BgpPath{}, false
	}
	net, err := netip.ParsePrefix(prefix)
	if err != nil {
		return row.BgpPath{}, false
	}
	r := row.BgpPath{Prefix: net, NextHop: nextHop(p)}
	for _, a := range p.Pattrs {
		if l := a.GetLocalPref(); l != nil {
			r.LocalPref = l.LocalPref
		}
	}
	return r, true
}

// nextHop is a path's next hop, in whichever attribute its family has it.
func nextHop(p *api.Path) netip.Addr {
	for _, a := range p.Pattrs {
		text := a.GetNextHop().GetNextHop()
		if hops := a.GetMpReach().GetNextHops(); len(hops) > 0 {
			text = hops[0]
		}
		if addr, err := netip.ParseAddr(text); err == nil {
			return addr.Unmap()
		}
	}
	return netip.Addr{}
}

// paths reads the paths that we originate.
func (c *client) paths(ctx context.Context, add func(row.Bgp)) error {
	for _, f := range families() {
		stream, err := c.ListPath(ctx, &api.ListPathRequest{TableType: api.TableType_TABLE_TYPE_GLOBAL, Family: f})
		err = each[api.ListPathResponse](stream, err, func(m *api.ListPathResponse) {
			for _, p := range m.Destination.GetPaths() {
				if r, ok := readPath(m.Destination.Prefix, p); ok {
					add(r)
				}
			}
		})
		if err != nil {
			return fmt.Errorf("read the speaker's paths: %w", err)
		}
	}
	return nil
}

func (t *turn) addPaths(made, _ []change) error {
	for _, c := range kind(made, row.BgpKindPath) {
		r := (*c.New).(row.BgpPath)
		err := t.one(c.Key, func(ctx context.Context) error {
			if r.NextHop.Is4() != r.Prefix.Addr().Is4() {
				return fmt.Errorf("next hop %s is of another family than %s", r.NextHop, r.Prefix)
			}
			_, err := t.AddPath(ctx, &api.AddPathRequest{TableType: api.TableType_TABLE_TYPE_GLOBAL, Path: pathMessage(r)})
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *turn) removePaths(_, gone []change) error {
	for _, c := range kind(gone, row.BgpKindPath) {
		// Any next hop will do: a path is known by prefix and identifier.
		p := pathMessage(row.BgpPath{Prefix: c.Key.Net, NextHop: c.Key.Net.Addr()})
		p.IsWithdraw = true
		err := t.one(c.Key, func(ctx context.Context) error {
			_, err := t.DeletePath(ctx, &api.DeletePathRequest{TableType: api.TableType_TABLE_TYPE_GLOBAL, Family: p.Family, Path: p})
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// plain is what an error of the speaker says, without the words of gRPC around it.
func plain(err error) error {
	if s, ok := status.FromError(err); ok && err != nil && !lost(err) {
		return fmt.Errorf("the speaker says: %s", s.Message())
	}
	return err
}

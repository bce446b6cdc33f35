package gobgp

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/osrg/gobgp/v4/api"

	"kube-router/internal/row"
	"kube-router/internal/row/conform"
)

// TestForeign makes what a user may make with the gobgp command, and wants it to stay. Only the end of the
// speaker takes it along.
func TestForeign(t *testing.T) {
	dir := supervised(t)
	ctx := t.Context()
	c, err := dial(Socket(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer c.conn.Close()
	d := driver(t, dir)
	all := conform.Index[row.BgpKey](rows(50))
	none := map[row.BgpKey]row.Bgp{}
	speaker := conform.Index[row.BgpKey](rows(1))
	apply := func(have, want map[row.BgpKey]row.Bgp) {
		t.Helper()
		if err = d.Apply(ctx, conform.Diff(have, want)); err != nil {
			t.Fatal(err)
		}
	}
	apply(none, speaker)
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	path := pathMessage(row.BgpPath{Prefix: netip.MustParsePrefix("192.0.2.0/24"), NextHop: netip.MustParseAddr("127.0.0.9")})
	path.Identifier = 0
	must(c.AddPath(ctx, &api.AddPathRequest{TableType: api.TableType_TABLE_TYPE_GLOBAL, Path: path}))
	must(c.AddPeer(ctx, &api.AddPeerRequest{Peer: &api.Peer{
		Conf: &api.PeerConf{NeighborAddress: "127.0.9.9", PeerAsn: 65009, Description: "kube-routers of the other site"}, Transport: &api.Transport{LocalAddress: "127.0.0.1", RemotePort: 17900},
	}}))
	must(c.AddPolicy(ctx, &api.AddPolicyRequest{Policy: &api.Policy{Name: "mine"}}))
	must(c.AddPolicyAssignment(ctx, &api.AddPolicyAssignmentRequest{Assignment: &api.PolicyAssignment{
		Name: "global", Direction: api.PolicyDirection_POLICY_DIRECTION_EXPORT, Policies: []*api.Policy{{Name: "mine"}},
	}}))
	if err = standing(ctx, c); err != nil {
		t.Fatal(err)
	}
	apply(speaker, all)
	if err = standing(ctx, c); err != nil {
		t.Error(err)
	}
	apply(all, speaker)
	have, err := d.Dump(ctx)
	if err != nil || len(have) != 1 {
		t.Errorf("the dump has %v, %v", have, err)
	}
	if err := standing(ctx, c); err != nil {
		t.Error(err)
	}
}

func standing(ctx context.Context, c *client) error {
	g, err := c.global(ctx)
	if err != nil || g == nil {
		return fmt.Errorf("the speaker is gone: %v", err)
	}
	found := 0
	stream, err := c.ListPath(ctx, &api.ListPathRequest{TableType: api.TableType_TABLE_TYPE_GLOBAL, Family: families()[0]})
	err = each[api.ListPathResponse](stream, err, func(m *api.ListPathResponse) {
		if m.Destination.Prefix == "192.0.2.0/24" {
			found += len(m.Destination.Paths)
		}
	})
	if err != nil || found != 1 {
		return fmt.Errorf("%d foreign paths are left: %v", found, err)
	}
	stream2, err := c.ListPeer(ctx, &api.ListPeerRequest{Address: "127.0.9.9"})
	peers := 0
	if err = each[api.ListPeerResponse](stream2, err, func(*api.ListPeerResponse) { peers++ }); err != nil || peers != 1 {
		return fmt.Errorf("%d peers are left: %v", peers, err)
	}
	a, err := c.assignment(ctx, api.PolicyDirection_POLICY_DIRECTION_EXPORT)
	mine := func(p *api.Policy) bool { return p.Name == "mine" }
	if err != nil || !slices.ContainsFunc(a.GetPolicies(), mine) {
		return errors.New("the policy is not assigned any more")
	}
	return nil
}

package gobgp

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/osrg/gobgp/v4/api"

	"kube-router/internal/row"
)

// nobody keeps sets of peers from being empty: an empty one matches everybody.
const nobody = "0.0.0.0/32"

// emptySet is a set without members. Sets are made once, with the speaker: policies hold on to them.
func emptySet(s row.BgpSet) *api.DefinedSet {
	if s.Peers() {
		return &api.DefinedSet{DefinedType: api.DefinedType_DEFINED_TYPE_NEIGHBOR, Name: string(s), List: []string{nobody}}
	}
	return &api.DefinedSet{DefinedType: api.DefinedType_DEFINED_TYPE_PREFIX, Name: string(s)}
}

// definedSet is a set of the members that changes are about.
func definedSet(s row.BgpSet, list []change) *api.DefinedSet {
	d := emptySet(s)
	d.List = nil
	for _, c := range list {
		if s.Peers() {
			d.List = append(d.List, c.Key.Net.String())
			continue
		}
		d.Prefixes = append(d.Prefixes, &api.Prefix{
			IpPrefix: c.Key.Net.String(), MaskLengthMin: uint32(c.Key.Min), MaskLengthMax: uint32(c.Key.Max),
		})
	}
	return d
}

// ensure makes the sets that a policy names and that aren't there: those of single objects before they have a member, and those that are named after
// what is in them. A set of peers that had no member would match everybody.
func (t *turn) ensure(ctx context.Context, p *api.Policy) error {
	for _, s := range p.Statements {
		c := s.Conditions
		for _, d := range []*api.DefinedSet{
			{DefinedType: api.DefinedType_DEFINED_TYPE_PREFIX, Name: c.GetPrefixSet().GetName()},
			{DefinedType: api.DefinedType_DEFINED_TYPE_NEIGHBOR, Name: c.GetNeighborSet().GetName()},
			{DefinedType: api.DefinedType_DEFINED_TYPE_AS_PATH, Name: c.GetAsPathSet().GetName()},
			{DefinedType: api.DefinedType_DEFINED_TYPE_COMMUNITY, Name: c.GetCommunitySet().GetName()},
			{DefinedType: api.DefinedType_DEFINED_TYPE_LARGE_COMMUNITY, Name: c.GetLargeCommunitySet().GetName()},
		} {
			if err := t.ensureSet(ctx, d); err != nil {
				return err
			}
		}
	}
	return nil
}

// single makes the set of a single object before its members come or go.
func (t *turn) single(ctx context.Context, d *api.DefinedSet) error {
	if !row.BgpSet(d.Name).Single() {
		return nil
	}
	return t.ensureSet(ctx, &api.DefinedSet{DefinedType: d.DefinedType, Name: d.Name})
}

func (t *turn) ensureSet(ctx context.Context, d *api.DefinedSet) error {
	if d.Name == "" || t.sets[d.Name] {
		return nil
	}
	there := false
	stream, err := t.ListDefinedSet(ctx, &api.ListDefinedSetRequest{DefinedType: d.DefinedType, Name: d.Name})
	err = each[api.ListDefinedSetResponse](stream, err, func(*api.ListDefinedSetResponse) { there = true })
	if err == nil && there {
		t.sets[d.Name] = true
		return nil
	}
	if lost(err) {
		return err // of a set that isn't there it says that it can't be found
	}
	if text, named := content(d.Name); named {
		d.List = []string{text}
	} else {
		d = emptySet(row.BgpSet(d.Name))
	}
	if _, err := t.AddDefinedSet(ctx, &api.AddDefinedSetRequest{DefinedSet: d}); err != nil {
		return fmt.Errorf("make set %s: %w", d.Name, plain(err))
	}
	t.sets[d.Name] = true
	return nil
}

// content is what is in a set that is named after it.
func content(name string) (string, bool) {
	for _, prefix := range []string{setPath, setMark, setLarge} {
		if text, ok := strings.CutPrefix(name, prefix); ok {
			return text, true
		}
	}
	return "", false
}

// removeEmpty removes sets of single objects that have no member any more, and those of conditions that no rule has any more. One that a policy names
// stays: the engine says so.
func (t *turn) removeEmpty(gone []change) error {
	if !slices.ContainsFunc(gone, func(c change) bool { return c.Key.Kind == row.BgpKindRule || c.Key.Set.Single() }) {
		return nil
	}
	var idle []*api.DefinedSet
	for _, typ := range []api.DefinedType{api.DefinedType_DEFINED_TYPE_PREFIX, api.DefinedType_DEFINED_TYPE_NEIGHBOR, api.DefinedType_DEFINED_TYPE_AS_PATH,
		api.DefinedType_DEFINED_TYPE_COMMUNITY, api.DefinedType_DEFINED_TYPE_LARGE_COMMUNITY} {
		stream, err := t.ListDefinedSet(t.ctx, &api.ListDefinedSetRequest{DefinedType: typ})
		err = each[api.ListDefinedSetResponse](stream, err, func(m *api.ListDefinedSetResponse) {
			d := m.DefinedSet
			_, named := content(d.Name)
			used := len(d.Prefixes) > 0 || slices.ContainsFunc(d.List, func(s string) bool { return s != nobody })
			if named || row.BgpSet(d.Name).Single() && !used {
				idle = append(idle, &api.DefinedSet{DefinedType: typ, Name: d.Name})
			}
		})
		if err != nil {
			return fmt.Errorf("read the speaker's sets: %w", err)
		}
	}
	for _, d := range idle {
		if _, err := t.DeleteDefinedSet(t.ctx, &api.DeleteDefinedSetRequest{DefinedSet: d, All: true}); lost(err) {
			return err
		}
	}
	return nil
}

// bySet hands out the changes of members set by set, all of a set at once, or one by one where one of them
// is refused.
func (t *turn) bySet(list []change, do func(context.Context, *api.DefinedSet) error) error {
	for len(list) > 0 {
		set := list[0].Key.Set
		end := slices.IndexFunc(list, func(c change) bool { return c.Key.Set != set })
		if end < 0 {
			end = len(list)
		}
		group := list[:end]
		list = list[end:]
		err := do(t.ctx, definedSet(set, group))
		if err == nil {
			continue
		}
		for _, c := range group {
			if err := t.one(c.Key, func(ctx context.Context) error { return do(ctx, definedSet(set, []change{c})) }); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *turn) addMembers(made, _ []change) error {
	list := kind(made, row.BgpKindMember)
	t.judge(list, made)
	return t.bySet(list, func(ctx context.Context, s *api.DefinedSet) error {
		if err := t.single(ctx, s); err != nil {
			return err
		}
		_, err := t.AddDefinedSet(ctx, &api.AddDefinedSetRequest{DefinedSet: s})
		return err
	})
}

func (t *turn) removeMembers(_, gone []change) error {
	list := kind(gone, row.BgpKindMember)
	t.judge(list, gone)
	return t.bySet(list, func(ctx context.Context, s *api.DefinedSet) error {
		if err := t.single(ctx, s); err != nil {
			return err
		}
		_, err := t.DeleteDefinedSet(ctx, &api.DeleteDefinedSetRequest{DefinedSet: s})
		return err
	})
}

// judge notes which routes must be judged again because members of sets changed. A member that comes or
// goes with its path, or with its peer, needs nothing: the path or the session is judged then anyway.
func (t *turn) judge(members, all []change) {
	if t.fresh {
		return
	}
	with := map[netip.Prefix]bool{}
	for _, c := range all {
		if c.Key.Kind == row.BgpKindPath || c.Key.Kind == row.BgpKindPeer {
			with[c.Key.Net] = true
		}
	}
	for _, c := range members {
		if _, single := c.Key.Set.About(); single {
			if !with[c.Key.Net] {
				t.again(c.Key.Set.Imports(), row.BgpStatement{Peers: c.Key.Set})
			}
			continue
		}
		outside := c.Key.Set.ImportsOutside()
		t.resetOutside = t.resetOutside || outside
		t.resetIn = t.resetIn || c.Key.Set.Imports() && !outside
		t.resetOut = t.resetOut || c.Key.Set.Exports() && !with[c.Key.Net]
	}
}

// members reads the members of our sets.
func (c *client) members(ctx context.Context, add func(row.Bgp)) error {
	ours := row.BgpSets()
	for _, typ := range []api.DefinedType{api.DefinedType_DEFINED_TYPE_PREFIX, api.DefinedType_DEFINED_TYPE_NEIGHBOR} {
		stream, err := c.ListDefinedSet(ctx, &api.ListDefinedSetRequest{DefinedType: typ})
		err = each[api.ListDefinedSetResponse](stream, err, func(m *api.ListDefinedSetResponse) {
			s := row.BgpSet(m.DefinedSet.Name)
			if !slices.Contains(ours, s) && !s.Single() {
				return
			}
			for _, p := range m.DefinedSet.Prefixes {
				if net, bad := netip.ParsePrefix(p.IpPrefix); bad == nil {
					add(row.BgpMember{Set: s, Net: net, Min: uint8(p.MaskLengthMin), Max: uint8(p.MaskLengthMax)})
				}
			}
			for _, text := range m.DefinedSet.List {
				if net, bad := netip.ParsePrefix(text); bad == nil && text != nobody {
					add(row.BgpMember{Set: s, Net: net, Min: uint8(net.Bits()), Max: uint8(net.Bits())})
				}
			}
		})
		if err != nil {
			return fmt.Errorf("read the speaker's sets: %w", err)
		}
	}
	return nil
}

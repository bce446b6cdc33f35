package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"kube-router/internal/model"
)

// most is up to how many prefixes are read one by one; beyond, the whole table is read.
const most = 512

// look reads the best paths to some prefixes, or all (nil), and tells what differs.
func (w *Watch) look(ctx context.Context, only []netip.Prefix) error {
	if len(only) > most {
		only = nil
	}
	if w.peers == nil {
		var err error
		if w.peers, err = w.ask(ctx, false); err != nil {
			return err
		}
	}
	// Afterwards, for what is offered before it is found has been judged by then.
	offered, err := w.offers(ctx, only)
	if err != nil {
		return err
	}
	found := map[netip.Prefix]told{}
	for _, r := range requests(api.TableType_TABLE_TYPE_GLOBAL, "", only) {
		if err := w.list(ctx, r, found); err != nil {
			return err
		}
	}
	refuse(found, offered)
	if only == nil {
		for p := range w.told {
			only = append(only, p)
		}
		for p := range found {
			only = append(only, p)
		}
		w.tell(only, found, true)
		return nil
	}
	if w.misses(only, found) {
		if err := w.serving(ctx); err != nil {
			return err
		}
	}
	w.tell(only, found, false)
	return nil
}

// misses tells whether a prefix that is known isn't found any more.
func (w *Watch) misses(prefixes []netip.Prefix, found map[netip.Prefix]told) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool {
		_, known := w.told[p]
		_, there := found[p]
		return known && !there
	})
}

// serving is an error when the speaker speaks no BGP any more. One that is being stopped withdraws everything first, which is no word of
// any peer: what it had learned is of an earlier life from then on.
func (w *Watch) serving(ctx context.Context) error {
	r, err := w.api.GetBgp(ctx, &api.GetBgpRequest{})
	if err != nil {
		return fmt.Errorf("ask whether the BGP speaker serves: %w", err)
	}
	if r.GetGlobal().GetAsn() == 0 {
		return errors.New("the BGP speaker has stopped")
	}
	return nil
}

// requests ask for a table, of each family in which there is something to be asked for: some prefixes, or all (nil).
func requests(table api.TableType, peer string, only []netip.Prefix) []*api.ListPathRequest {
	var list []*api.ListPathRequest
	for _, f := range []struct {
		afi api.Family_Afi
		v4  bool
	}{{api.Family_AFI_IP, true}, {api.Family_AFI_IP6, false}} {
		r := &api.ListPathRequest{TableType: table, Name: peer, Family: &api.Family{Afi: f.afi, Safi: api.Family_SAFI_UNICAST}}
		for _, p := range only {
			if p.Addr().Is4() == f.v4 {
				r.Prefixes = append(r.Prefixes, &api.TableLookupPrefix{Prefix: p.String(), Type: api.TableLookupPrefix_TYPE_EXACT})
			}
		}
		if only == nil || len(r.Prefixes) > 0 {
			list = append(list, r)
		}
	}
	return list
}

// offers are what routers outside teach, whether our policy takes it or not, by prefix.
func (w *Watch) offers(ctx context.Context, only []netip.Prefix) (map[netip.Prefix][]netip.Addr, error) {
	all := map[netip.Prefix][]netip.Addr{}
	for peer, is := range w.peers {
		if is.Node != "" || !is.Established() {
			continue
		}
		for _, r := range requests(api.TableType_TABLE_TYPE_ADJ_IN, peer.String(), only) {
			stream, err := w.api.ListPath(ctx, r)
			for err == nil {
				var m *api.ListPathResponse
				if m, err = stream.Recv(); err != nil {
					break
				}
				if p, wrong := netip.ParsePrefix(m.GetDestination().GetPrefix()); wrong == nil {
					all[p] = append(all[p], peer)
				}
			}
			// A peer that has just gone has no table, nor has a family that it doesn't speak.
			if c := status.Code(err); c == codes.Unavailable || c == codes.Canceled {
				return nil, fmt.Errorf("read what %s teaches: %w", peer, err)
			}
		}
	}
	return all, nil
}

// refuse notes of what is offered and not in the table that it is refused.
func refuse(found map[netip.Prefix]told, offered map[netip.Prefix][]netip.Addr) {
	for p, peers := range offered {
		t, there := found[p]
		if !there {
			t.path = &model.Path{Prefix: p}
		}
		for _, a := range peers {
			if !slices.Contains(t.taken, a) {
				t.path.Refused = append(t.path.Refused, a)
			}
		}
		slices.SortFunc(t.path.Refused, netip.Addr.Compare)
		if there || len(t.path.Refused) > 0 {
			found[p] = t
		}
	}
}

// list reads destinations into found.
func (w *Watch) list(ctx context.Context, r *api.ListPathRequest, found map[netip.Prefix]told) error {
	return w.destinations(ctx, r, func(d *api.Destination) {
		if t, ok := read(d, w.peers); ok || len(t.taken) > 0 {
			found[t.path.Prefix] = t
		}
	})
}

// destinations visits those of a table. A speaker without BGP has none.
func (w *Watch) destinations(ctx context.Context, r *api.ListPathRequest, visit func(*api.Destination)) error {
	stream, err := w.api.ListPath(ctx, r)
	for err == nil {
		var m *api.ListPathResponse
		if m, err = stream.Recv(); err == nil {
			visit(m.Destination)
		}
	}
	if errors.Is(err, io.EOF) || strings.Contains(err.Error(), "hasn't started") {
		return nil
	}
	return fmt.Errorf("read the BGP speaker's table: %w", err)
}

// read makes a path of a destination, unless the best one is our own.
func read(d *api.Destination, peers map[netip.Addr]State) (told, bool) {
	prefix, err := netip.ParsePrefix(d.GetPrefix())
	if err != nil {
		return told{}, false
	}
	t := told{path: &model.Path{Prefix: prefix}}
	for _, p := range d.Paths {
		from, err := netip.ParseAddr(p.GetNeighborIp())
		if err == nil && !p.IsWithdraw {
			t.taken = append(t.taken, from.Unmap())
		}
		if !p.GetBest() || p.IsWithdraw || p.IsNexthopInvalid {
			continue
		}
		hop := nextHop(p, prefix.Addr().Is4())
		if err != nil || !hop.IsValid() || hop.IsUnspecified() {
			continue
		}
		t.from = append(t.from, from.Unmap())
		t.path.NextHops = append(t.path.NextHops, hop)
		t.path.External = t.path.External || peers[from.Unmap()].Node == ""
	}
	slices.SortFunc(t.path.NextHops, netip.Addr.Compare)
	t.path.NextHops = slices.Compact(t.path.NextHops)
	return t, len(t.path.NextHops) > 0
}

// nextHop is a path's next hop, in whichever attribute its family has it: an UPDATE may announce prefixes of both.
func nextHop(p *api.Path, v4 bool) netip.Addr {
	var found netip.Addr
	for _, a := range p.Pattrs {
		text := a.GetNextHop().GetNextHop()
		if hops := a.GetMpReach().GetNextHops(); len(hops) > 0 {
			text = hops[0]
		}
		addr, err := netip.ParseAddr(text)
		if addr = addr.Unmap(); err == nil && (!found.IsValid() || addr.Is4() == v4) {
			found = addr
		}
	}
	return found
}

// prefixOf is the prefix that an event is about.
func prefixOf(p *api.Path) (netip.Prefix, bool) {
	n := p.GetNlri().GetPrefix()
	addr, err := netip.ParseAddr(n.GetPrefix())
	if err != nil {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(addr, int(n.GetPrefixLen())), true
}

// tell tells what became of prefixes. Of those of an earlier life, what isn't found in the whole table yet
// stays; a single prefix was hinted at, so that is news.
func (w *Watch) tell(prefixes []netip.Prefix, found map[netip.Prefix]told, all bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range prefixes {
		was, known := w.told[p]
		is, there := found[p]
		switch {
		case there && known && was.stale && len(is.path.NextHops) == 0:
			// What others offer in vain doesn't tell that those who taught it have it no more.
			w.offered(p, was, is.path.Refused)
		case there && is.empty():
			// A path of ours is the best one.
			delete(w.told, p)
			if known && w.synced {
				w.Inbox.Delete(was.path.Ref())
			}
		case there:
			w.told[p] = is
			if w.synced && (!known || !reflect.DeepEqual(was.path, is.path)) {
				w.Inbox.Put(is.path)
			}
		case known && !(all && was.stale):
			delete(w.told, p)
			if w.synced {
				w.Inbox.Delete(was.path.Ref())
			}
		}
	}
}

// tellAll tells the first whole picture.
func (w *Watch) tellAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.synced {
		return
	}
	list := make([]model.Object, 0, len(w.told))
	for _, t := range w.told {
		list = append(list, t.path)
	}
	w.Inbox.Replace(model.KindPath, list)
	w.synced = true
	if w.Synced != nil {
		w.Synced()
	}
}

// sweep drops routes of an earlier life whose peers are back without them, and in the end all.
func (w *Watch) sweep(ctx context.Context, age time.Duration) error {
	if !w.anyStale() || age < settled {
		return nil
	}
	peers, err := w.ask(ctx, false)
	if err != nil {
		return err
	}
	back := func(a netip.Addr) bool {
		p, known := peers[a]
		return !known || p.Established() && time.Since(p.Since) > settled
	}
	everybody := len(peers) > 0
	for a := range peers {
		everybody = everybody && back(a)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for k, t := range w.told {
		settledAll := len(t.from) > 0 && len(peers) > 0 && !slices.ContainsFunc(t.from, func(a netip.Addr) bool { return !back(a) })
		if t.stale && (settledAll || everybody || age > keepStale) {
			delete(w.told, k)
			if len(t.path.Refused) == 0 {
				w.Inbox.Delete(t.path.Ref())
				continue
			}
			now := told{path: &model.Path{Prefix: k, Refused: t.path.Refused}}
			w.told[k] = now
			w.Inbox.Put(now.path)
		}
	}
	return nil
}

// offered adds to a route of an earlier life who offers it now, in vain. Whoever calls this holds mu.
func (w *Watch) offered(p netip.Prefix, was told, by []netip.Addr) {
	if slices.Equal(was.path.Refused, by) {
		return
	}
	path := *was.path
	path.Refused = by
	was.path = &path
	w.told[p] = was
	if w.synced {
		w.Inbox.Put(&path)
	}
}

// inVain are the prefixes that somebody offers in vain.
func (w *Watch) inVain() []netip.Prefix {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []netip.Prefix
	for p, t := range w.told {
		if len(t.path.Refused) > 0 {
			list = append(list, p)
		}
	}
	return list
}

func (w *Watch) anyStale() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range w.told {
		if t.stale {
			return true
		}
	}
	return false
}

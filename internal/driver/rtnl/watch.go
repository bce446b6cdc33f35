package rtnl

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"kube-router/internal/row"
)

// Watch calls changed when something happens that may have harmed a row of ours, until ctx ends. The kernel
// tells at once; what it doesn't tell (routes that go because a link or their source went) follows from what
// it does. Pods that come and go make no call.
func (d *Driver) Watch(ctx context.Context, changed func()) error {
	s, err := nl.SubscribeAt(d.ns, netns.None(), unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_NEIGH,
		unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE,
		unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE)
	if err != nil {
		return fmt.Errorf("listen to rtnetlink: %w", err)
	}
	defer s.Close()
	defer context.AfterFunc(ctx, s.Close)()
	w := &watcher{up: map[int32]bool{}, ours: map[int32]bool{}}
	changed()
	for {
		list, _, err := s.Receive()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.ENOBUFS):
			// The kernel had more to tell than the socket could hold.
			changed()
			continue
		case err != nil:
			return fmt.Errorf("listen to rtnetlink: %w", err)
		}
		if w.any(list) {
			changed()
		}
	}
}

// watcher judges messages. It remembers which links are up and which are ours, as told by messages, and which is the pods' bridge.
type watcher struct {
	up, ours map[int32]bool
	bridge   int32
}

func (w *watcher) any(list []syscall.NetlinkMessage) bool {
	matters := false
	for _, m := range list {
		matters = w.one(m) || matters
	}
	return matters
}

// one tells whether a message may be about a row of ours. Additions are nothing to us unless they replace.
func (w *watcher) one(m syscall.NetlinkMessage) bool {
	switch m.Header.Type {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		return w.link(m)
	case unix.RTM_DELADDR:
		return true
	case unix.RTM_NEWADDR: // in the range of another node, maybe
		return w.bridge != 0 && len(m.Data) >= unix.SizeofIfAddrmsg && int32(binary.NativeEndian.Uint32(m.Data[4:])) == w.bridge
	case unix.RTM_DELNEIGH:
		return len(m.Data) >= unix.SizeofNdMsg && w.ours[int32(binary.NativeEndian.Uint32(m.Data[4:]))]
	case unix.RTM_DELROUTE:
		return len(m.Data) >= unix.SizeofRtMsg && nl.DeserializeRtMsg(m.Data).Protocol == row.RouteProtocol
	case unix.RTM_NEWROUTE:
		return m.Header.Flags&unix.NLM_F_REPLACE != 0 && len(m.Data) >= unix.SizeofRtMsg &&
			nl.DeserializeRtMsg(m.Data).Protocol != row.RouteProtocol
	case unix.RTM_DELRULE:
		return true
	}
	return false
}

// link tells whether a link is ours or has gone down, which takes its routes away. Messages of
// family bridge are about ports.
func (w *watcher) link(m syscall.NetlinkMessage) bool {
	if len(m.Data) < unix.SizeofIfInfomsg {
		return false
	}
	info := nl.DeserializeIfInfomsg(m.Data)
	if info.Family == unix.AF_BRIDGE {
		return false
	}
	header := unix.NlMsghdr{Type: m.Header.Type}
	l, err := netlink.LinkDeserialize(&header, m.Data)
	if err != nil {
		return true
	}
	up := m.Header.Type == unix.RTM_NEWLINK && info.Flags&unix.IFF_UP != 0
	before := w.up[info.Index]
	ours := row.LinkNameIsOurs(l.Attrs().Name)
	if m.Header.Type == unix.RTM_DELLINK {
		delete(w.up, info.Index)
		delete(w.ours, info.Index)
		return ours || before
	}
	w.up[info.Index], w.ours[info.Index] = up, ours
	if l.Attrs().Name == row.BridgeName {
		w.bridge = info.Index
	}
	return ours || before && !up
}

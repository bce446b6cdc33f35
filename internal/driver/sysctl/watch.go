package sysctl

import (
	"context"
	"errors"
	"fmt"

	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// The groups in which the kernel tells of changes to forwarding and rp_filter (RTNLGRP_IPV4_NETCONF and
// RTNLGRP_IPV6_NETCONF), also those of new links. Of other settings it tells nothing.
const (
	netconf4 = 24
	netconf6 = 25
)

// Watch calls changed when settings of a link or of all links change, until ctx ends.
func (d *Driver) Watch(ctx context.Context, changed func()) error {
	ns := d.ns
	if ns <= 0 {
		ns = netns.None()
	}
	s, err := nl.SubscribeAt(ns, netns.None(), unix.NETLINK_ROUTE, netconf4, netconf6)
	if err != nil {
		return fmt.Errorf("listen to changes of settings: %w", err)
	}
	defer s.Close()
	defer context.AfterFunc(ctx, s.Close)()
	changed()
	for {
		_, _, err := s.Receive()
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !errors.Is(err, unix.ENOBUFS):
			return fmt.Errorf("listen to changes of settings: %w", err)
		}
		changed()
	}
}

package sysctl

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// bridged are the settings without which policies between pods of one node don't hold, and which other programs set to
// 0. The kernel tells nothing of them, and a write is seen by inotify in the same mount of /proc only, so they are read each second.
var bridged = [...]string{
	"net/bridge/bridge-nf-call-iptables", "net/bridge/bridge-nf-call-ip6tables", "net/bridge/bridge-nf-filter-vlan-tagged",
}

// The groups in which the kernel tells of changes to forwarding and rp_filter (RTNLGRP_IPV4_NETCONF and
// RTNLGRP_IPV6_NETCONF), also those of new links. Of other settings it tells nothing.
const (
	netconf4 = 24
	netconf6 = 25
)

// Watch calls changed when settings of a link or of all links change, or within a second when those of bridges do, until ctx ends.
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
	ctx, stop := context.WithCancel(ctx)
	polled := make(chan struct{})
	go func() {
		defer close(polled)
		d.poll(ctx, changed)
	}()
	defer func() { stop(); <-polled }()
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

// poll reads the settings of bridges each second.
func (d *Driver) poll(ctx context.Context, changed func()) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	known := d.bridges()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if now := d.bridges(); now != known {
			known = now
			changed()
		}
	}
}

// bridges are the values of the settings of bridges; empty where there is none.
func (d *Driver) bridges() (values [len(bridged)]string) {
	_ = d.inside(func() error { // who can't enter the namespace hears so from Dump
		for i, name := range bridged {
			values[i], _ = d.read(name)
		}
		return nil
	})
	return values
}

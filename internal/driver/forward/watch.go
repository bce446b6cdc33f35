package forward

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"kube-router/internal/row"
)

// Watch calls changed whenever chains or rules of tables ip filter and ip6 filter changed, until ctx ends.
func (d *Driver) Watch(ctx context.Context, changed func()) error {
	return listen(ctx, func(table string, family byte) bool {
		return table == Table && (family == unix.NFPROTO_IPV4 || family == unix.NFPROTO_IPV6)
	}, changed)
}

// The least and the most time between two looks of Follow, and the time between two at iptables-legacy, which tells nobody.
const (
	rest  = time.Second
	slow  = time.Minute
	quick = 5 * time.Second
)

// Follow looks whenever a chain or a rule of another table than ours changed, at most once a second, and every minute, also
// when the kernel tells of changes no more; a change of iptables-legacy is seen within some seconds. It ends with ctx; what fails is told as well.
func Follow(ctx context.Context, tell func([]Foreign, error)) {
	changed, ended := make(chan struct{}, 1), make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	go func(ended chan<- error) {
		ended <- listen(ctx, func(table string, _ byte) bool { return table != row.NftTable }, func() {
			select {
			case changed <- struct{}{}:
			default:
			}
		})
	}(ended)
	defer func() {
		cancel()
		if ended != nil {
			<-ended
		}
	}()
	for {
		list, err := Look()
		tell(list, err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(rest):
		}
		again := time.After(slow)
		for waiting := true; waiting; {
			waiting = false
			select {
			case <-ctx.Done():
				return
			case err := <-ended:
				if ended = nil; ctx.Err() == nil {
					tell(nil, err)
				}
			case <-changed:
			case <-again:
			case <-time.After(quick):
				waiting = sameLegacy(list)
			}
		}
	}
}

// sameLegacy tells whether a look at iptables-legacy alone finds what is in a list of Look's.
func sameLegacy(list []Foreign) bool {
	now, err := lookLegacy()
	return err == nil && slices.Equal(now, slices.DeleteFunc(slices.Clone(list), func(f Foreign) bool { return !f.Legacy }))
}

// listen calls f for notifications about chains and rules of the tables that concern it.
func listen(ctx context.Context, concerns func(table string, family byte) bool, f func()) error {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return fmt.Errorf("nftables: watch chains: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer func() {
		if stop() {
			_ = conn.Close()
		}
	}()
	if err := conn.JoinGroup(unix.NFNLGRP_NFTABLES); err != nil && ctx.Err() == nil {
		return fmt.Errorf("nftables: watch chains: %w", err)
	}
	f() // what changed before is not told
	for {
		messages, err := conn.Receive()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.ENOBUFS):
			f()
			continue
		case err != nil:
			return fmt.Errorf("nftables: watch chains: %w", err)
		}
		for _, m := range messages {
			if table, family, ok := about(m); ok && concerns(table, family) {
				f()
				break
			}
		}
	}
}

// about is the table of a notification about a table, chain or rule. All name it in their first attribute.
func about(m netlink.Message) (table string, family byte, ok bool) {
	switch int(m.Header.Type) & 0xff {
	case unix.NFT_MSG_NEWCHAIN, unix.NFT_MSG_DELCHAIN, unix.NFT_MSG_NEWRULE, unix.NFT_MSG_DELRULE, unix.NFT_MSG_NEWTABLE, unix.NFT_MSG_DELTABLE:
	default:
		return "", 0, false
	}
	if len(m.Data) < 4 {
		return "", 0, false
	}
	a, err := netlink.NewAttributeDecoder(m.Data[4:])
	if err != nil {
		return "", 0, false
	}
	for a.Next() {
		if a.Type() == unix.NFTA_TABLE_NAME {
			return a.String(), m.Data[0], true
		}
	}
	return "", 0, false
}

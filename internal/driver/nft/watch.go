package nft

import (
	"context"
	"errors"
	"fmt"

	"github.com/mdlayher/netlink"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"kube-router/internal/row"
)

// portOffset is where a netlink message has the port of the socket that caused it.
const portOffset = 12

// Watch calls changed when somebody else changes our tables, or when so much was changed that it can't be
// told; it returns when ctx ends. It reads nothing itself. Our own changes are filtered in the kernel by the
// port of our socket: a hundred thousand of them would only overflow the watching one.
func (d *Driver) Watch(ctx context.Context, changed func()) error {
	conn, err := d.subscribe()
	if err != nil {
		return fmt.Errorf("nftables: watch the tables %s: %w", row.NftTable, err)
	}
	return d.watch(ctx, conn, changed)
}

func (d *Driver) watch(ctx context.Context, conn *netlink.Conn, changed func()) error {
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer func() {
		if stop() {
			_ = conn.Close()
		}
	}()
	for {
		messages, err := conn.Receive()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.ENOBUFS):
			changed()
		case err != nil:
			return fmt.Errorf("nftables: watch the tables %s: %w", row.NftTable, err)
		case d.concerns(messages):
			changed()
		}
	}
}

func (d *Driver) subscribe() (*netlink.Conn, error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: max(d.netns, 0)})
	if err != nil {
		return nil, err
	}
	_ = conn.SetReadBuffer(recvBuffer)
	filter, err := bpf.Assemble(notFrom(d.sock.conn.PID()))
	if err == nil {
		err = conn.SetBPF(filter)
	}
	if err == nil {
		err = conn.JoinGroup(unix.NFNLGRP_NFTABLES)
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

// notFrom drops notifications of what a port did. Those of one transaction come together and none of
// others among them. The kernel loads in network order what is in the host's.
func notFrom(port uint32) []bpf.Instruction {
	return []bpf.Instruction{
		bpf.LoadAbsolute{Off: portOffset, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: number32(host(port)), SkipFalse: 1},
		bpf.RetConstant{Val: 0},
		bpf.RetConstant{Val: 1 << 18},
	}
}

// concerns tells whether any of the messages is about our tables; they all name it in their first attribute.
func (d *Driver) concerns(messages []netlink.Message) bool {
	for _, m := range messages {
		if m.Header.PID == d.sock.conn.PID() || len(m.Data) < 4 || m.Data[0] != unix.NFPROTO_INET && m.Data[0] != unix.NFPROTO_BRIDGE {
			continue
		}
		ours := false
		attrs(m.Data[4:], func(typ uint16, data []byte) {
			ours = ours || typ == unix.NFTA_TABLE_NAME && text(data) == row.NftTable
		})
		if ours {
			return true
		}
	}
	return false
}

package rtnl

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"kube-router/internal/row"
)

// dumpFou finds GUE ports that are ours. A kernel without the fou module has none.
func (d *Driver) dumpFou(found rows, ours map[int]row.Link) error {
	ports := map[uint16]bool{d.port: true}
	for _, l := range ours {
		if l.Kind == row.LinkIPIP || l.Kind == row.LinkIP6Tnl {
			ports[l.Port] = true
		}
	}
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		list, err := dumped(d.h.FouList(family))
		if errors.Is(err, unix.ENOENT) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("list GUE ports: %w", err)
		}
		for _, f := range list {
			if f.EncapType == netlink.FOU_ENCAP_GUE && ports[uint16(f.Port)] {
				found.add(row.FouPort{V6: f.Family == unix.AF_INET6, Port: uint16(f.Port)})
			}
		}
	}
	return nil
}

func fou(r row.FouPort) netlink.Fou {
	f := netlink.Fou{Family: unix.AF_INET, Port: int(r.Port), EncapType: netlink.FOU_ENCAP_GUE}
	if r.V6 {
		f.Family = unix.AF_INET6
	}
	return f
}

func (d *Driver) setFou(r row.FouPort) error {
	err := d.addFou(fou(r))
	switch {
	case errors.Is(err, unix.ENOENT):
		return fmt.Errorf("this kernel has no foo-over-UDP (module fou): %w", err)
	case errors.Is(err, unix.EADDRINUSE), errors.Is(err, unix.EALREADY):
		return d.sameFou(r, err)
	}
	return err
}

// addFou adds a GUE port. The library's own function says that the inner protocol is 0, which kernels since 6.13
// refuse: GUE carries the protocol in each packet, so the attribute must be left out.
func (d *Driver) addFou(f netlink.Fou) error {
	id, err := netlink.FouFamilyId()
	if err != nil {
		return err
	}
	socket, err := nl.GetNetlinkSocketAt(d.ns, netns.None(), unix.NETLINK_GENERIC)
	if err != nil {
		return fmt.Errorf("open generic netlink: %w", err)
	}
	defer socket.Close()
	req := nl.NewNetlinkRequest(id, unix.NLM_F_ACK)
	req.Sockets = map[int]*nl.SocketHandle{unix.NETLINK_GENERIC: {Socket: socket}}
	req.AddData(&nl.Genlmsg{Command: netlink.FOU_CMD_ADD, Version: 1})
	req.AddData(nl.NewRtAttr(netlink.FOU_ATTR_PORT, binary.BigEndian.AppendUint16(nil, uint16(f.Port))))
	req.AddData(nl.NewRtAttr(netlink.FOU_ATTR_TYPE, []byte{byte(f.EncapType)}))
	req.AddData(nl.NewRtAttr(netlink.FOU_ATTR_AF, []byte{byte(f.Family)}))
	_, err = req.Execute(unix.NETLINK_GENERIC, 0)
	return err
}

// sameFou tells whether the port that is in use already is the one that we want.
func (d *Driver) sameFou(r row.FouPort, err error) error {
	list, _ := dumped(d.h.FouList(fou(r).Family))
	for _, f := range list {
		if f.EncapType == netlink.FOU_ENCAP_GUE && f.Port == int(r.Port) && f.Family == fou(r).Family {
			return nil
		}
	}
	return fmt.Errorf("UDP port %d is in use: %w", r.Port, err)
}

func (d *Driver) removeFou(r row.FouPort) error {
	if err := d.h.FouDel(fou(r)); err != nil && !gone(err) && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("remove GUE port: %w", err)
	}
	return nil
}

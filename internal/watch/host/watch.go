package host

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"kube-router/internal/model"
)

// Inbox receives what is true now, from one goroutine.
type Inbox interface {
	// Put stores a link that was added or changed.
	Put(model.Object)
	// Delete removes a link.
	Delete(model.Ref)
	// Replace tells all links: the first picture.
	Replace(model.Kind, []model.Object)
}

// receiveBuffer is the socket's buffer in bytes; hundreds of pods may start at once. Whatever is lost
// beyond it is found by reading again.
const receiveBuffer = 1 << 20

// Watch follows the links of one network namespace.
type Watch struct {
	ns    netns.NsHandle
	inbox Inbox
	told  map[string]*model.Link // what the inbox knows; nil before the first picture
}

// New prepares to watch a network namespace; netns.None() is the one that we run in.
func New(ns netns.NsHandle, inbox Inbox) *Watch {
	return &Watch{ns: ns, inbox: inbox}
}

// Run tells all links and then every change, until ctx ends. It fails when the kernel refuses to be asked.
func (w *Watch) Run(ctx context.Context) error {
	socket, err := nl.SubscribeAt(w.ns, netns.None(), unix.NETLINK_ROUTE,
		unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR)
	if err != nil {
		return fmt.Errorf("subscribe to links and addresses: %w", err)
	}
	handle, err := netlink.NewHandleAt(w.ns, unix.NETLINK_ROUTE)
	if err != nil {
		socket.Close()
		return fmt.Errorf("open netlink: %w", err)
	}
	defer handle.Close()
	// A smaller buffer than wished for costs only an extra reading now and then.
	_ = socket.SetReceiveBufferSize(receiveBuffer, true)

	changed, ended := make(chan struct{}, 1), make(chan error, 1)
	go func() { ended <- listen(socket, changed) }()
	err = w.follow(ctx, handle, changed, ended)
	socket.Close()
	if !errors.Is(err, errListener) {
		<-ended
	}
	return err
}

// errListener marks the listener's own end.
var errListener = errors.New("notifications of the kernel ended")

// follow looks once, and again after every notification.
func (w *Watch) follow(ctx context.Context, h *netlink.Handle, changed <-chan struct{}, ended <-chan error) error {
	for {
		if err := w.look(ctx, h); err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case err := <-ended:
			return fmt.Errorf("%w: %w", errListener, err)
		case <-changed:
		}
	}
}

// listener is the socket that notifications come from.
type listener interface {
	Receive() ([]syscall.NetlinkMessage, *unix.SockaddrNetlink, error)
}

// listen turns notifications into one pending "look again", until the socket fails, as it
// does when it is closed.
func listen(s listener, changed chan<- struct{}) error {
	for {
		_, _, err := s.Receive()
		if err != nil && !errors.Is(err, unix.ENOBUFS) && !errors.Is(err, unix.EINTR) {
			return err
		}
		select {
		case changed <- struct{}{}:
		default:
		}
	}
}

// look reads all links and tells the inbox what is different.
func (w *Watch) look(ctx context.Context, h *netlink.Handle) error {
	links, err := read(ctx, h)
	if err != nil {
		return err
	}
	if w.told == nil {
		all := make([]model.Object, 0, len(links))
		for _, l := range links {
			all = append(all, l)
		}
		w.inbox.Replace(model.KindLink, all)
		w.told = links
		return nil
	}
	for name, l := range links {
		if old := w.told[name]; old == nil || !reflect.DeepEqual(old, l) {
			w.inbox.Put(l)
		}
	}
	for name, old := range w.told {
		if links[name] == nil {
			w.inbox.Delete(old.Ref())
		}
	}
	w.told = links
	return nil
}

package sysctl

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	vnetns "github.com/vishvananda/netns"

	"kube-router/internal/lab/netns"
)

func TestWatchTellsOfForwarding(t *testing.T) {
	space, err := netns.New()
	must(t, err)
	defer space.Close()
	must(t, space.Sysctl("net.ipv4.ip_forward=0", "net.ipv6.conf.all.forwarding=0", "net.ipv4.conf.all.rp_filter=0"))
	d := New(vnetns.NsHandle(space.Fd()), filepath.Join(t.TempDir(), "state"))
	ctx, stop := context.WithCancel(t.Context())
	calls, ended := make(chan struct{}, 1000), make(chan error, 1)
	go func() { ended <- d.Watch(ctx, func() { calls <- struct{}{} }) }()
	for _, setting := range []string{"", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1", "net.ipv4.conf.all.rp_filter=1"} {
		if setting != "" {
			must(t, space.Sysctl(setting))
		}
		select {
		case <-calls:
		case <-time.After(5 * time.Second):
			t.Fatalf("no call after %q", setting)
		}
		for quiet := false; !quiet; { // one change may make several calls
			select {
			case <-calls:
			case <-time.After(50 * time.Millisecond):
				quiet = true
			}
		}
	}
	stop()
	must(t, <-ended)
}

package gobgp

import (
	"context"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"kube-router/internal/row"
	"kube-router/internal/row/conform"
)

// TestAdminReads lets whoever reaches the TCP port read, and change nothing. Root's socket changes what it likes, and the
// daemon hears of it.
func TestAdminReads(t *testing.T) {
	dir := supervised(t)
	d := driver(t, dir)
	if err := d.Apply(t.Context(), conform.Diff(map[row.BgpKey]row.Bgp{}, conform.Index[row.BgpKey](rows(20)))); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- (&Admin{Dir: dir, Addrs: []string{l.Addr().String()}, Log: logger(t)}).Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	tcp, err := connect(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.conn.Close()
	root, err := dial(filepath.Join(dir, adminName))
	if err != nil {
		t.Fatal(err)
	}
	defer root.conn.Close()
	news := make(chan bool, 10)
	go func() { _ = d.Watch(ctx, func() { news <- true }) }()
	<-news // that it begins
	if g, err := tcp.global(ctx); err != nil || g == nil {
		t.Fatalf("nothing to read: %v, %v", g, err)
	}
	peers := 0
	stream, err := tcp.ListPeer(ctx, &api.ListPeerRequest{})
	if err = each[api.ListPeerResponse](stream, err, func(*api.ListPeerResponse) { peers++ }); err != nil || peers == 0 {
		t.Errorf("%d peers to read: %v", peers, err)
	}
	a := addr("127.0.1.1").String()
	for name, change := range map[string]func(c *client) error{
		"DeletePeer": func(c *client) error {
			_, err := c.DeletePeer(ctx, &api.DeletePeerRequest{Address: a})
			return err
		},
		"StopBgp": func(c *client) error { _, err := c.StopBgp(ctx, &api.StopBgpRequest{}); return err },
		"AddPath": func(c *client) error {
			p := pathMessage(row.BgpPath{Prefix: pfx("10.9.0.0/16"), NextHop: addr("127.0.0.1")})
			_, err := c.AddPath(ctx, &api.AddPathRequest{TableType: api.TableType_TABLE_TYPE_GLOBAL, Path: p})
			return err
		},
		"AddPathStream": func(c *client) error {
			s, err := c.AddPathStream(ctx)
			if err == nil {
				_, err = s.CloseAndRecv()
			}
			return err
		},
	} {
		if err := change(tcp); status.Code(err) != codes.PermissionDenied {
			t.Errorf("%s over TCP: %v", name, err)
		}
	}
	if len(news) > 0 {
		t.Error("news of changes that were refused")
	}
	if _, err := root.DeletePeer(ctx, &api.DeletePeerRequest{Address: a}); err != nil {
		t.Errorf("root: %v", err)
	}
	select {
	case <-news:
	case <-time.After(10 * time.Second):
		t.Error("the daemon hears nothing of what root has changed")
	}
}

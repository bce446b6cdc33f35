//go:build interop

package interop

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"kube-router/internal/lab"
)

// service calls a speaker's gRPC at an address of a node, or at a path of this machine.
func (w *world) service(node, network, at string) api.GoBgpServiceClient {
	w.t.Helper()
	dial := func(ctx context.Context, _ string) (conn net.Conn, err error) {
		err = w.node(node).Do(func() error {
			conn, err = (&net.Dialer{}).DialContext(ctx, network, at)
			return err
		})
		return conn, err
	}
	conn, err := grpc.NewClient("passthrough:///node", grpc.WithContextDialer(dial), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { conn.Close() })
	return api.NewGoBgpServiceClient(conn)
}

// TestBoundaryAdmin: whoever reaches the port of gRPC reads, and changes nothing. The socket is root's, and what is changed there although
// it is ours is made good and reported. The router beside it is of a public AS.
func TestBoundaryAdmin(t *testing.T) {
	w := begin(t, lab.Config{Nodes: 1}, "--peer-router-ips="+first, "--peer-router-asns=3320")
	r := w.bird("r1", birdPeers(first, first6, "3320", "", "172.30.0.11"))
	r.says(12*time.Second, "show route", "10.244.1.0/24")
	begun := upSince(r, "n1")
	path := filepath.Join(w.Dir(), "n1", "run", "kube-router", "gobgp.sock")
	anybody, root := w.service("n1", "tcp", "127.0.0.1:50051"), w.service("n1", "unix", path)
	if g, err := anybody.GetBgp(w.ctx, &api.GetBgpRequest{}); err != nil || g.Global.Asn != 64512 {
		t.Errorf("nothing to read: %v, %v", g, err)
	}
	end := func(c api.GoBgpServiceClient) error {
		_, err := c.DeletePeer(w.ctx, &api.DeletePeerRequest{Address: first})
		return err
	}
	for name, change := range map[string]func() error{
		"DeletePeer": func() error { return end(anybody) },
		"StopBgp":    func() error { _, err := anybody.StopBgp(w.ctx, &api.StopBgpRequest{}); return err },
		"ResetPeer": func() error {
			_, err := anybody.ResetPeer(w.ctx, &api.ResetPeerRequest{Address: first})
			return err
		},
	} {
		if err := change(); status.Code(err) != codes.PermissionDenied {
			t.Errorf("%s by anybody: %v", name, err)
		}
	}
	if out, err := w.node("n1").Run(w.ctx, "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "test", "-w", "/run/kube-router/gobgp.sock"); err == nil {
		t.Errorf("root's socket is anybody's: %s", out)
	}
	if now := upSince(r, "n1"); !now.is(begun) {
		t.Errorf("the session ended: it stood since %s, now since %s", begun, now)
	}
	if err := end(root); err != nil {
		t.Fatal(err)
	}
	w.until("what root took away is back", 15*time.Second, func() error {
		if now := upSince(r, "n1"); now.is(begun) {
			return fmt.Errorf("the session stands since %s", now)
		}
		return contains(r.ask("show route"), "10.244.1.0/24")
	})
	if err := contains(w.node("n1").DaemonLog(), "rows of ours were changed or removed by others"); err != nil {
		t.Error(err)
	}
}

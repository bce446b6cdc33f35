package agent

import (
	"context"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/vishvananda/netns"

	"kube-router/internal/config"
	"kube-router/internal/driver/gobgp"
	"kube-router/internal/model"
	"kube-router/internal/watch/peer"
)

// orphan is how long a speaker goes on without a daemon: as long as a new daemon may need, and not so long
// that addresses of endpoints that have gone are announced for ever.
const orphan = 5 * time.Minute

// speaker is the BGP speaker's process with what talks to it beside its table. Nil: this node doesn't speak.
type speaker struct {
	supervisor *gobgp.Supervisor
	admin      *gobgp.Admin
	paths      *peer.Watch
}

// speakerDir is where the speaker has its sockets.
func speakerDir(o *config.Options) string { return filepath.Dir(o.ControlSocket) }

// newSpeaker prepares the speaker, unless this node has none.
func (a *agent) newSpeaker() (*speaker, error) {
	if !a.o.Settings.Router {
		return nil, nil
	}
	dir, b := speakerDir(a.o), &a.o.Settings.BGP
	token := speakerToken(a.build.Version)
	paths, err := peer.New(peer.Options{
		Socket: gobgp.Socket(dir), Inbox: a.inbox, Log: a.log, Synced: a.inbox.Nudge,
		Turned: func(t peer.Turn) { a.reports.session(t) },
		Before: func() ([]*model.Path, error) { return peer.KernelRoutes(netns.None()) },
	})
	return &speaker{
		supervisor: &gobgp.Supervisor{
			Dir: dir, Token: token, Graceful: b.GracefulRestart, Log: a.log,
			// The very program that runs now, even when its file has been replaced.
			Path: "/proc/self/exe",
			Args: []string{"kube-router", "speaker", "--dir", dir, "--token", token, "--orphan", max(orphan, b.RestartTime).String()},
		},
		admin: &gobgp.Admin{Dir: dir, Addrs: adminAddrs(b), Log: a.log},
		paths: paths,
	}, err
}

// speakerToken tells programs apart: two builds may call themselves the same.
func speakerToken(version string) string {
	info, err := os.Stat("/proc/self/exe")
	if err != nil {
		return version
	}
	return version + "@" + strconv.FormatInt(info.ModTime().UnixMilli(), 36) + "-" + strconv.FormatInt(info.Size(), 36)
}

// adminAddrs are where the gobgp command finds the speaker; on this host it always does.
func adminAddrs(b *model.BGPSettings) []string {
	if b.AdminPort == 0 {
		return nil
	}
	local := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	list := []string{net.JoinHostPort(local.String(), strconv.Itoa(int(b.AdminPort)))}
	switch a := b.AdminAddr; {
	case !a.IsValid() || a == local:
	case a.IsUnspecified():
		return []string{net.JoinHostPort(a.String(), strconv.Itoa(int(b.AdminPort)))}
	default:
		list = append(list, net.JoinHostPort(a.String(), strconv.Itoa(int(b.AdminPort))))
	}
	return list
}

// parts are what runs for the speaker.
func (s *speaker) parts() []part {
	if s == nil {
		return nil
	}
	return []part{
		{"BGP speaker", s.supervisor.Run}, {"learned routes", s.paths.Run}, {"gRPC of the BGP speaker", s.admin.Run},
	}
}

// synced tells whether what peers taught us before is in the model.
func (s *speaker) synced() bool { return s == nil || s.paths.HasSynced() }

// states asks for the sessions, briefly: who asks shall not wait for a speaker that is away.
func (s *speaker) states(ctx context.Context, advertised bool) ([]peer.State, error) {
	if s == nil {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	return s.paths.States(ctx, advertised)
}

// received asks for paths, as briefly.
func (s *speaker) received(ctx context.Context, only []netip.Prefix) ([]peer.Received, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	return s.paths.Received(ctx, only)
}

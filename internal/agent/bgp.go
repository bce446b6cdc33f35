package agent

import (
	"context"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/vishvananda/netns"

	"kube-router/internal/config"
	"kube-router/internal/driver/gobgp"
	"kube-router/internal/holder"
	"kube-router/internal/intent"
	"kube-router/internal/model"
	"kube-router/internal/plan/advert"
	"kube-router/internal/reconcile"
	"kube-router/internal/render/bgp"
	"kube-router/internal/render/nft"
	"kube-router/internal/row"
	"kube-router/internal/think"
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

// advertStage carries announcements from the model to rows: the speaker is one unit, each node and each Service another.
func (l ledgers) advertStage() think.Stage {
	memo := &holder.Memo{}
	return think.Stage{
		ID: think.Advert,
		Units: func(m *model.Model) []model.Ref {
			return append(slices.Concat(m.Refs(model.KindService), m.Refs(model.KindNode), m.Refs(model.KindOverflow)), model.Ref{Kind: model.KindSettings})
		},
		Plan: func(m *model.Model, u model.Ref) []model.Remark { return l.planAdvert(m, u, memo) },
	}
}

func (l ledgers) planAdvert(m *model.Model, u model.Ref, memo *holder.Memo) []model.Remark {
	var rows []row.Bgp
	var remarks []model.Remark
	owner := reconcile.Owner{Name: u.String()}
	switch u.Kind {
	case model.KindService:
		var list []*intent.Announce
		list, remarks = advert.Service(m, u.Name, memo)
		for _, a := range list {
			rows = append(rows, bgp.Announce(a)...)
		}
	case model.KindNode:
		var list []*intent.Neighbor
		list, remarks = advert.Session(m, u.Name.Name)
		for _, n := range list {
			rows = append(rows, bgp.Neighbor(n)...)
		}
		for _, h := range advert.Held(m, u.Name.Name) {
			rows = append(rows, bgp.Held(h))
		}
	case model.KindOverflow:
		remarks = advert.Overflow(m, u.Name.Name)
	default:
		owner.Name = "BGP"
		var b *intent.BGP
		if b, remarks = advert.Speaker(m); b != nil {
			rows = bgp.Speaker(b)
		}
		l.guardBFD(m)
	}
	l.bgp.Claim(owner, rows...)
	return remarks
}

// guardBFD claims whose BFD packets this node takes.
func (l ledgers) guardBFD(m *model.Model) {
	var rows []row.Nft
	for _, g := range advert.BFD(m) {
		rows = append(rows, nft.BFDGuard(g)...)
	}
	l.nft.Claim(reconcile.Owner{Name: "BFD"}, rows...)
}

package gobgp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/server"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// Engine is what the speaker's process runs.
type Engine struct {
	Dir    string        // of its sockets and its lock
	Token  string        // what it was started as; a supervisor that wants another replaces it
	Orphan time.Duration // without a daemon for so long, sessions end and routes are withdrawn; 0: never
	Log    *slog.Logger
	// MD5 counts segments of TCP that came with a wrong MD5 signature (RFC 2385); nil: nobody counts.
	MD5 func() uint64

	heard   atomic.Int64 // when the daemon last asked, Unix nanoseconds
	serving atomic.Int64 // calls being answered
	stopped atomic.Bool  // BGP has been told to stop: see hush
	haste   atomic.Pointer[haste]
	watches watches
}

// Run is the speaker. It has no configuration: the daemon gives it everything over its socket. It ends when
// ctx ends or when it is told to stop, with its sessions closed; what makes it die makes it die alone.
func (e *Engine) Run(ctx context.Context) error {
	lock, again, err := e.claim()
	if err != nil {
		return err
	}
	defer lock.Close()
	// Whoever may write to the socket rules the node's routes.
	unix.Umask(0o177)
	// Its table is small beside what a peer may say in a short time: garbage is collected early.
	debug.SetGCPercent(40)
	e.heard.Store(time.Now().UnixNano())
	s := server.NewBgpServer(
		server.GrpcListenAddress("unix://"+filepath.Join(e.Dir, socketName)+",unix://"+filepath.Join(e.Dir, adminName)+",unix://"+filepath.Join(e.Dir, readName)),
		server.GrpcOption([]grpc.ServerOption{grpc.UnaryInterceptor(e.unary), grpc.StreamInterceptor(e.stream)}),
		server.LoggerOption(slog.New(calm{e.Log.Handler()}), nil),
	)
	rush, calm := context.WithCancel(ctx)
	g, err := newGate(rush, s, e.Log)
	if err != nil {
		calm()
		return err
	}
	g.again, g.md5 = again, e.MD5
	defer g.close()
	ended := make(chan struct{})
	go func() {
		s.Serve()
		close(ended)
	}()
	h := hurry(rush, s, g, e.Log)
	e.haste.Store(h)
	e.wait(ctx, s, ended)
	calm()
	h.wait()
	// The answer to the call that stopped us is still on its way.
	for deadline := time.Now().Add(time.Second); e.serving.Load() > 0 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	return nil
}

// wait returns when the speaker has ended.
func (e *Engine) wait(ctx context.Context, s *server.BgpServer, ended <-chan struct{}) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	graceful := false
	for {
		select {
		case <-ended:
			return
		case <-ctx.Done():
			graceful = true // another one is to follow: who agreed to that keeps our routes (RFC 4724)
		case <-tick.C:
			if alone := time.Since(time.Unix(0, e.heard.Load())); e.Orphan == 0 || alone < e.Orphan {
				continue
			}
			e.Log.Warn("no daemon any more: sessions end and routes are withdrawn", "after", e.Orphan)
		}
		e.stopped.Store(true)
		if err := s.StopBgp(context.Background(), &api.StopBgpRequest{AllowGracefulRestart: graceful}); err != nil {
			e.Log.Warn("stop BGP", "error", err)
		}
		return
	}
}

// claim takes the lock that tells others who the speaker of this directory is, and tells whether there was one before,
// since the machine started.
func (e *Engine) claim() (lock *os.File, again bool, err error) {
	_, err = os.Stat(filepath.Join(e.Dir, lockName))
	again = err == nil
	f, err := os.OpenFile(filepath.Join(e.Dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, false, fmt.Errorf("claim the speaker's place: %w", err)
	}
	if err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, false, fmt.Errorf("another speaker is at work in %s: %w", e.Dir, err)
	}
	for _, name := range []string{socketName, adminName, readName} {
		if err := os.Remove(filepath.Join(e.Dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			f.Close()
			return nil, false, fmt.Errorf("remove an old socket: %w", err)
		}
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = fmt.Fprintf(f, "%d %s\n", os.Getpid(), e.Token)
	}
	if err != nil {
		f.Close()
		return nil, false, fmt.Errorf("sign the speaker's place: %w", err)
	}
	return f, again, nil
}

// came tells whether a call came over the socket of a name. Only root may connect to any of them.
func came(ctx context.Context, socket string) bool {
	p, ok := peer.FromContext(ctx)
	return ok && p.LocalAddr != nil && filepath.Base(p.LocalAddr.String()) == socket
}

// reads tells whether a method changes nothing.
func reads(method string) bool {
	name := method[strings.LastIndex(method, "/")+1:]
	return strings.HasPrefix(name, "Get") || strings.HasPrefix(name, "List") || name == "WatchEvent"
}

// readOnly is the answer to a change over TCP, behind which anybody may be.
func (e *Engine) readOnly() error {
	return status.Error(codes.PermissionDenied, "this port is for reading; changes need root: gobgp --target unix://"+filepath.Join(e.Dir, adminName))
}

func (e *Engine) unary(ctx context.Context, r any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	e.serving.Add(1)
	defer e.serving.Add(-1)
	if came(ctx, socketName) {
		e.heard.Store(time.Now().UnixNano())
		switch info.FullMethod {
		case api.GoBgpService_StopBgp_FullMethodName:
			e.stopped.Store(true)
		case api.GoBgpService_StartBgp_FullMethodName:
			e.stopped.Store(false)
		}
	} else if !reads(info.FullMethod) {
		if came(ctx, readName) {
			return nil, e.readOnly()
		}
		// What a person changes of ours is made good, and told of, at once.
		defer e.watches.tell()
	}
	if h := e.haste.Load(); h != nil {
		return h.answer(ctx, r, next)
	}
	return next(ctx, r)
}

func (e *Engine) stream(srv any, s grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	if !came(s.Context(), socketName) {
		if !reads(info.FullMethod) {
			if came(s.Context(), readName) {
				return e.readOnly()
			}
			defer e.watches.tell()
		}
		return next(srv, discreet{s})
	}
	e.heard.Store(time.Now().UnixNano())
	h := e.haste.Load()
	s = hush{s, e}
	switch {
	case info.FullMethod == api.GoBgpService_WatchEvent_FullMethodName:
		w := e.watches.add(s)
		defer e.watches.remove(w)
		return next(srv, w)
	case info.FullMethod == api.GoBgpService_ListPath_FullMethodName:
		err := next(srv, s)
		if err == nil && e.stopped.Load() {
			err = errStopped // what was listed may be what is left
		}
		return err
	case h != nil && info.FullMethod == api.GoBgpService_ListPeer_FullMethodName:
		return h.list(srv, s, next)
	}
	return next(srv, s)
}

var errStopped = status.Error(codes.Unavailable, "the BGP speaker stops")

// hush is a stream to a daemon, on which nothing is said any more once the speaker has been told to stop. It withdraws everything then, which
// would pass for the peers' word: a daemon that stays, or the next of whatever version, is to keep what they taught.
type hush struct {
	grpc.ServerStream
	engine *Engine
}

// SendMsg sends, or ends the stream.
func (h hush) SendMsg(m any) error {
	if h.engine.stopped.Load() {
		return errStopped
	}
	return h.ServerStream.SendMsg(m)
}

// discreet is a stream to people: neighbours appear on it without their passwords.
type discreet struct{ grpc.ServerStream }

// SendMsg blanks passwords.
func (d discreet) SendMsg(m any) error {
	switch r := m.(type) {
	case *api.ListPeerResponse:
		if r.GetPeer().GetConf().GetAuthPassword() != "" {
			r = proto.CloneOf(r)
			r.Peer.Conf.AuthPassword = "(secret)"
			m = r
		}
	case *api.ListPeerGroupResponse:
		if r.GetPeerGroup().GetConf().GetAuthPassword() != "" {
			r = proto.CloneOf(r)
			r.PeerGroup.Conf.AuthPassword = "(secret)"
			m = r
		}
	}
	return d.ServerStream.SendMsg(m)
}

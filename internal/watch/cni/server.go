package cni

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"kube-router/internal/listen"
	"kube-router/internal/model"
)

// Inbox takes what the server hears.
type Inbox interface {
	Put(model.Object)
	Delete(model.Ref)
	Replace(model.Kind, []model.Object)
}

// Gate knows when a pod may start.
type Gate interface {
	// Stands returns when the policy of the attachment's pod is in the kernel. An error tells what is missing.
	Stands(context.Context, *model.Attachment) error
	// Wish tells what the attachment's Pod asks for its interface, once the Pod is known.
	Wish(context.Context, *model.Attachment) (model.Wish, error)
	// Ready tells why no pod could start now, or nil.
	Ready() error
}

// Server answers the plugin.
type Server struct {
	path  string
	store store
	inbox Inbox
	gate  Gate
	log   *slog.Logger

	mu     sync.Mutex
	known  map[model.Name]*model.Attachment
	loaded atomic.Bool
}

// What a plugin is allowed: how many ask at once, how long an ADD is kept waiting (the plugin gives up earlier), and
// the time and the bytes for a request, of which GC's names every attachment of the node.
const (
	plugins     = 512
	most        = 2 * time.Minute
	requestTime = 5 * time.Second
	requestSize = 1 << 20
)

// New makes a server at a socket path.
func New(path string, inbox Inbox, gate Gate, log *slog.Logger) *Server {
	return &Server{
		path: path, store: store{filepath.Join(filepath.Dir(path), "attached")}, inbox: inbox, gate: gate, log: log,
		known: map[model.Name]*model.Attachment{},
	}
}

// Synced tells whether the attachments of an earlier life have been read.
func (s *Server) Synced() bool { return s.loaded.Load() }

// Load tells the inbox of the attachments that outlived an earlier daemon.
func (s *Server) Load() error {
	list, err := s.store.load()
	if err != nil {
		return fmt.Errorf("CNI attachments: %w", err)
	}
	objects := make([]model.Object, len(list))
	s.mu.Lock()
	for i, a := range list {
		objects[i] = a
		s.known[a.Ref().Name] = a
	}
	s.mu.Unlock()
	s.loaded.Store(true)
	s.inbox.Replace(model.KindAttachment, objects)
	return nil
}

// Run listens until ctx ends. A socket left by an earlier life is replaced.
func (s *Server) Run(ctx context.Context) error {
	bare, err := listen.Unix(s.path)
	if err != nil {
		return fmt.Errorf("CNI socket: %w", err)
	}
	l := listen.NewQueue(plugins).In(bare)
	defer l.Close()
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	var open sync.WaitGroup
	defer open.Wait()
	for {
		conn, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("CNI socket: %w", err)
		}
		open.Go(func() { s.serve(ctx, conn) })
	}
}

// serve answers one request. When the plugin hangs up, nobody waits for the answer any more.
func (s *Server) serve(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	var r model.AttachRequest
	if conn.SetReadDeadline(time.Now().Add(requestTime)) != nil || json.NewDecoder(io.LimitReader(conn, requestSize)).Decode(&r) != nil ||
		conn.SetReadDeadline(time.Time{}) != nil {
		return
	}
	go func() {
		defer cancel()
		_, _ = conn.Read(make([]byte, 1)) // nothing more is sent: this ends when the plugin does
	}()
	var reply model.AttachReply
	if err := s.do(ctx, r, &reply); err != nil {
		reply.Error = err.Error()
		s.log.Info("CNI request refused", "verb", r.Verb, "error", err)
	}
	if ctx.Err() == nil {
		// The plugin may have left; there is nobody to tell.
		_ = json.NewEncoder(conn).Encode(reply)
	}
}

func (s *Server) do(ctx context.Context, r model.AttachRequest, reply *model.AttachReply) (err error) {
	if r.Attachment == nil && slices.Contains([]model.AttachVerb{model.AttachAdd, model.AttachCheck, model.AttachDel, model.AttachWish}, r.Verb) {
		return fmt.Errorf("%s without an attachment", r.Verb)
	}
	switch r.Verb {
	case model.AttachAdd:
		if err := s.add(r.Attachment); err != nil {
			return err
		}
		return s.gate.Stands(ctx, r.Attachment)
	case model.AttachCheck:
		return s.gate.Stands(ctx, r.Attachment)
	case model.AttachWish:
		reply.Wish, err = s.gate.Wish(ctx, r.Attachment)
		return err
	case model.AttachDel:
		return s.remove(r.Attachment.Ref().Name)
	case model.AttachGC:
		return s.collect(r.Valid)
	case model.AttachStatus:
		return s.gate.Ready()
	}
	return fmt.Errorf("unknown verb %q", r.Verb)
}

// add notes an attachment. Who had one of its addresses before has gone without a DEL.
func (s *Server) add(a *model.Attachment) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, old := range s.known {
		has := func(addr netip.Addr) bool { return slices.Contains(a.Addrs, addr) }
		if name != a.Ref().Name && slices.ContainsFunc(old.Addrs, has) {
			if err := s.drop(name); err != nil {
				return err
			}
		}
	}
	if err := s.store.put(a); err != nil {
		return fmt.Errorf("note the attachment: %w", err)
	}
	s.known[a.Ref().Name] = a
	s.inbox.Put(a)
	return nil
}

func (s *Server) remove(n model.Name) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.drop(n)
}

func (s *Server) drop(n model.Name) error {
	if err := s.store.remove(n); err != nil {
		return fmt.Errorf("forget the attachment: %w", err)
	}
	delete(s.known, n)
	s.inbox.Delete(model.Ref{Kind: model.KindAttachment, Name: n})
	return nil
}

// collect forgets all but the valid ones.
func (s *Server) collect(valid []model.Name) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := range s.known {
		if !slices.Contains(valid, n) {
			if err := s.drop(n); err != nil {
				return err
			}
		}
	}
	return nil
}

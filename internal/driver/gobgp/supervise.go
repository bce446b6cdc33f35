package gobgp

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/osrg/gobgp/v4/api"
)

// Supervisor keeps one speaker running.
type Supervisor struct {
	Dir      string   // of the speaker's sockets and lock
	Path     string   // of a program that runs an Engine with this Dir and Token
	Args     []string // of it, its name first
	Token    string   // what the speaker must have been started as: version and parameters
	Graceful bool     // a daemon that ends leaves the speaker running for its successor
	Log      *slog.Logger

	client *client
}

// The supervisor asks the speaker every beat whether it lives. One that misses several answers hangs.
const (
	beat       = 2 * time.Second
	answer     = 5 * time.Second
	missed     = 3
	shortLife  = 30 * time.Second
	longestGap = 5 * time.Second
)

// Run starts a speaker or adopts the one that an earlier life of the daemon left, and starts it again with
// back-off when it dies or hangs. When ctx ends it stops the speaker, unless Graceful leaves it: peers withdraw our
// routes, but for those that agreed to wait for its successor (RFC 4724), as other nodes do.
func (s *Supervisor) Run(ctx context.Context) error {
	if err := os.MkdirAll(s.Dir, 0o755); err != nil {
		return fmt.Errorf("make the speaker's directory: %w", err)
	}
	var err error
	if s.client, err = dial(filepath.Join(s.Dir, socketName)); err != nil {
		return err
	}
	defer s.client.conn.Close()
	gap := time.Duration(0)
	for {
		if !pause(ctx, gap) {
			return nil
		}
		born := time.Now()
		p, err := s.attach()
		if err != nil {
			s.Log.Warn("the BGP speaker does not start", "error", err)
		} else {
			s.watch(ctx, p)
			if ctx.Err() != nil {
				if !s.Graceful {
					p.stop(s.client, true)
				}
				return nil
			}
			if p.orderly() {
				gap = 0
				continue
			}
			s.Log.Warn("the BGP speaker died; another one starts")
		}
		if gap = min(2*gap+100*time.Millisecond, longestGap); time.Since(born) > shortLife {
			gap = 0
		}
	}
}

// pause waits; false: ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// attach adopts a running speaker that was started as we would start it, and replaces any other.
func (s *Supervisor) attach() (*process, error) {
	p, err := find(s.Dir)
	if err != nil {
		return nil, err
	}
	if p != nil {
		if p.token == s.Token {
			s.Log.Info("found the BGP speaker of an earlier life; its sessions go on")
			return p, nil
		}
		s.Log.Info("replacing the BGP speaker of another version", "was", p.token, "is", s.Token)
		p.stop(s.client, true)
	}
	return start(s.Path, s.Args, s.Token, func(line string) { s.Log.Info("speaker: " + line) })
}

// watch returns when the speaker is gone, or ctx is.
func (s *Supervisor) watch(ctx context.Context, p *process) {
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for silent := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-p.done:
			return
		case <-tick.C:
		}
		if err := s.ask(ctx, p); err == nil || ctx.Err() != nil {
			silent = 0
			continue
		} else if silent++; silent >= missed {
			s.Log.Warn("the BGP speaker hangs; killing it", "error", err)
			p.kill()
			return
		}
	}
}

// ask goes through the engine's main loop and back. One that has just died is not waited for.
func (s *Supervisor) ask(ctx context.Context, p *process) error {
	ctx, cancel := context.WithTimeout(ctx, answer)
	defer cancel()
	go func() {
		select {
		case <-p.done:
			cancel()
		case <-ctx.Done():
		}
	}()
	_, err := s.client.GetBgp(ctx, &api.GetBgpRequest{})
	return err
}

// Stop ends the speaker in dir, if there is one, and removes its files: its sessions close and peers
// withdraw our routes.
func Stop(dir string) error {
	p, err := find(dir)
	if err != nil {
		return err
	}
	if p != nil {
		c, err := dial(filepath.Join(dir, socketName))
		if err != nil {
			return err
		}
		defer c.conn.Close()
		p.stop(c, false)
	}
	for _, name := range []string{socketName, adminName, readName, lockName} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !os.IsNotExist(err) {
			return fmt.Errorf("remove the speaker's files: %w", err)
		}
	}
	return nil
}

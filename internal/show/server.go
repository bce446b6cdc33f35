package show

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Server answers questions on a unix socket that only root may open.
type Server struct {
	path  string
	views []View
}

// NewServer makes a server for the views at a socket path.
func NewServer(path string, views []View) *Server { return &Server{path, views} }

// Run listens until ctx ends. A socket left by an earlier life is replaced.
func (s *Server) Run(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Dir(s.path), 0o755); err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	if err := os.Remove(s.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("control socket: %w", err)
	}
	l, err := net.Listen("unix", s.path)
	if err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	if err := os.Chmod(s.path, 0o600); err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	return serve(ctx, l, http.HandlerFunc(s.answer))
}

// serve runs an HTTP server until ctx ends.
func serve(ctx context.Context, l net.Listener, h http.Handler) error {
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer stop()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request) {
	v, ok := find(s.views, strings.TrimPrefix(r.URL.Path, "/"))
	if !ok {
		var names []string
		for _, v := range s.views {
			names = append(names, v.Name)
		}
		http.Error(w, fmt.Sprintf("nothing to show by the name %q; there are %s", strings.TrimPrefix(r.URL.Path, "/"), strings.Join(names, ", ")), http.StatusNotFound)
		return
	}
	page, err := v.Make(r.Context(), argsOf(r.URL.Query()))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	// The reader may have left; there is nobody to tell.
	_ = json.NewEncoder(w).Encode(page)
}

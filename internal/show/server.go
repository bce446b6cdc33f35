package show

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"kube-router/internal/listen"
)

// How many questions are answered at once, and how long one may take: longer than any patience of ours.
const (
	questions = 64
	answering = time.Minute

	questionBytes = 4 << 20 // with a manifest in it
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
	l, err := listen.Unix(s.path)
	if err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	srv := listen.Server(http.HandlerFunc(s.answer), answering)
	srv.Handler = http.MaxBytesHandler(http.HandlerFunc(s.answer), questionBytes) // whoever may ask is root
	return listen.Serve(ctx, l, listen.NewQueue(questions), srv)
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
	if err := r.ParseForm(); err != nil {
		http.Error(w, fmt.Sprintf("the question can't be read: %v", err), http.StatusBadRequest)
		return
	}
	page, err := v.Make(r.Context(), argsOf(r.Form))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	// The reader may have left; there is nobody to tell.
	_ = json.NewEncoder(w).Encode(page)
}

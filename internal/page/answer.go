package page

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"regexp"
	"slices"
	"sync"
	"time"
)

//go:embed assets
var assets embed.FS

// types are what files are, without a look at what this machine thinks of their names.
var types = map[string]string{".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}

func (s *Server) asset(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("file")
	if name == "" {
		name = "index.html"
	}
	text, err := assets.ReadFile("assets/" + name)
	if kind := types[path.Ext(name)]; err == nil && kind != "" {
		w.Header().Set("Content-Type", kind)
		_, _ = w.Write(text) // the browser has gone
		return
	}
	http.NotFound(w, r)
}

func (s *Server) about(w http.ResponseWriter, r *http.Request) {
	answer(w, r, map[string]any{"title": s.Title, "views": Views()}, nil)
}

func (s *Server) view(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	if !slices.Contains(Views(), name) {
		http.NotFound(w, r)
		return
	}
	v, err := s.views.get(r.Context(), name)
	answer(w, r, v, err)
}

// word is what may be an argument of `why`: an address, a name, a port. It never begins like a flag.
var word = regexp.MustCompile(`^[A-Za-z0-9\[:][A-Za-z0-9./:\[\]-]{0,400}$`)

func (s *Server) why(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	from, to, port := q.Get("from"), q.Get("to"), q.Get("port")
	for _, arg := range []string{from, to, port} {
		if !word.MatchString(arg) {
			http.Error(w, "from, to and port: names, addresses, PORT/PROTOCOL", http.StatusBadRequest)
			return
		}
	}
	text, err := s.source.Why(r.Context(), from, to, port)
	answer(w, r, map[string]string{"text": text}, err)
}

func (s *Server) policy(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	kind, namespace, name := q.Get("kind"), q.Get("namespace"), q.Get("name")
	if !word.MatchString(kind) || !word.MatchString(name) || namespace != "" && !word.MatchString(namespace) {
		http.Error(w, "kind, namespace and name of a policy", http.StatusBadRequest)
		return
	}
	text, err := s.source.Policy(r.Context(), kind, namespace, name)
	answer(w, r, map[string]string{"text": text}, err)
}

// answer writes JSON, or that nothing has changed since the page asked before. An error is an answer too: the page says it where it would show the rest.
func answer(w http.ResponseWriter, r *http.Request, v any, err error) {
	if err != nil {
		v = map[string]string{"error": err.Error()}
	}
	var text bytes.Buffer
	if err := json.NewEncoder(&text).Encode(v); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	tag := fmt.Sprintf(`"%x"`, sha256.Sum256(text.Bytes()))
	w.Header().Set("ETag", tag)
	w.Header().Set("Content-Type", "application/json")
	if r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	_, _ = w.Write(text.Bytes()) // the browser has gone
}

// fresh is how old a view may be: several tabs ask the nodes once.
const fresh = 2 * time.Second

// views asks the source for each view once at a time.
type views struct {
	source Source
	each   map[string]*oneView
}

type oneView struct {
	mu   sync.Mutex // held while it is asked for; who waits gets the same answer
	made time.Time
	data any
	err  error
}

func newViews(s Source) *views {
	v := &views{s, map[string]*oneView{}}
	for _, name := range Views() {
		v.each[name] = &oneView{}
	}
	return v
}

func (v *views) get(ctx context.Context, name string) (any, error) {
	o := v.each[name]
	o.mu.Lock()
	defer o.mu.Unlock()
	if time.Since(o.made) < fresh {
		return o.data, o.err
	}
	data, err := v.source.View(ctx, name)
	if ctx.Err() != nil {
		return nil, ctx.Err() // it says nothing about the nodes
	}
	o.data, o.err, o.made = data, err, time.Now()
	return o.data, o.err
}

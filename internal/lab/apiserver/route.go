package apiserver

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/version"
)

// maxBody is the size of the largest request, 3 MiB as in a cluster.
const maxBody = 3 << 20

// A call is one request about one resource.
type call struct {
	server *Server
	w      http.ResponseWriter
	r      *http.Request
	query  url.Values
	kind   *kind
	key    types.NamespacedName // Name is empty for a collection
	sub    string               // subresource
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.Trim(r.URL.Path, "/")
	if s.serveStatic(w, r, path) {
		return
	}
	c := &call{server: s, w: w, r: r, query: r.URL.Query()}
	if !c.route(path) {
		writeError(w, &apierrors.StatusError{ErrStatus: metav1.Status{Status: metav1.StatusFailure, Code: http.StatusNotFound,
			Reason: metav1.StatusReasonNotFound, Message: "the server could not find the requested resource"}})
		return
	}
	if err := c.serve(); err != nil {
		writeError(w, err)
	}
}

// serveStatic answers what is not about objects: health, version, discovery.
func (s *Server) serveStatic(w http.ResponseWriter, r *http.Request, path string) bool {
	switch first, rest, _ := strings.Cut(path, "/"); {
	case first == "healthz" || first == "readyz" || first == "livez":
		writeRaw(w, http.StatusOK, []byte("ok"))
	case path == "version":
		parts := strings.Split(strings.TrimPrefix(Version, "v"), ".")
		writeJSON(w, http.StatusOK, version.Info{Major: parts[0], Minor: parts[1], GitVersion: Version, Platform: "linux/amd64"})
	case path == "api" || path == "apis":
		s.serveDiscovery(w, r, path)
	case first == "openapi":
		return s.serveOpenAPI(w, rest)
	case first == "api" || first == "apis":
		return s.serveResourceList(w, path)
	default:
		return false
	}
	return true
}

// route reads the path: /api/v1 or /apis/GROUP/VERSION, then [namespaces/NS/]RESOURCE[/NAME[/SUBRESOURCE]].
func (c *call) route(path string) bool {
	parts := strings.Split(path, "/")
	var group, ver string
	switch {
	case parts[0] == "api" && len(parts) > 2:
		ver, parts = parts[1], parts[2:]
	case parts[0] == "apis" && len(parts) > 3:
		group, ver, parts = parts[1], parts[2], parts[3:]
	default:
		return false
	}
	if parts[0] == "watch" { // the old form of ?watch=1
		c.query.Set("watch", "1")
		parts = parts[1:]
	}
	if len(parts) > 2 && parts[0] == "namespaces" && parts[2] != "status" && parts[2] != "finalize" {
		c.key.Namespace, parts = parts[1], parts[2:]
	}
	if len(parts) == 0 || len(parts) > 3 {
		return false
	}
	for _, k := range c.server.served() {
		if k.group == group && k.version == ver && k.resource == parts[0] {
			c.kind = k
		}
	}
	if len(parts) > 1 {
		c.key.Name = parts[1]
	}
	if len(parts) > 2 {
		c.sub = parts[2]
	}
	return c.kind != nil && (c.kind.namespaced || c.key.Namespace == "") && (!c.kind.namespaced || c.key.Name == "" || c.key.Namespace != "")
}

// serve finds the verb.
func (c *call) serve() error {
	watching, _ := strconv.ParseBool(c.query.Get("watch"))
	switch c.sub {
	case "":
	case "status":
		if !c.kind.hasStatus {
			return c.notFound()
		}
	case "scale":
		return c.scale()
	case "binding":
		return c.bind()
	case "eviction":
		return c.evict()
	case "exec", "log", "portforward":
		return c.intoPod()
	default:
		return c.notFound()
	}
	switch c.r.Method {
	case http.MethodGet, http.MethodHead:
		switch {
		case watching:
			return c.watch()
		case c.key.Name == "":
			return c.list()
		}
		return c.get()
	case http.MethodPost:
		return c.create()
	case http.MethodPut:
		return c.update()
	case http.MethodPatch:
		return c.patch()
	case http.MethodDelete:
		if c.key.Name == "" {
			return c.deleteCollection()
		}
		return c.delete()
	}
	return apierrors.NewMethodNotSupported(c.kind.gr(), strings.ToLower(c.r.Method))
}

func (c *call) notFound() error {
	return apierrors.NewGenericServerResponse(http.StatusNotFound, c.r.Method, c.kind.gr(), c.key.Name, "no such subresource: "+c.sub, 0, true)
}

func (c *call) stored() *kind { return c.server.tableOf(c.kind).kind }

func writeJSON(w http.ResponseWriter, code int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(value) // fails only if the client is gone
}

func writeRaw(w http.ResponseWriter, code int, raw []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(raw)))
	w.WriteHeader(code)
	_, _ = w.Write(raw) // fails only if the client is gone
}

// writeError answers with a Status.
func writeError(w http.ResponseWriter, err error) {
	status := statusOf(err)
	writeJSON(w, int(status.Code), status)
}

func statusOf(err error) *metav1.Status {
	var known apierrors.APIStatus
	if !errors.As(err, &known) {
		known = apierrors.NewInternalError(err)
	}
	status := known.Status()
	status.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
	return &status
}

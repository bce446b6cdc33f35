package kube

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// server is a small API server for Services: list, watch from a resource version, streaming list
// (KEP-3157) with its bookmark, 410 for versions it has forgotten. It can go away and come back at one
// address.
type server struct {
	t      *testing.T
	addr   string
	stream bool // knows streaming lists; an API server before 1.27 does not

	mu      sync.Mutex
	http    *http.Server
	version int
	oldest  int // versions below are forgotten
	objects map[string]*corev1.Service
	history []event
	changed chan struct{} // closed at every change
	stop    chan struct{} // closed when watches are to end
	lists   int
	streams int
}

type event struct {
	version int
	Type    string         `json:"type"`
	Object  runtime.Object `json:"object"`
}

func newServer(t *testing.T) *server {
	s := &server{t: t, stream: true, addr: "127.0.0.1:0", version: 10, objects: map[string]*corev1.Service{}, changed: make(chan struct{}), stop: make(chan struct{})}
	s.up()
	t.Cleanup(s.down)
	return s
}

func (s *server) url() string { return "http://" + s.addr }

// up begins to answer.
func (s *server) up() {
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addr = l.Addr().String()
	s.http = &http.Server{Handler: s}
	go s.http.Serve(l)
}

// down stops answering, in the middle of whatever is being said.
func (s *server) down() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.http.Close()
}

// endWatches closes all watches in good order, as a server does at their time-out.
func (s *server) endWatches() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.stop)
	s.stop = make(chan struct{})
}

// forget drops the history: whoever is not up to date gets 410.
func (s *server) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.history, s.oldest = nil, s.version
}

// put adds or changes a Service.
func (s *server) put(name, ip string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kind := "MODIFIED"
	if s.objects[name] == nil {
		kind = "ADDED"
	}
	s.version++
	o := &corev1.Service{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: name, ResourceVersion: strconv.Itoa(s.version)},
		Spec:       corev1.ServiceSpec{ClusterIP: ip},
	}
	s.objects[name] = o
	s.record(event{s.version, kind, o})
}

// remove deletes a Service.
func (s *server) remove(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version++
	o := s.objects[name].DeepCopy()
	o.ResourceVersion = strconv.Itoa(s.version)
	delete(s.objects, name)
	s.record(event{s.version, "DELETED", o})
}

func (s *server) record(e event) {
	s.history = append(s.history, e)
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *server) counts() (lists, streams int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lists, s.streams
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if r.URL.Path != "/api/v1/services" {
		fail(w, http.StatusNotFound, metav1.StatusReasonNotFound, r.URL.Path)
		return
	}
	if r.URL.Query().Get("watch") == "" {
		s.list(w)
		return
	}
	s.watch(w, r)
}

func (s *server) list(w http.ResponseWriter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lists++
	list := corev1.ServiceList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceList"}, ListMeta: metav1.ListMeta{ResourceVersion: strconv.Itoa(s.version)}}
	for _, o := range s.objects {
		list.Items = append(list.Items, *o)
	}
	json.NewEncoder(w).Encode(&list)
}

// watch answers in two steps: what is there (for a streaming list), then what changes.
func (s *server) watch(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	from, _ := strconv.Atoi(q.Get("resourceVersion"))
	s.mu.Lock()
	stop := s.stop
	var first []event
	switch initial := q.Get("sendInitialEvents") == "true"; {
	case initial && !s.stream:
		s.mu.Unlock()
		fail(w, http.StatusUnprocessableEntity, metav1.StatusReasonInvalid, "sendInitialEvents is forbidden")
		return
	case initial:
		s.streams++
		for _, o := range s.objects {
			first = append(first, event{Type: "ADDED", Object: o})
		}
		first = append(first, event{Type: "BOOKMARK", Object: &corev1.Service{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Service"}, ObjectMeta: metav1.ObjectMeta{
			ResourceVersion: strconv.Itoa(s.version), Annotations: map[string]string{metav1.InitialEventsAnnotationKey: "true"}}}})
		from = s.version
	case from < s.oldest:
		s.mu.Unlock()
		fail(w, http.StatusGone, metav1.StatusReasonExpired, fmt.Sprintf("too old resource version: %d (%d)", from, s.oldest))
		return
	}
	s.mu.Unlock()
	s.tell(w, r, first, from, stop)
}

func (s *server) tell(w http.ResponseWriter, r *http.Request, events []event, from int, stop chan struct{}) {
	out := json.NewEncoder(w)
	for {
		for _, e := range events {
			if out.Encode(e) != nil {
				return
			}
		}
		w.(http.Flusher).Flush()
		s.mu.Lock()
		next, changed := slices.IndexFunc(s.history, func(e event) bool { return e.version > from }), s.changed
		events = nil
		if next >= 0 {
			events = slices.Clone(s.history[next:])
			from = s.version
		}
		s.mu.Unlock()
		if len(events) > 0 {
			continue
		}
		select {
		case <-changed:
		case <-stop:
			return
		case <-r.Context().Done():
			return
		}
	}
}

func fail(w http.ResponseWriter, code int, reason metav1.StatusReason, message string) {
	w.WriteHeader(code)
	json.NewEncoder(w).Encode(metav1.Status{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"},
		Status: metav1.StatusFailure, Code: int32(code), Reason: reason, Message: strings.TrimSpace(message)})
}

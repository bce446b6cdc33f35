package kubestatus

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

// Fake is an API server in memory with just the requests that the tables make. The tables run on it
// unchanged, through Config; it opens no socket.
type Fake struct {
	mu       sync.Mutex
	Services map[string]*corev1.Service // by "namespace/name"
	Nodes    map[string]*corev1.Node
	Events   map[string]*eventsv1.Event // by "namespace/name"
	Refuse   func(*http.Request) bool   // makes a request fail with 500; nil: none
}

// NewFake makes an API server with nothing in it.
func NewFake() *Fake {
	return &Fake{Services: map[string]*corev1.Service{}, Nodes: map[string]*corev1.Node{}, Events: map[string]*eventsv1.Event{}}
}

// Config reaches the fake.
func (f *Fake) Config() *rest.Config { return &rest.Config{Host: "http://fake", Transport: f, QPS: -1} }

// RoundTrip answers one request.
func (f *Fake) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		body = b
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	code, answer := http.StatusInternalServerError, any(nil)
	if f.Refuse == nil || !f.Refuse(r) {
		code, answer = f.answer(r.Method, strings.Split(strings.Trim(r.URL.Path, "/"), "/"), body)
	}
	if answer == nil {
		answer = failure(code)
	}
	text, err := json.Marshal(answer)
	if err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: code, Status: fmt.Sprint(code), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(text)),
	}, nil
}

func failure(code int) *metav1.Status {
	reason := map[int]metav1.StatusReason{
		http.StatusNotFound: metav1.StatusReasonNotFound, http.StatusConflict: metav1.StatusReasonAlreadyExists,
	}[code]
	return &metav1.Status{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusFailure, Code: int32(code), Reason: reason}
}

// answer takes the parts of the path: api v1 services, api v1 namespaces N services S [status],
// api v1 nodes N [status], apis events.k8s.io v1 namespaces N events.
func (f *Fake) answer(method string, path []string, body []byte) (int, any) {
	switch {
	case len(path) == 3 && path[2] == "services":
		list := &corev1.ServiceList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceList"}}
		for _, s := range f.Services {
			list.Items = append(list.Items, *s)
		}
		return http.StatusOK, list
	case len(path) >= 6 && path[4] == "services":
		return f.service(method, path[3]+"/"+path[5], body)
	case len(path) >= 4 && path[2] == "nodes":
		return f.node(method, path[3], body)
	case len(path) == 6 && path[5] == "events" && method == http.MethodPost:
		return f.event(body)
	}
	return http.StatusNotFound, nil
}

func (f *Fake) service(method, key string, body []byte) (int, any) {
	s := f.Services[key]
	if s == nil {
		return http.StatusNotFound, nil
	}
	if method == http.MethodPut {
		var update corev1.Service
		if json.Unmarshal(body, &update) != nil {
			return http.StatusBadRequest, nil
		}
		s.Status = update.Status
	}
	s.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Service"}
	return http.StatusOK, s
}

func (f *Fake) node(method, name string, body []byte) (int, any) {
	n := f.Nodes[name]
	if n == nil {
		return http.StatusNotFound, nil
	}
	if method == http.MethodPatch && !patch(n, body) {
		return http.StatusBadRequest, nil
	}
	n.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Node"}
	return http.StatusOK, n
}

// patch merges conditions by type, as the strategic merge patch of a Node's status does.
func patch(n *corev1.Node, body []byte) bool {
	var p struct {
		Status struct {
			Conditions []struct {
				corev1.NodeCondition
				Patch string `json:"$patch"`
			}
		}
	}
	if json.Unmarshal(body, &p) != nil {
		return false
	}
	for _, c := range p.Status.Conditions {
		n.Status.Conditions = slices.DeleteFunc(n.Status.Conditions, func(o corev1.NodeCondition) bool { return o.Type == c.Type })
		if c.Patch != "delete" {
			n.Status.Conditions = append(n.Status.Conditions, c.NodeCondition)
		}
	}
	return true
}

func (f *Fake) event(body []byte) (int, any) {
	e := &eventsv1.Event{}
	if json.Unmarshal(body, e) != nil {
		return http.StatusBadRequest, nil
	}
	key := e.Namespace + "/" + e.Name
	if f.Events[key] != nil {
		return http.StatusConflict, nil
	}
	f.Events[key] = e
	return http.StatusCreated, e
}

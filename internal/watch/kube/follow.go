package kube

import (
	"net/http"
	"net/url"
	"os"
	"sync/atomic"
	"time"

	"k8s.io/client-go/tools/clientcmd"
)

// follower sends requests to the API server that the kubeconfig names now. A control plane may move: its new
// address comes with a file that somebody writes, or that kubelet updates in place where a ConfigMap is mounted,
// and asks for no restart of ours. Token and CA files are already read anew by client-go.
type follower struct {
	next http.RoundTripper
	file string
	told atomic.Pointer[told]
}

// told is where a file of one age leads.
type told struct {
	age    time.Time
	server *url.URL
}

// RoundTrip implements http.RoundTripper.
func (f *follower) RoundTrip(r *http.Request) (*http.Response, error) {
	if s := f.server(); s != nil && (s.Host != r.URL.Host || s.Scheme != r.URL.Scheme) {
		r = r.Clone(r.Context())
		r.URL.Scheme, r.URL.Host, r.Host = s.Scheme, s.Host, s.Host
	}
	return f.next.RoundTrip(r)
}

// server reads the file again when it has changed. One that can't be read, or is half written, changes nothing.
func (f *follower) server() *url.URL {
	last := f.told.Load()
	info, err := os.Stat(f.file)
	switch {
	case err != nil && last == nil:
		return nil
	case err != nil || last != nil && info.ModTime().Equal(last.age):
		return last.server
	}
	now := &told{age: info.ModTime()}
	if last != nil {
		now.server = last.server
	}
	if c, err := clientcmd.BuildConfigFromFlags("", f.file); err == nil {
		if s, err := url.Parse(c.Host); err == nil && s.Scheme != "" && s.Host != "" {
			now.server = s
		}
	}
	f.told.Store(now)
	return now.server
}

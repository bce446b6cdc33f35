package kube

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/client-go/rest"
)

// A kubeconfig is written anew while we run, well and badly: requests go where the last good one leads.
func TestRequestsFollowTheKubeconfig(t *testing.T) {
	file, age := filepath.Join(t.TempDir(), "kubeconfig"), time.Unix(1e9, 0)
	written := func(text string) {
		age = age.Add(time.Second)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file, age, age); err != nil {
			t.Fatal(err)
		}
	}
	config := func(server string) string {
		return fmt.Sprintf("{apiVersion: v1, kind: Config, clusters: [{name: c, cluster: {server: %q}}], "+
			"contexts: [{name: x, context: {cluster: c}}], current-context: x}", server)
	}
	first, second := apiServer(t, "first"), apiServer(t, "second")
	written(config(first))
	c, err := Config(file, "", "kube-router/test")
	if err != nil {
		t.Fatal(err)
	}
	client, err := rest.HTTPClientFor(c)
	if err != nil {
		t.Fatal(err)
	}
	asked := func() string { return answer(t, client, c.Host) }
	same(t, "first at /version", asked())
	written(config(second))
	same(t, "second at /version", asked())
	written("clusters: [{")
	same(t, "second at /version", asked())
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	same(t, "second at /version", asked())
	written(config(first))
	same(t, "first at /version", asked())
}

// Who asks for one address by --master has it, whatever the file says later.
func TestMasterIsNotFollowed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(file, []byte(kubeconfig), 0o600); err != nil {
		t.Fatal(err)
	}
	master := apiServer(t, "master")
	c, err := Config(file, master, "kube-router/test")
	if err != nil {
		t.Fatal(err)
	}
	client, err := rest.HTTPClientFor(c)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "master at /version", answer(t, client, c.Host))
}

// apiServer answers with its name, the path, and nothing if it was asked by another's name.
func apiServer(t *testing.T, name string) string {
	s := httptest.NewUnstartedServer(nil)
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host == s.Listener.Addr().String() {
			fmt.Fprint(w, name, " at ", r.URL.Path)
		}
	})
	s.Start()
	t.Cleanup(s.Close)
	return s.URL
}

func answer(t *testing.T, c *http.Client, host string) string {
	t.Helper()
	r, err := c.Get(host + "/version")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

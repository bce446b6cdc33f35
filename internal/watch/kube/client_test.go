package kube

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const kubeconfig = `
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://192.0.2.1:6443"}}]
users: [{name: u, user: {token: t0ken}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
`

func TestConfig(t *testing.T) {
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(file, []byte(kubeconfig), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	for name, c := range map[string]struct{ kubeconfig, master, host, token, err string }{
		"kubeconfig":            {file, "", "https://192.0.2.1:6443", "t0ken", ""},
		"kubeconfig and master": {file, "https://192.0.2.2:6443", "https://192.0.2.2:6443", "t0ken", ""},
		"master alone":          {"", "http://127.0.0.1:8080", "http://127.0.0.1:8080", "", ""},
		"nothing":               {"", "", "", "", "no --kubeconfig given and not running in a cluster"},
		"missing file":          {file + "x", "", "", "", "kubeconfig " + file + "x"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Config(c.kubeconfig, c.master, "kube-router/test")
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("error %v, want %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			same(t, []string{c.host, c.token, "kube-router/test"}, []string{got.Host, got.BearerToken, got.UserAgent})
		})
	}
}

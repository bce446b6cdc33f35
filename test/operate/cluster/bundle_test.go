package cluster

import (
	"archive/tar"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"kube-router/internal/lab"
)

// Secrets that the lab has, each in a place of its own.
const (
	bgpFlag, bgpNote, bgpFile = "flag-bgp-pw-4711", "note-bgp-pw-4712", "file-bgp-pw-4713"
	token                     = "eyJhbGciOiJSUzI1NiIsImtpZCI6IngifQ.eyJpc3MiOiJrdWJlcm5ldGVzL3NlcnZpY2VhY2NvdW50In0.c2lnbmF0dXJlLXNpZ25hdHVyZQ"
	loggedToken               = "eyJhbGciOiJFUzI1NiIsImtpZCI6ImxvZyJ9.eyJzdWIiOiJzeXN0ZW06c2VydmljZWFjY291bnQ6bG9nIn0.bG9nZ2VkLXNpZ25hdHVyZQ"
	bearer                    = "abcDEF0123456789-bearer-of-an-event"
	tlsKey                    = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSj"
	mapKey                    = "MC4CAQAwBQYDK2VwBCIEIJ0mapkey0mapkey0map"
	wireGuard                 = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="
	environment, argument     = "env-value-4714-hush", "arg-value-4715-hush"
	applied, foreign          = "applied-4716-hush", "foreign-4717-hush"
)

func secretObjects() string {
	pem := func(body string) string {
		return "-----BEGIN PRIVATE KEY-----\n    " + body + "\n    -----END PRIVATE KEY-----"
	}
	return `
apiVersion: v1
kind: Secret
metadata: {name: default-token}
stringData: {token: ` + token + `, tls.key: ` + tlsKey + `, password: ` + bgpFile + `}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: kubeconfig}
data:
  key: |
    ` + pem(mapKey) + `
---
apiVersion: v1
kind: Pod
metadata: {name: holder, annotations: {example.com/token: ` + foreign + `}}
spec:
  nodeName: n1
  terminationGracePeriodSeconds: 1
  containers:
  - {name: c, image: lab, args: [--api-key, ` + argument + `], env: [{name: API_KEY, value: ` + environment + `}]}
---
apiVersion: v1
kind: Service
metadata:
  name: sealed
  annotations:
    kubectl.kubernetes.io/last-applied-configuration: '{"spec":{"hush":"` + applied + `"}}'
spec: {ports: [{port: 80}]}
---
apiVersion: v1
kind: Event
metadata: {name: refused.1}
involvedObject: {kind: Node, name: n1}
reason: Refused
message: 'the server said 401 to Authorization: Bearer ` + bearer + `'
type: Warning
`
}

// files unpacks a bundle.
func files(t *testing.T, path string) map[string]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		_, name, _ := strings.Cut(h.Name, "/")
		all[name] = string(text)
	}
}

// TestBundle collects a cluster with a node whose daemon is away, and looks for every secret that is in it.
func TestBundle(t *testing.T) {
	inBase64 := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	l, ctx := start(t, lab.Config{Nodes: 2, DaemonArgs: []string{
		"--peer-router-ips=172.30.0.250", "--peer-router-asns=64999", "--peer-router-passwords=" + inBase64(bgpFlag), "--nodes-full-mesh=true",
	}})
	if err := l.Apply(ctx, secretObjects()); err != nil {
		t.Fatal(err)
	}
	for _, note := range []string{"kube-router.io/peer.passwords=" + inBase64(bgpNote), "kube-router.io/peer.ips=172.30.0.251", "kube-router.io/peer.asns=64998",
		"example.com/wireguard-private-key=" + wireGuard} {
		if a := run(t, ctx, l, "kubectl", "annotate", "node", "n2", note); a.code != 0 {
			t.Fatal(a.errs)
		}
	}
	log, err := os.OpenFile(l.Node("n1").LogPath(), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(log, "time=%s level=WARN msg=\"API server\" error=\"401 for %s and key %s\"\n", time.Now().UTC().Format(time.RFC3339), loggedToken, wireGuard)
	log.Close()
	if err := l.Node("n2").StopDaemon(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "b.tar.gz")
	a := run(t, ctx, l, "kubectl", "kuberouter", "bundle", "-o", path)
	t.Logf("code %d\n%s%s", a.code, a.out, a.errs)
	all := files(t, path)
	if a.code != 2 || len(all) < 25 {
		t.Fatalf("code %d (a node is silent), %d files", a.code, len(all))
	}
	for secret, plain := range map[string]string{"flag": bgpFlag, "annotation": bgpNote, "file": bgpFile, "token": token, "logged token": loggedToken, "bearer": bearer,
		"TLS key": tlsKey, "key in a map": mapKey, "WireGuard": wireGuard, "environment": environment, "argument": argument, "applied": applied, "foreign": foreign} {
		for _, writing := range []string{plain, inBase64(plain), url.QueryEscape(plain), plain[:len(plain)*2/3]} {
			for name, text := range all {
				if i := strings.Index(text, writing); i >= 0 {
					t.Errorf("the secret of %s is in %s: …%s", secret, name, text[max(0, i-60):min(len(text), i+40)])
				}
			}
		}
	}
	for name, says := range map[string]string{
		"nodes/n1/summary.txt": "service engine", "nodes/n1/log.txt": "401 for", "nodes/n1/doctor.json": `"verdict"`, "nodes/n1/rows/nft.txt": "inet kube-router",
		"nodes/n1/routes.txt": "10.244.1.0/24", "nodes/n1/settings.txt": "peer-router-ips", "nodes/n2/log.txt": "kube-router stops", "nodes/n2/pod.json": "kube-router-n2",
		"objects/services.yaml": "sealed", "objects/nodes.yaml": "10.244.2.0/24", "objects/events.yaml": "Refused", "objects/pods.yaml": "holder", "index.html": "silent",
	} {
		if !strings.Contains(all[name], says) {
			t.Errorf("%s lacks %q: %.300s", name, says, all[name])
		}
	}
	var manifest struct {
		Files   []string
		Missing map[string]string
	}
	if err := json.Unmarshal([]byte(all["MANIFEST.json"]), &manifest); err != nil || len(manifest.Files) != len(all)-2 ||
		!strings.Contains(manifest.Missing["nodes/n2/doctor.json"], "not running") {
		t.Errorf("manifest: %v %+v", err, manifest)
	}
	if found := regexp.MustCompile(`(?i)https?://|src=|@import|<script|url\(`).FindString(all["index.html"]); found != "" {
		t.Errorf("the page loads something: %q", found)
	}
	for _, link := range regexp.MustCompile(`href="([^#"]+)"`).FindAllStringSubmatch(all["index.html"], -1) {
		if all[link[1]] == "" && !slices.Contains(manifest.Files, link[1]) {
			t.Errorf("the page leads to %s, which isn't there", link[1])
		}
	}
}

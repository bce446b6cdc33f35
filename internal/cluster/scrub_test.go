package cluster

import (
	"strings"
	"testing"
)

func TestScrub(t *testing.T) {
	s := newScrubber()
	s.tell("c2VjcmV0LW9uZQ==,two-two-two")
	for text, want := range map[string]string{
		"peer secret-one c2VjcmV0LW9uZQ== two-two-two dHdvLXR3by10d28=":     "peer (secret) (secret) (secret) (secret)",
		"-----BEGIN EC PRIVATE KEY-----\nabc\n-----END EC PRIVATE KEY-----": "(secret)",
		"-----BEGIN PRIVATE KEY-----\ncut off":                              "(secret)",
		`"password": "hush", next`:                                          `"password": (secret), next`,
		"--peer-router-passwords=YWJj --x=y":                                "--peer-router-passwords= (secret) --x=y",
		"Authorization: Bearer abcdefgh.ijkl":                               "Authorization: (secret)",
		"jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln end":                 "jwt (secret) end",
		"10.244.1.0/24 via 172.30.0.11 dev eth0 proto 17":                   "10.244.1.0/24 via 172.30.0.11 dev eth0 proto 17",
		"peers with a wrong password: none":                                 "peers with a wrong password: (secret)",
	} {
		if got := string(s.clean([]byte(text))); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// TestKeep: of an object only what is listed is taken.
func TestKeep(t *testing.T) {
	k := kept{paths: []string{"metadata.name", "spec.nodeName", "status.phase", "spec.nodeName.deeper"}}
	got := k.keep(map[string]any{
		"metadata": map[string]any{"name": "a", "uid": "u", "annotations": map[string]any{"x": "hush", "kube-router.io/pod-cidr": "10.0.0.0/24", "kube-router.io/peer.passwords": "hush"}},
		"spec":     map[string]any{"nodeName": "node-1", "env": "hush"}, "data": "hush",
	})
	var text strings.Builder
	if err := (printable{data: got}).print(&text, "yaml"); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(text.String(), "hush") || strings.Contains(text.String(), "uid") || !strings.Contains(text.String(), "pod-cidr: 10.0.0.0/24") || !strings.Contains(text.String(), "nodeName: node-1") {
		t.Errorf("%s", text.String())
	}
}

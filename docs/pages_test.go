package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"kube-router/internal/api"
	"kube-router/internal/config"
	"kube-router/internal/watch/kube"
)

// pages are all documents of this folder, the decisions aside.
func pages(t *testing.T) []string {
	t.Helper()
	list, err := filepath.Glob("*.md")
	if err != nil || len(list) < 10 {
		t.Fatalf("%v, %v", list, err)
	}
	return list
}

// foreign are flags of other programs that a page names by themselves.
var foreign = map[string]bool{
	"allocate-node-cidrs": true, "cluster-cidr": true, "node-cidr-mask-size-ipv6": true, // kube-controller-manager
	"watch": true, "cleanup": true, "node-ip": true, "topology": true, "kube-router-arg": true, // show, kube-proxy, kubelet, lab
	"pod": true, "namespace": true, "label": true, "workload": true, "ip": true, "port": true, "to-service": true, "protocol": true, "verdict": true, "reason": true, // flows
	"traffic-direction": true, "last": true, "since": true, "all": true, "follow": true, "input-file": true,
	"set":     true,                                                                                                              // helm
	"timeout": true, "context": true, "node": true, "image": true, "as": true, "daemon-namespace": true, "daemon-selector": true, // kubectl kuberouter
}

// TestPagesNameWhatExists: flags, annotations, files and headings that a page names are there.
func TestPagesNameWhatExists(t *testing.T) {
	flags, keys := map[string]bool{}, map[string]bool{}
	for _, f := range config.Table() {
		flags[f.Name] = true
	}
	for _, a := range kube.Annotations() {
		keys[a.Key] = true
	}
	for _, page := range pages(t) {
		all := text(t, page)
		for _, m := range regexp.MustCompile("`--[^`\n]*`").FindAllString(all, -1) {
			for _, f := range regexp.MustCompile(`(?:^|[\s`+"`"+`])--([a-z][-a-z0-9]*[a-z0-9])(…|-)?`).FindAllStringSubmatch(m, -1) {
				if !flags[f[1]] && !foreign[f[1]] && !strings.Contains(m, "…") && !strings.Contains(m, "*") {
					t.Errorf("%s: %s: no flag --%s", page, m, f[1])
				}
			}
		}
		for _, key := range regexp.MustCompile("`kube-router\\.io/([-./a-z0-9]*[a-z0-9])").FindAllStringSubmatch(all, -1) {
			if !keys["kube-router.io/"+key[1]] && key[1] != api.Version.Version {
				t.Errorf("%s: no annotation kube-router.io/%s", page, key[1])
			}
		}
		for _, m := range regexp.MustCompile(`\]\(([^)#:\s]*)(?:#([^)]+))?\)`).FindAllStringSubmatch(all, -1) {
			target := m[1]
			if target == "" {
				target = page
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: %v", page, err)
				continue
			}
			if m[2] != "" && !headings(text(t, target))[m[2]] {
				t.Errorf("%s: %s has no heading #%s", page, target, m[2])
			}
		}
	}
}

// headings are the anchors of a page's headings.
func headings(page string) map[string]bool {
	all := map[string]bool{}
	for _, h := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(page, -1) {
		anchor := regexp.MustCompile(`[^-a-z0-9 _]`).ReplaceAllString(strings.ToLower(h[1]), "")
		all[strings.ReplaceAll(strings.TrimSpace(anchor), " ", "-")] = true
	}
	return all
}

// TestSite: every page has its place in the site, and the first page leads there.
func TestSite(t *testing.T) {
	site, home := text(t, "../mkdocs.yml"), text(t, "index.md")
	for _, page := range pages(t) {
		if !strings.Contains(site, ": "+page) {
			t.Errorf("mkdocs.yml doesn't have %s", page)
		}
		if page != "index.md" && !strings.Contains(home, "]("+page+")") {
			t.Errorf("index.md doesn't lead to %s", page)
		}
	}
}

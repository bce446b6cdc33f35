package cluster

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
)

const (
	largest    = 20 << 20 // bytes of one file of a bundle
	logged     = 6 * 3600 // seconds of log
	collecting = 30 * time.Second
)

// Bundle is what is collected from a cluster for somebody who isn't there.
type Bundle struct {
	Made     time.Time         `json:"made"`
	Plugin   string            `json:"plugin"`  // its version
	Server   string            `json:"server"`  // version of the API server
	Files    []string          `json:"files"`   // all of them
	Missing  map[string]string `json:"missing"` // file → why it is not there, or not whole
	Statuses []NodeStatus      `json:"-"`
	Findings []NodeFinding     `json:"-"`
	Oddities []string          `json:"-"`

	mu    sync.Mutex
	scrub *scrubber
	texts map[string][]byte
}

// bundleViews are the views that a bundle has of every node, beside the rows of every table.
func bundleViews() []string {
	return []string{"summary", "tables", "failing", "remarks", "settings all", "sources", "nodes", "balancer", "services", "peers", "routes", "policies", "firewalls", "drops"}
}

// Bundle collects views, rows, logs and doctors of the nodes, and the objects that matter, and writes them as a tar.gz with a page index.html that opens
// without a network. Secrets are not collected; what looks like one all the same is made unreadable. tell is called as it goes on.
func (c *Cluster) Bundle(ctx context.Context, names []string, version string, w io.Writer, tell func(string)) (Verdict, error) {
	all, err := c.Nodes(ctx)
	if err != nil {
		return Unknown, err
	}
	nodes, err := Named(all, names)
	if err != nil {
		return Unknown, err
	}
	patient := *c
	patient.Patience = max(c.Patience, collecting)
	b := &Bundle{Made: time.Now().UTC(), Plugin: version, Missing: map[string]string{}, scrub: newScrubber(), texts: map[string][]byte{}}
	b.hear(all)
	tell(fmt.Sprintf("status of %d nodes", len(nodes)))
	for _, a := range c.AskAll(ctx, nodes, "show", "-o", "json") {
		b.Statuses = append(b.Statuses, statusOf(a))
	}
	slices.SortStableFunc(b.Statuses, func(x, y NodeStatus) int { return cmp.Compare(urgency(x), urgency(y)) })
	b.Oddities = oddities(all, b.Statuses)
	tell("objects")
	for _, k := range keptKinds() {
		text, note, err := c.objects(ctx, k)
		b.put("objects/"+k.name+".yaml", text, err, note)
	}
	if raw, err := c.core().Get().AbsPath("/version").DoRaw(ctx); err == nil {
		var v struct{ GitVersion string }
		_ = json.Unmarshal(raw, &v) // an odd answer is no version
		b.Server = v.GitVersion
	}
	doctors := make([]Answer, len(nodes))
	var done int
	each(nodes, func(i int, n Node) {
		silent := slices.ContainsFunc(b.Statuses, func(s NodeStatus) bool { return s.Node == n.Name && s.State == "silent" })
		doctors[i] = patient.collect(ctx, b, n, silent)
		b.mu.Lock()
		defer b.mu.Unlock()
		done++
		tell(fmt.Sprintf("%s (%d of %d)", n.Name, done, len(nodes)))
	})
	if err := ctx.Err(); err != nil {
		return Unknown, err
	}
	b.Findings = findings(doctors)
	v := verdictOf(b.Statuses)
	return v, b.write(w)
}

// hear tells the scrubber the secrets that the API shows.
func (b *Bundle) hear(nodes []Node) {
	for _, n := range nodes {
		if n.Object != nil {
			for key, value := range n.Object.Annotations {
				if strings.Contains(key, "password") {
					b.scrub.tell(value)
				}
			}
		}
		if n.Pod == nil {
			continue
		}
		for _, container := range n.Pod.Spec.Containers {
			for _, arg := range slices.Concat(container.Command, container.Args) {
				if flag, value, ok := strings.Cut(arg, "="); ok && strings.HasSuffix(flag, "passwords") {
					b.scrub.tell(value)
				}
			}
		}
	}
}

// collect takes what a node has. One that was silent a moment ago is asked only once more; of it there may be the log.
func (c *Cluster) collect(ctx context.Context, b *Bundle, n Node, silent bool) Answer {
	dir := "nodes/" + n.Name + "/"
	if n.Pod != nil {
		for file, previous := range map[string]string{"log.txt": "false", "log-previous.txt": "true"} {
			text, err := c.podLog(ctx, n.Pod, previous)
			if err != nil && previous == "true" {
				continue // as a rule it has had one life
			}
			b.put(dir+file, text, err, "")
		}
		text, err := podState(n.Pod)
		b.put(dir+"pod.json", text, err, "")
	}
	doctor := c.Ask(ctx, n, "doctor", "-o", "json")
	b.answer(dir+"doctor.json", doctor)
	if silent && doctor.Silent != "" {
		return doctor
	}
	for _, view := range bundleViews() {
		words := strings.Fields(view)
		b.answer(dir+words[0]+".txt", c.Ask(ctx, n, append([]string{"show"}, words...)...))
	}
	var tables []struct{ Table string }
	if a := c.Ask(ctx, n, "show", "tables", "-o", "json"); json.Unmarshal(a.Out, &tables) != nil {
		b.answer(dir+"rows", a)
	}
	for _, t := range tables {
		b.answer(dir+"rows/"+t.Table+".txt", c.Ask(ctx, n, "show", "rows", t.Table))
	}
	return doctor
}

// podLog is the daemon's log of the last hours.
func (c *Cluster) podLog(ctx context.Context, pod *corev1.Pod, previous string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, collecting)
	defer cancel()
	return c.core().Get().Namespace(pod.Namespace).Resource("pods").Name(pod.Name).SubResource("log").Param("container", container(pod)).
		Param("previous", previous).Param("sinceSeconds", fmt.Sprint(logged)).Param("limitBytes", fmt.Sprint(largest)).DoRaw(ctx)
}

// podState is how the daemon's pod is, and the flags that it is started with; of its environment and files nothing.
func podState(pod *corev1.Pod) ([]byte, error) {
	type one struct {
		Name  string   `json:"name"`
		Image string   `json:"image"`
		Args  []string `json:"args"`
	}
	state := struct {
		Name       string           `json:"name"`
		Node       string           `json:"node"`
		Containers []one            `json:"containers"`
		Status     corev1.PodStatus `json:"status"`
	}{pod.Name, pod.Spec.NodeName, nil, pod.Status}
	for _, c := range pod.Spec.Containers {
		state.Containers = append(state.Containers, one{c.Name, c.Image, slices.Concat(c.Command, c.Args)})
	}
	return json.MarshalIndent(state, "", "  ")
}

// answer keeps what a command said, or why it said nothing.
func (b *Bundle) answer(path string, a Answer) {
	switch {
	case a.Silent != "":
		b.put(path, nil, fmt.Errorf("%s", a.Silent), "")
	case a.Said != "":
		b.put(path, append(a.Out, a.Said+"\n"...), nil, "")
	default:
		b.put(path, a.Out, nil, "")
	}
}

// put keeps a file without its secrets, or notes why it isn't there or not whole.
func (b *Bundle) put(path string, text []byte, err error, note string) {
	if err != nil {
		note = string(b.scrub.clean([]byte(err.Error())))
	}
	if len(text) > largest {
		text, note = text[:largest], fmt.Sprintf("only the first %d MiB", largest>>20)
	}
	text = b.scrub.clean(text)
	b.mu.Lock()
	defer b.mu.Unlock()
	if err == nil {
		b.texts[path] = text
	}
	if note != "" {
		b.Missing[path] = note
	}
}

// write packs everything, the page and the manifest first.
func (b *Bundle) write(w io.Writer) error {
	for path := range b.texts {
		b.Files = append(b.Files, path)
	}
	slices.Sort(b.Files)
	manifest, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		return err
	}
	page, err := b.page()
	if err != nil {
		return err
	}
	z := gzip.NewWriter(w)
	t := tar.NewWriter(z)
	root := "kube-router-bundle-" + b.Made.Format("20060102-150405") + "/"
	b.texts["MANIFEST.json"], b.texts["index.html"] = b.scrub.clean(manifest), b.scrub.clean(page)
	for _, path := range append([]string{"index.html", "MANIFEST.json"}, b.Files...) {
		text := b.texts[path]
		err = t.WriteHeader(&tar.Header{Name: root + path, Mode: 0o644, Size: int64(len(text)), ModTime: b.Made, Format: tar.FormatPAX})
		if err == nil {
			_, err = io.Copy(t, bytes.NewReader(text))
		}
		if err != nil {
			return fmt.Errorf("bundle: %w", err)
		}
	}
	if err = t.Close(); err == nil {
		err = z.Close()
	}
	return err
}

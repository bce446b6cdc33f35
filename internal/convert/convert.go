package convert

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"kube-router/internal/api"
)

// Source is an object that is to be converted, or that others refer to.
type Source struct {
	APIVersion string         `json:"apiVersion"`
	Kind       string         `json:"kind"`
	Metadata   Metadata       `json:"metadata"`
	Spec       map[string]any `json:"spec"`
	Items      []Source       `json:"items"` // of a list
}

// Metadata is what counts of an object's metadata.
type Metadata struct {
	Name        string            `json:"name"`
	Namespace   string            `json:"namespace"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

// Read reads the objects of a manifest of one or more YAML documents; a list is its items.
func Read(manifest []byte) ([]Source, error) {
	var list []Source
	docs := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(manifest)))
	for n := 1; ; n++ {
		doc, err := docs.Read()
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		var o Source
		if err == nil {
			err = yaml.Unmarshal(doc, &o)
		}
		switch {
		case err != nil:
			return nil, fmt.Errorf("document %d: %w", n, err)
		case strings.HasSuffix(o.Kind, "List"):
			for _, item := range o.Items {
				item.Kind = cmp.Or(item.Kind, strings.TrimSuffix(o.Kind, "List"))
				item.APIVersion = cmp.Or(item.APIVersion, o.APIVersion)
				list = append(list, item)
			}
		case o.Kind != "":
			list = append(list, o)
		}
	}
}

// ref names the object for people.
func (s *Source) ref() string {
	if s.Metadata.Namespace == "" {
		return s.Kind + " " + s.Metadata.Name
	}
	return s.Kind + " " + s.Metadata.Namespace + "/" + s.Metadata.Name
}

// made is one object of ours, or a comment in its place.
type made struct {
	kind   api.Kind
	name   string
	labels map[string]string
	spec   any
	from   string   // whose place it takes
	notes  []string // what has no counterpart, and what is to be done
	lost   string   // why there is no object; empty: there is one
}

// Manifest converts objects to a manifest, in the order of our kinds and then of names. The result says in comments what could not be converted.
func Manifest(list []Source) (string, error) {
	c := &conversion{}
	for i := range list {
		c.index(&list[i])
	}
	for i := range list {
		c.convert(&list[i])
	}
	if slices.ContainsFunc(list, func(s Source) bool { return metallb(&s) }) {
		c.notes = append(c.notes, "What no advertisement names MetalLB advertises to nobody; here it goes as flags say: start with --advertise-loadbalancer-ip=false.",
			"To one router several advertisements of one prefix add up there; here the oldest counts.")
	}
	order := func(m made) int { return slices.Index(api.Kinds(), m.kind) }
	slices.SortStableFunc(c.list, func(a, b made) int { return cmp.Or(cmp.Compare(order(a), order(b)), strings.Compare(a.name, b.name)) })
	var out strings.Builder
	out.WriteString("# Written by `kube-router convert`. Read every comment before you apply it.\n")
	for _, n := range c.notes {
		fmt.Fprintf(&out, "# %s\n", n)
	}
	for _, m := range c.list {
		if err := m.write(&out); err != nil {
			return "", err
		}
	}
	return out.String(), nil
}

func (m made) write(out *strings.Builder) error {
	fmt.Fprintf(out, "---\n# from %s\n", m.from)
	for _, n := range m.notes {
		fmt.Fprintf(out, "# NOTE: %s\n", n)
	}
	if m.lost != "" {
		fmt.Fprintf(out, "# NOT CONVERTED: %s\n", m.lost)
		return nil
	}
	metadata := map[string]any{"name": m.name}
	if len(m.labels) > 0 {
		metadata["labels"] = m.labels
	}
	for _, part := range []struct {
		key   string
		value any
	}{{"apiVersion", api.Version.String()}, {"kind", m.kind.Kind}, {"metadata", metadata}, {"spec", m.spec}} {
		text, err := yaml.Marshal(map[string]any{part.key: part.value})
		if err != nil {
			return fmt.Errorf("%s: %w", m.from, err)
		}
		out.Write(text)
	}
	return nil
}

// conversion is one run.
type conversion struct {
	list        []made
	notes       []string
	pools       []*Source         // MetalLB's, which others select by their labels
	communities map[string]string // MetalLB's aliases
	bfd         map[string]*Source
}

// index notes what others refer to.
func (c *conversion) index(s *Source) {
	if !metallb(s) {
		return
	}
	switch s.Kind {
	case "IPAddressPool":
		c.pools = append(c.pools, s)
	case "BFDProfile":
		if c.bfd == nil {
			c.bfd = map[string]*Source{}
		}
		c.bfd[s.Metadata.Name] = s
	case "Community":
		if c.communities == nil {
			c.communities = map[string]string{}
		}
		f := fieldsOf(s)
		for _, o := range f.objects("communities") {
			c.communities[o.text("name")] = o.text("value")
		}
	}
}

func (c *conversion) convert(s *Source) {
	switch {
	case metallb(s):
		c.metallb(s)
	case s.Kind == "Node" && s.APIVersion == "v1":
		c.node(s)
	case s.Kind == "DaemonSet" || s.Kind == "Pod" || s.Kind == "Deployment":
		c.flags(s)
	}
}

func metallb(s *Source) bool { return strings.HasPrefix(s.APIVersion, "metallb.io/") }

// fields are those of an object, of which each that is read is crossed out.
type fields struct {
	path string
	all  map[string]any
	subs []*fields
}

func fieldsOf(s *Source) *fields { return &fields{path: "spec", all: maps.Clone(s.Spec)} }

func (f *fields) take(name string) any {
	v := f.all[name]
	delete(f.all, name)
	return v
}

func (f *fields) text(name string) string {
	s, _ := f.take(name).(string)
	return s
}

func (f *fields) yes(name string) bool {
	b, _ := f.take(name).(bool)
	return b
}

// number is a number, and whether there is one.
func (f *fields) number(name string) (int64, bool) {
	n, ok := f.take(name).(float64)
	return int64(n), ok
}

func (f *fields) texts(name string) []string {
	list, _ := f.take(name).([]any)
	var all []string
	for _, v := range list {
		if s, ok := v.(string); ok {
			all = append(all, s)
		}
	}
	return all
}

// object is a field that has fields.
func (f *fields) object(name string) *fields {
	o, _ := f.take(name).(map[string]any)
	sub := &fields{path: f.path + "." + name, all: maps.Clone(o)}
	f.subs = append(f.subs, sub)
	return sub
}

func (f *fields) objects(name string) []*fields {
	list, _ := f.take(name).([]any)
	var all []*fields
	for i, v := range list {
		o, _ := v.(map[string]any)
		sub := &fields{path: fmt.Sprintf("%s.%s[%d]", f.path, name, i), all: maps.Clone(o)}
		f.subs = append(f.subs, sub)
		all = append(all, sub)
	}
	return all
}

// rest are lines about fields that nobody read.
func (f *fields) rest() []string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(f.all)) {
		list = append(list, fmt.Sprintf("%s.%s has no counterpart: %s", f.path, name, line(f.all[name])))
	}
	for _, sub := range f.subs {
		list = append(list, sub.rest()...)
	}
	return list
}

// line is a value as YAML on one line.
func line(v any) string {
	text, _ := yaml.Marshal(v) // it came from YAML, or is a spec
	return strings.Join(strings.Fields(string(text)), " ")
}

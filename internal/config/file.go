package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"

	"go.yaml.in/yaml/v3"
)

// said is what stands for one flag, and where it was said; an empty source means the default.
type said struct {
	texts  []string
	source string
}

// said gathers the texts of every flag: command line over file over default.
func (r *Raw) said(d *draft) map[string]said {
	all := map[string]said{}
	var file map[string]said
	if path := r.words["config"].String(); path != "" {
		file = d.loadFile(path)
	}
	for name, w := range r.words {
		switch f, ok := file[name]; {
		case len(w.given) > 0:
			all[name] = said{w.given, "command line"}
		case ok:
			all[name] = f
		default:
			all[name] = said{texts: []string{w.flag.Default}}
		}
	}
	return all
}

// loadFile reads the settings file; its faults are noted.
func (d *draft) loadFile(path string) map[string]said {
	text, err := d.readFile(path)
	if err != nil {
		d.wrong("config", path, "%v", err)
		return nil
	}
	values, errs := parseFile(text)
	for _, err := range errs {
		d.wrong("config", path, "%v", err)
	}
	for name, s := range values {
		s.source = fmt.Sprintf("%s %s", path, s.source)
		values[name] = s
	}
	return values
}

// parseFile reads YAML of one mapping from flag names to a value or a list of values. Values are taken as
// they are written, never through a number type, so 4200000000 and 10.0.0.0/8 stay what they are. The
// text of a value is in no error, since it may be a secret.
func parseFile(text []byte) (map[string]said, []error) {
	var doc yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(text))
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, []error{notYAML(err)}
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, []error{errors.New("more than one YAML document")}
	}
	root := doc.Content[0]
	if root.Kind != yaml.MappingNode {
		if root.Kind == yaml.ScalarNode && root.Tag == "!!null" {
			return nil, nil
		}
		return nil, []error{errors.New("not a mapping from flag names to values")}
	}
	return entries(root)
}

// notYAML keeps the line of a syntax error and drops the rest, which may quote the text.
func notYAML(err error) error {
	if line := regexp.MustCompile(`line \d+`).FindString(err.Error()); line != "" {
		return fmt.Errorf("%s: not YAML", line)
	}
	return errors.New("not YAML")
}

func entries(root *yaml.Node) (map[string]said, []error) {
	known := map[string]*Flag{}
	for _, f := range Table() {
		known[f.Name] = &f
	}
	values, errs := map[string]said{}, []error(nil)
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		texts, err := entry(known[key.Value], value)
		if _, twice := values[key.Value]; twice && err == nil {
			err = errors.New("said twice")
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("line %d: %q: %w", key.Line, key.Value, err))
			continue
		}
		values[key.Value] = said{texts, fmt.Sprintf("line %d", key.Line)}
	}
	return values, errs
}

// entry is the texts of one key's value.
func entry(f *Flag, v *yaml.Node) ([]string, error) {
	switch {
	case f == nil:
		return nil, errors.New("no such setting")
	case f.Process:
		return nil, errors.New("belongs to the command line only")
	case v.Kind == yaml.ScalarNode && v.Tag != "!!null":
		return []string{v.Value}, nil
	case v.Kind == yaml.SequenceNode && f.List():
		return elements(v)
	case v.Kind == yaml.SequenceNode:
		return nil, errors.New("takes one value, not a list")
	}
	return nil, errors.New("has no value, or one that is neither plain nor a list")
}

func elements(v *yaml.Node) ([]string, error) {
	texts := []string{}
	for _, e := range v.Content {
		if e.Kind != yaml.ScalarNode || e.Tag == "!!null" {
			return nil, errors.New("has an entry that is not a plain value")
		}
		texts = append(texts, e.Value)
	}
	return texts, nil
}

package cluster

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"sigs.k8s.io/yaml"
)

// Version is the apiVersion of what this package prints for programs. A field keeps its name, type and meaning within it.
const Version = "kube-router.io/v1"

// List is what is printed for programs: a Kubernetes style list of items.
type List[T any] struct {
	APIVersion string `json:"apiVersion"` // Version
	Kind       string `json:"kind"`
	Items      []T    `json:"items"`
}

// listOf is a List; without items it is an empty one, not null.
func listOf[T any](kind string, items []T) List[T] {
	if items == nil {
		items = []T{}
	}
	return List[T]{Version, kind, items}
}

// printable is a table for people with its data for programs.
type printable struct {
	columns []string
	rows    [][]string
	notes   []string // lines below the table
	data    any
}

// print writes it in a format: text (or ""), json or yaml.
func (p printable) print(w io.Writer, format string) error {
	switch format {
	case "", "text":
		return p.text(w)
	case "json":
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(p.data)
	case "yaml":
		text, err := yaml.Marshal(p.data)
		if err == nil {
			_, err = w.Write(text)
		}
		return err
	}
	return fmt.Errorf("output format %q: want text, json or yaml", format)
}

func (p printable) text(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(p.columns) > 0 {
		fmt.Fprintln(tw, strings.Join(p.columns, "\t"))
	}
	for _, r := range p.rows {
		fmt.Fprintln(tw, strings.Join(r, "\t"))
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	for _, line := range p.notes {
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	return nil
}

// counted is a number of nodes in words.
func counted(nodes int) string {
	if nodes == 1 {
		return "1 node"
	}
	return fmt.Sprintf("%d nodes", nodes)
}

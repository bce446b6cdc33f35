package apiserver

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
)

// A column of `kubectl get`. Wide ones are shown with -o wide only.
type column struct {
	name string
	wide bool
	cell func(Object) any
}

// col makes a column for one Go type.
func col[T any](name string, cell func(T) any) column {
	return column{name: name, cell: func(o Object) any { return cell(any(o).(T)) }}
}

// wide makes a column for -o wide.
func wide[T any](name string, cell func(T) any) column {
	c := col(name, cell)
	c.wide = true
	return c
}

func nameColumn() column {
	return column{name: "Name", cell: func(o Object) any { return o.GetName() }}
}

func ageColumn() column {
	return column{name: "Age", cell: func(o Object) any { return age(o.GetCreationTimestamp()) }}
}

func plainColumns() []column { return []column{nameColumn(), ageColumn()} }

func definitions(columns []column) []metav1.TableColumnDefinition {
	var defs []metav1.TableColumnDefinition
	for _, c := range columns {
		def := metav1.TableColumnDefinition{Name: c.name, Type: "string"}
		if c.name == "Name" {
			def.Format = "name"
		}
		if c.wide {
			def.Priority = 1
		}
		defs = append(defs, def)
	}
	return defs
}

// cells is one object's row. Of an object that was inserted raw and does not fit its type there is only the metadata to show.
func cells(k *kind, e *entry) []any {
	obj := k.decodeLoosely(e.raw)
	row := make([]any, 0, len(k.columns))
	for _, c := range k.columns {
		row = append(row, c.cell(obj))
	}
	return row
}

func age(t metav1.Time) string {
	if t.IsZero() {
		return "<unknown>"
	}
	return duration.HumanDuration(time.Since(t.Time))
}

// join is a list as kubectl shows it.
func join(parts []string) string {
	return cmp.Or(strings.Join(parts, ","), "<none>")
}

// first is the first three parts and how many there are beside them.
func first(parts []string) string {
	if len(parts) <= 3 {
		return join(parts)
	}
	return fmt.Sprintf("%s + %d more...", strings.Join(parts[:3], ","), len(parts)-3)
}

func labelText(set map[string]string) string {
	var parts []string
	for name, value := range set {
		parts = append(parts, name+"="+value)
	}
	slices.Sort(parts)
	return join(parts)
}

func containerNames(spec corev1.PodSpec) any {
	var names []string
	for _, c := range spec.Containers {
		names = append(names, c.Name)
	}
	return join(names)
}

func containerImages(spec corev1.PodSpec) any {
	var images []string
	for _, c := range spec.Containers {
		images = append(images, c.Image)
	}
	return join(images)
}
